//! What starts a program: the Procfile, else its framework, else the scripts of `package.json`, as words that no shell and
//! no package manager has to stand between the program and its signals. Tests: `tests/it/stack.rs`.

use crate::stack::node::framework::Framework;
use crate::stack::node::package::Package;
use crate::stack::node::workspace::Project;
use crate::stack::procfile::{self, is_assignment, split};
use crate::stack::snapshot::Snapshot;
use crate::stack::text::{checked_path, is_command_name};
use crate::stack::{StackError, shown, unclear};

/// Scripts that lead to other scripts, at most this often.
const DEPTH_MAX: usize = 4;
/// Programs that serve developers.
const DEVELOPMENT: [&str; 13] = [
    "vite",
    "ng",
    "react-scripts",
    "react-app-rewired",
    "craco",
    "webpack",
    "webpack-dev-server",
    "parcel",
    "vue-cli-service",
    "gatsby",
    "eleventy",
    "expo",
    "storybook",
];
/// Files that are the program when nothing says so.
const USUAL: [&str; 12] = [
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "server.mjs",
    "index.mjs",
    "app.mjs",
    "src/server.js",
    "src/index.js",
    "src/app.js",
    "src/main.js",
    "src/index.mjs",
];
/// Programs whose package has another name.
const PACKAGES: [(&str, &str); 8] = [
    ("nest", "@nestjs/cli"),
    ("remix-serve", "@remix-run/serve"),
    ("react-router-serve", "@react-router/serve"),
    ("fastify", "fastify-cli"),
    ("ts-node-esm", "ts-node"),
    ("tsc", "typescript"),
    ("nuxi", "nuxt"),
    ("medusa", "@medusajs/cli"),
];

/// How a program is started.
#[derive(Debug, Clone)]
pub(super) struct Start {
    /// The words.
    pub(super) argv: Vec<String>,
    /// A package for the build it cannot run without.
    pub(super) needs: Option<String>,
    /// What is worth saying.
    pub(super) notes: Vec<String>,
}

impl Start {
    fn of(argv: Vec<String>) -> Self {
        Self { argv, needs: None, notes: Vec::new() }
    }

    /// Whether its first word is looked up among the programs of packages.
    pub(super) fn is_looked_up(&self) -> bool {
        let first = self.argv.first().map_or("", String::as_str);
        !first.contains('/') && !matches!(first, "node" | "npm")
    }
}

/// Finds it.
pub(super) fn find(
    snapshot: &Snapshot,
    project: &Project,
    framework: &Framework,
) -> Result<Start, StackError> {
    let program = &project.program;
    let mut start = choose(snapshot, program, framework)?;
    let first = start.argv.first().cloned().unwrap_or_default();
    if DEVELOPMENT.contains(&first.as_str()) {
        let reason = format!("`start` of package.json runs {first}, a server for development");
        let hint = "write a Procfile with a line such as `web: node dist/server.js`, or describe a site in havre.toml";
        return Err(unclear(&program.folder, reason, hint));
    }
    start.needs = find_need(program, &start.argv);
    if let Some(package) = &start.needs {
        start.notes.push(format!(
            "The program runs with {package}, which is in `devDependencies`: packages for the build stay in the image until \
             it is in `dependencies`."
        ));
    }
    Ok(start)
}

fn choose(snapshot: &Snapshot, program: &Package, framework: &Framework) -> Result<Start, StackError> {
    let root = &program.folder;
    if let Some(argv) = procfile::web_command(snapshot, root) {
        // Its notes are those of the Procfile.
        return Ok(resolve_words(program, &argv, 0).unwrap_or_else(|| Start::of(argv)));
    }
    if framework.is_fixed {
        return Ok(Start::of(framework.command.clone()));
    }
    let is_nest = framework.name == "NestJS";
    let names: &[&str] = if is_nest { &["start:prod", "start"] } else { &["start"] };
    for name in names {
        // Nest's `start` compiles while it starts; what the build made needs no tools.
        let is_tool = |script: &str| is_nest && script.trim_start().starts_with("nest ");
        if program.script(name).is_some_and(|script| !is_tool(script)) {
            return Ok(resolve(program, name));
        }
    }
    if !framework.command.is_empty() {
        return Ok(Start::of(framework.command.clone()));
    }
    if let Some(main) = find_main(snapshot, program)? {
        return Ok(Start::of(vec!["node".to_owned(), main]));
    }
    let hint = "add a script such as \"start\": \"node server.js\", or a Procfile with `web: node server.js`";
    Err(unclear(root, "package.json has neither a script `start` nor a `main` that is there", hint))
}

