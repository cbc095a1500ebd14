//! Sites: tools that turn sources into a folder of files and need nothing afterwards. Their packages are installed as
//! those of programs are (`node`). Tests: `tests/it/stack.rs`.

use havre_core::name::RelativePath;
use serde_json::Value;

use crate::stack::node::framework::{config_text, folder_setting, has_config, is_server, setting};
use crate::stack::node::package::Package;
use crate::stack::node::{Plan, render};
use crate::stack::snapshot::{Snapshot, join};
use crate::stack::text::{Document, checked_path};
use crate::stack::{Found, SITE_OUTPUT, StackError, Written, has_other_language, shown_folder, unclear};

/// Variables that only developers use. Whatever else a site reads when it is built is public by its nature.
const SECRETS: [&str; 2] = ["**/.env.local", "**/.env.*.local"];

/// A tool that makes files.
#[derive(Debug)]
struct Tool {
    /// For people.
    name: &'static str,
    /// Folder of the finished files, as seen from the site.
    output: RelativePath,
    /// Its pages usually find their own way: unknown paths must lead to `index.html`.
    is_spa: bool,
}

/// Answers for folders with such a tool and nothing that listens.
pub(crate) fn find(snapshot: &Snapshot, root: &RelativePath) -> Found {
    // What cannot be read is for `node` to complain about.
    let package = Package::read(snapshot, root)?.ok()?;
    let listens = is_server(&package) && !is_exported(snapshot, &package);
    if listens || has_other_language(snapshot, root) {
        return None;
    }
    match find_tool(snapshot, &package) {
        Ok(Some(tool)) => Some(write(snapshot, package, &tool)),
        Ok(None) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Answers for folders of finished files.
pub(crate) fn find_plain(snapshot: &Snapshot, root: &RelativePath) -> Found {
    snapshot.has(root, "index.html").then(|| {
        let folder = shown_folder(root);
        let hint = format!(
            "describe it in havre.toml as [sites.<name>] with root = \"{root}\" and without `build`: {folder} is \
             uploaded as it is"
        );
        Err(unclear(root, "it holds finished files, which need no build", hint))
    })
}

/// Next.js that makes files only.
fn is_exported(snapshot: &Snapshot, package: &Package) -> bool {
    let config = config_text(snapshot, &package.folder, "next.config");
    package.depends_on("next") && config.and_then(|text| setting(text, "output")) == Some("export")
}

fn find_tool(snapshot: &Snapshot, package: &Package) -> Result<Option<Tool>, StackError> {
    let root = &package.folder;
    let has = |name: &str| package.depends_on(name);
    let config =
        |stem: &str, key: &str| config_text(snapshot, root, stem).and_then(|text| setting(text, key));
    let tool = |name: &'static str, output: &str, is_spa: bool| -> Result<Option<Tool>, StackError> {
        Ok(Some(Tool { name, output: folder_setting(root, output)?, is_spa }))
    };
    if is_exported(snapshot, package) {
        return tool("Next.js", config("next.config", "distDir").unwrap_or("out"), false);
    }
    if has("next") || has("nuxt") || has("@solidjs/start") {
        return Ok(None);
    }
    if has("@sveltejs/kit") {
        return if has("@sveltejs/adapter-static") {
            tool("SvelteKit", config("svelte.config", "pages").unwrap_or("build"), false)
        } else {
            Ok(None)
        };
    }
    if has("astro") {
        let is_static = !matches!(config("astro.config", "output"), Some("server" | "hybrid"));
        let output = config("astro.config", "outDir").unwrap_or("dist");
        return if is_static { tool("Astro", output, false) } else { Ok(None) };
    }
    for (dependency, name, output, is_spa) in [
        ("gatsby", "Gatsby", "public", false),
        ("@docusaurus/core", "Docusaurus", "build", false),
        ("@11ty/eleventy", "Eleventy", "_site", false),
        ("react-scripts", "Create React App", "build", true),
    ] {
        if has(dependency) {
            return tool(name, output, is_spa);
        }
    }
    if has("@vue/cli-service") {
        return tool("Vue CLI", config("vue.config", "outputDir").unwrap_or("dist"), true);
    }
    if snapshot.has(root, "angular.json") {
        return angular(snapshot, package);
    }
    // A configuration without a page is a library, or the style sheets of something else.
    let has_page = snapshot.has(root, "index.html") || config("vite.config", "root").is_some();
    if has_page && (has("vite") || has_config(snapshot, root, "vite.config")) {
        return tool("Vite", config("vite.config", "outDir").unwrap_or("dist"), true);
    }
    Ok(None)
}

/// Where Angular writes is said by its project, in one of three forms.
fn angular(snapshot: &Snapshot, package: &Package) -> Result<Option<Tool>, StackError> {
    let root = &package.folder;
    if package.depends_on("@angular/ssr") {
        return Ok(None);
    }
    let Some(settings) = snapshot.json(root, "angular.json") else { return Ok(None) };
    let settings = settings?;
    let projects = settings.get("projects").and_then(Value::as_object);
    let Some((name, project)) = projects.and_then(|projects| projects.iter().next()) else {
        return Err(unclear(root, "angular.json names no project", "add one"));
    };
    let build = project.pointer("/architect/build").or_else(|| project.pointer("/targets/build"));
    let builder = build.and_then(|build| build.get("builder")?.as_str()).unwrap_or_default();
    let path = build.and_then(|build| build.pointer("/options/outputPath"));
    let base = path.and_then(|path| path.as_str().or_else(|| path.get("base")?.as_str()));
    let base = base.map_or_else(|| format!("dist/{name}"), str::to_owned);
    let browser = path.and_then(|path| path.get("browser")?.as_str()).unwrap_or("browser");
    let output = folder_setting(root, &base)?;
    let makes_browser = builder.ends_with(":application") && !browser.is_empty();
    let output = if makes_browser { checked_path(root, &format!("{output}/{browser}"))? } else { output };
    Ok(Some(Tool { name: "Angular", output, is_spa: true }))
}

fn write(snapshot: &Snapshot, package: Package, tool: &Tool) -> Result<Written, StackError> {
    let root = package.folder.clone();
    if package.script("build").is_none() {
        let reason = format!("it is built by {}, and package.json has no script `build`", tool.name);
        return Err(unclear(&root, reason, "add one"));
    }
    let plan = Plan::read(snapshot, package)?;
    let stack = plan.stack(tool.name);
    let mut notes = plan.notes.clone();
    notes.push(format!(
        "The build writes to {}; Havre takes the files out of {SITE_OUTPUT} and serves them itself.",
        tool.output
    ));
    if tool.is_spa {
        notes.push(
            "Where its pages find their own way by the address, spa = true in havre.toml leads unknown paths to \
             index.html."
                .to_owned(),
        );
    }
    let mut header = vec![format!("{stack}.")];
    header.extend(notes.iter().cloned());
    let mut document = Document::new(&header);
    render::packages(&mut document, &plan, render::extent_before_build(&plan))?;
    render::build(&mut document, &plan, &plan.builds()?)?;
    document.stage("scratch", "");
    let output = join(&plan.home(), tool.output.as_str());
    document.line(format!("COPY --from=build {output} {SITE_OUTPUT}/"));
    Ok(Written {
        ignore: plan.ignore(&SECRETS, &[tool.output.as_str()]),
        stack,
        dockerfile: document.finish(),
        port: 80,
        health: None,
        output: Some(SITE_OUTPUT.to_owned()),
        notes,
    })
}
