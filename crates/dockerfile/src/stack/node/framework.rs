//! Which framework a program is written with, and what follows from it: what it listens on, what a build leaves, what
//! starts it when nobody says. Tests: `tests/it/stack.rs`.

use havre_core::name::RelativePath;
use serde_json::Value;

use crate::stack::node::package::Package;
use crate::stack::snapshot::Snapshot;
use crate::stack::text::checked_path;
use crate::stack::{StackError, shown, unclear};

/// Packages of programs that listen on a port.
const SERVERS: [&str; 19] = [
    "@nestjs/core",
    "next",
    "nuxt",
    "@solidjs/start",
    "@sveltejs/adapter-node",
    "@astrojs/node",
    "@remix-run/serve",
    "@remix-run/node",
    "@react-router/serve",
    "@react-router/node",
    "express",
    "fastify",
    "koa",
    "@hapi/hapi",
    "@adonisjs/core",
    "@hono/node-server",
    "polka",
    "restify",
    "h3",
];

/// Forms in which tools take their settings.
const ENDS: [&str; 5] = ["js", "mjs", "cjs", "ts", "mts"];

/// What a build leaves for the program that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// Files that need the packages for production beside them.
    Files,
    /// A folder that holds everything, such as Nuxt's.
    Folder(&'static str),
    /// What Next.js makes with `output: 'standalone'`.
    Standalone,
}

/// What follows from the framework.
#[derive(Debug, Clone)]
pub(super) struct Framework {
    /// For people; empty for none that is known.
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) health: Option<&'static str>,
    pub(super) needs_build: bool,
    pub(super) output: Output,
    /// Starts it; stronger than scripts when `is_fixed`.
    pub(super) command: Vec<String>,
    pub(super) is_fixed: bool,
    /// Variables it needs to listen everywhere, and the like.
    pub(super) variables: &'static [&'static str],
    pub(super) notes: Vec<String>,
}

impl Framework {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            port: 3000,
            health: None,
            needs_build: false,
            output: Output::Files,
            command: Vec::new(),
            is_fixed: false,
            variables: &[],
            notes: Vec::new(),
        }
    }

    fn starting(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// A framework whose build makes the program, and fixes how it is started.
    fn built(mut self, output: Output, words: &[&str]) -> Self {
        self.needs_build = true;
        self.is_fixed = true;
        self.output = output;
        self.starting(words)
    }
}

/// Whether a package needs, when it runs, something that listens.
pub(crate) fn is_server(package: &Package) -> bool {
    SERVERS.iter().any(|name| package.runs_with(name))
}

/// Finds out.
pub(super) fn find(snapshot: &Snapshot, package: &Package) -> Result<Framework, StackError> {
    let has = |name: &str| package.depends_on(name);
    if has("next") {
        return Ok(next(snapshot, package));
    }
    if has("nuxt") || has("@solidjs/start") {
        let name = if has("nuxt") { "Nuxt" } else { "SolidStart" };
        let output = Output::Folder(".output");
        return Ok(Framework::new(name).built(output, &["node", ".output/server/index.mjs"]));
    }
    if has("@sveltejs/kit") {
        return svelte(package);
    }
    if has("astro") {
        return astro(package);
    }
    if has("@nestjs/core") {
        return nest(snapshot, package);
    }
    if has("@react-router/serve") || has("@remix-run/serve") {
        let (name, command) = if has("@remix-run/serve") {
            ("Remix", "remix-serve")
        } else {
            ("React Router", "react-router-serve")
        };
        let mut found = Framework::new(name).starting(&[command, "./build/server/index.js"]);
        found.needs_build = true;
        return Ok(found);
    }
    let plain = [
        ("fastify", "Fastify"),
        ("express", "Express"),
        ("koa", "Koa"),
        ("@hapi/hapi", "hapi"),
        ("@hono/node-server", "Hono"),
        ("hono", "Hono"),
    ];
    let name = plain.into_iter().find(|(package, _)| has(package)).map_or("", |(_, name)| name);
    let mut found = Framework::new(name);
    if name == "Fastify" {
        found.notes.push(
            "Fastify listens on localhost unless it is told otherwise: listen({ port: process.env.PORT, host: \
             '0.0.0.0' })."
                .to_owned(),
        );
    }
    Ok(found)
}