/// The file `main` names, else one with a usual name.
fn find_main(snapshot: &Snapshot, program: &Package) -> Result<Option<String>, StackError> {
    let root = &program.folder;
    if let Some(main) = program.text("/main") {
        let main = checked_path(root, main.trim_start_matches("./"))?;
        // What a build makes is not there yet.
        if snapshot.has(root, main.as_str()) || program.script("build").is_some() {
            return Ok(Some(main.to_string()));
        }
    }
    Ok(USUAL.iter().find(|name| snapshot.has(root, name)).map(|name| (*name).to_owned()))
}

/// The words of a script; where they cannot be told, the package manager that is in every image runs it.
fn resolve(program: &Package, name: &str) -> Start {
    let mut start = resolve_script(program, name, 0).unwrap_or_else(|| {
        let mut start = Start::of(["npm", "run", name].map(str::to_owned).to_vec());
        start.notes.push(format!(
            "The script `{}` is more than one plain command, so npm and a shell stand between the program and its \
             signals; written as `node <file>`, it gets them itself.",
            shown(name)
        ));
        start
    });
    if program.script(&format!("pre{name}")).is_some() {
        start.notes.push(format!(
            "`pre{}` is not run before each start: what must run once for each release is `release` in havre.toml.",
            shown(name)
        ));
    }
    start
}

fn resolve_script(program: &Package, name: &str, depth: usize) -> Option<Start> {
    let words = split(program.script(name)?)?;
    resolve_words(program, &words, depth)
}

/// `None` when the words need the package manager after all.
fn resolve_words(program: &Package, words: &[String], depth: usize) -> Option<Start> {
    let mut words = words;
    while let Some((first, rest)) = words.split_first() {
        match first.as_str() {
            // Every image has it.
            "NODE_ENV=production" | "cross-env" | "exec" | "npx" => words = rest,
            other if is_assignment(other) => return None,
            _ => break,
        }
    }
    let (first, rest) = words.split_first()?;
    let rest_text: Vec<&str> = rest.iter().map(String::as_str).collect();
    match (first.as_str(), &rest_text[..]) {
        ("npm" | "pnpm" | "yarn", ["start"]) => deeper(program, "start", depth),
        ("npm" | "pnpm" | "yarn", ["run" | "run-script", name]) => deeper(program, name, depth),
        ("pnpm" | "yarn", [name]) => deeper(program, name, depth),
        ("npm" | "pnpm" | "yarn", _) => None,
        ("nodemon" | "node-dev", [file]) if file.ends_with("js") => {
            let mut start = Start::of(vec!["node".to_owned(), (*file).to_owned()]);
            start.notes.push(format!("node starts the program in place of {first}, which watches files."));
            Some(start)
        }
        (name, _) if name.contains('/') || is_command_name(name) => Some(Start::of(words.to_vec())),
        _ => None,
    }
}

fn deeper(program: &Package, name: &str, depth: usize) -> Option<Start> {
    if depth == DEPTH_MAX { None } else { resolve_script(program, name, depth + 1) }
}

/// A package the words name that is there for the build only.
fn find_need(program: &Package, argv: &[String]) -> Option<String> {
    let first = argv.first()?.as_str();
    let names: Vec<&str> = match first {
        "node" => loaded(argv),
        "npm" => words_of(program.script(argv.get(2)?)?),
        "sh" => words_of(argv.get(2)?),
        other => vec![other],
    };
    let package = |name: &str| -> String {
        let named = PACKAGES.iter().find(|(program, _)| *program == name).map(|(_, package)| *package);
        named.unwrap_or_else(|| package_of(name)).to_owned()
    };
    names.into_iter().map(package).find(|name| program.only_builds_with(name)).map(|name| shown(&name))
}

/// Modules that node loads before the program.
fn loaded(argv: &[String]) -> Vec<&str> {
    let mut names = Vec::new();
    let mut words = argv.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some(("--import" | "--require" | "--loader", module)) => names.push(module),
            None if matches!(word, "-r" | "--import" | "--require" | "--loader") => {
                names.extend(words.next())
            }
            _ => {}
        }
    }
    names
}

/// What may be names of programs in a line for a shell.
fn words_of(line: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '/' | '.' | '_' | '-');
    line.split(|c: char| !is_part(c)).filter(|word| !word.is_empty()).collect()
}

/// The package of a module: `ts-node/register` is one of `ts-node`.
fn package_of(module: &str) -> &str {
    let slashes = if module.starts_with('@') { 2 } else { 1 };
    match module.match_indices('/').nth(slashes - 1) {
        Some((at, _)) => &module[..at],
        None => module,
    }
}