fn next(snapshot: &Snapshot, package: &Package) -> Framework {
    let mut found = Framework::new("Next.js");
    found.needs_build = true;
    found.variables = &["HOSTNAME=0.0.0.0"];
    let config = config_text(snapshot, &package.folder, "next.config");
    if config.and_then(|text| setting(text, "output")) == Some("standalone") {
        found.notes.push(
            "Next.js makes a program of its own (`output: 'standalone'`). Its image cache alone can be written; pages \
             made anew while it runs stay in memory."
                .to_owned(),
        );
        return found.built(Output::Standalone, &["node", "server.js"]);
    }
    found.notes.push(
        "`output: 'standalone'` in the configuration of Next.js would make the image several times smaller."
            .to_owned(),
    );
    found.starting(&["next", "start"])
}

fn svelte(package: &Package) -> Result<Framework, StackError> {
    if package.depends_on("@sveltejs/adapter-node") {
        return Ok(Framework::new("SvelteKit").built(Output::Files, &["node", "build/index.js"]));
    }
    let hint = "install @sveltejs/adapter-node for a program, or @sveltejs/adapter-static for a site, and name it in \
                svelte.config.js";
    Err(unclear(&package.folder, "SvelteKit has no adapter for a server", hint))
}

fn astro(package: &Package) -> Result<Framework, StackError> {
    if package.depends_on("@astrojs/node") {
        let mut found = Framework::new("Astro").built(Output::Files, &["node", "./dist/server/entry.mjs"]);
        found.port = 4321;
        found.variables = &["HOST=0.0.0.0"];
        return Ok(found);
    }
    let hint =
        "install @astrojs/node with mode: 'standalone', or leave `output` out and describe it as a site";
    Err(unclear(&package.folder, "Astro has no adapter for a server", hint))
}

fn nest(snapshot: &Snapshot, package: &Package) -> Result<Framework, StackError> {
    let mut found = Framework::new("NestJS");
    found.needs_build = true;
    if package.runs_with("@nestjs/terminus") {
        found.health = Some("/health");
    }
    let settings = snapshot.json(&package.folder, "nest-cli.json").and_then(Result::ok);
    let text = |pointer: &str| settings.as_ref()?.pointer(pointer)?.as_str();
    let is_true = |value: &Value| value.as_bool() == Some(true);
    let is_monorepo = settings.as_ref().and_then(|settings| settings.get("monorepo")).is_some_and(is_true);
    let entry = text("/entryFile").unwrap_or("main");
    let folder = match text("/root").filter(|_| is_monorepo) {
        Some(root) => format!("dist/{root}"),
        None => "dist".to_owned(),
    };
    let main = checked_path(&package.folder, &format!("{folder}/{}.js", entry.trim_end_matches(".js")))?;
    Ok(found.starting(&["node", main.as_str()]))
}

/// The text of a file of settings in any of the forms they come in, such as `next.config.mjs`.
pub(crate) fn config_text<'s>(snapshot: &'s Snapshot, folder: &RelativePath, stem: &str) -> Option<&'s str> {
    ENDS.iter().find_map(|end| snapshot.text(folder, &format!("{stem}.{end}")))
}

/// Whether there is such a file.
pub(crate) fn has_config(snapshot: &Snapshot, folder: &RelativePath, stem: &str) -> bool {
    ENDS.iter().any(|end| snapshot.has(folder, &format!("{stem}.{end}")))
}

/// The text a key has in a file of settings: `output: 'export'`. No JavaScript is run or understood beyond that; lines
/// that are comments are left out.
pub(crate) fn setting<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().filter(|line| !line.trim_start().starts_with(['/', '*'])).find_map(|line| {
        line.match_indices(key).find_map(|(at, _)| {
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
            if line[..at].chars().next_back().is_some_and(is_word) {
                return None;
            }
            let rest = line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
            let rest = rest.strip_prefix([':', '='])?.trim_start();
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
            rest[1..].split_once(quote).map(|(value, _)| value)
        })
    })
}

/// A folder below another that settings name, without `./` and slashes at its end.
pub(crate) fn folder_setting(root: &RelativePath, value: &str) -> Result<RelativePath, StackError> {
    let plain = value.trim_start_matches("./").trim_end_matches('/');
    checked_path(root, plain).ok().filter(|folder| folder.as_str() != ".").ok_or_else(|| {
        let reason = format!("its build writes to `{}`, which is no folder below it", shown(value));
        unclear(root, reason, "let it write to one such as dist, or write a Dockerfile of your own")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_in_code() {
        for (text, key, expected) in [
            ("export default { output: 'standalone' }", "output", Some("standalone")),
            ("  // output: 'export'\n  output : \"x\",", "output", Some("x")),
            ("myoutput: 'a', \"output\": `b`", "output", Some("b")),
            ("output: process.env.X", "output", None),
            ("output: 'é", "output", None),
            ("outputDir='d'", "output", None),
        ] {
            assert_eq!(setting(text, key), expected, "{text}");
        }
    }
}
