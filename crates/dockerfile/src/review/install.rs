//! Which commands install dependencies, compile, or install packages of the system: a table in code, for the rules about
//! caches, sizes and lock files.

use crate::review::shell::Command;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Installs what the project's own files list.
    Dependencies,
    /// Only fetches it, so that what follows is quick.
    Download,
    /// Compiles, and fetches what is not there.
    Compile,
    /// Installs packages that are named in the command.
    Packages,
}

/// A command that installs something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Install {
    pub(crate) tool: &'static str,
    pub(crate) kind: Kind,
    /// Files that say what is installed, as `COPY` takes them.
    pub(crate) manifests: &'static str,
}

const fn install(tool: &'static str, kind: Kind, manifests: &'static str) -> Option<Install> {
    Some(Install { tool, kind, manifests })
}

/// What a command installs; `None` when nothing.
pub(crate) fn of(command: &Command) -> Option<Install> {
    match command.program() {
        "npm" | "pnpm" | "yarn" | "bun" => of_node(command),
        "apt-get" | "apt" => of_system(command, "apt-get", "install"),
        "apk" => of_system(command, "apk", "add"),
        "dnf" | "yum" | "microdnf" => of_system(command, "dnf", "install"),
        "pip" | "pip3" | "python" | "python3" | "uv" | "poetry" | "pipenv" | "pdm" => of_python(command),
        "bundle" if is_first(command, &["install"]) || command.arguments().is_empty() => {
            install("bundle", Kind::Dependencies, "Gemfile Gemfile.lock")
        }
        "composer" if is_first(command, &["install"]) => {
            install("composer", Kind::Dependencies, "composer.json composer.lock")
        }
        "mix" if is_first(command, &["deps.get"]) => install("mix", Kind::Dependencies, "mix.exs mix.lock"),
        "cargo" => of_cargo(command),
        "go" => of_go(command),
        "mvn" | "mvnw" => of_maven(command),
        "gradle" | "gradlew" => of_gradle(command),
        "dotnet" => of_dotnet(command),
        _ => None,
    }
}

fn of_system(command: &Command, tool: &'static str, verb: &str) -> Option<Install> {
    // Files that were copied, and lists read from them, are not known before.
    let is_own = |word: &String| word.starts_with(['.', '/']) || word.contains("$(");
    let is_named = is_first(command, &[verb]) && !command.arguments().iter().any(is_own);
    if is_named { install(tool, Kind::Packages, "") } else { None }
}

/// Whether the first argument that is no flag is one of these.
pub(crate) fn is_first(command: &Command, wanted: &[&str]) -> bool {
    command.positional(&[]).first().is_some_and(|first| wanted.contains(first))
}

/// Flags of package managers for Node.js that take the next word.
const NODE_VALUES: [&str; 9] =
    ["--prefix", "-C", "--dir", "--cwd", "--filter", "-F", "--omit", "--workspace", "-w"];

fn of_node(command: &Command) -> Option<Install> {
    let words = command.positional(&NODE_VALUES);
    let is_alone = words.len() <= 1;
    let is_global = command.has(&["-g", "--global", "--version", "-v", "--help"]);
    if is_global || !is_alone {
        return None;
    }
    match (command.program(), words.first().copied()) {
        ("npm", Some("ci" | "install" | "i" | "clean-install")) => {
            install("npm", Kind::Dependencies, "package.json package-lock.json")
        }
        ("pnpm", Some("install" | "i")) => install("pnpm", Kind::Dependencies, "package.json pnpm-lock.yaml"),
        ("pnpm", Some("fetch")) => install("pnpm", Kind::Download, "pnpm-lock.yaml"),
        ("yarn", None | Some("install")) => install("yarn", Kind::Dependencies, "package.json yarn.lock"),
        ("bun", Some("install" | "i")) => install("bun", Kind::Dependencies, "package.json bun.lock"),
        _ => None,
    }
}

fn of_python(command: &Command) -> Option<Install> {
    let words = command.positional(&[
        "-r",
        "--requirement",
        "-c",
        "--constraint",
        "--target",
        "-t",
        "-i",
        "--index-url",
    ]);
    match (command.program(), words.first().copied()) {
        ("uv", Some("sync")) => install("uv", Kind::Dependencies, "pyproject.toml uv.lock"),
        ("poetry", Some("install")) => install("poetry", Kind::Dependencies, "pyproject.toml poetry.lock"),
        ("pdm", Some("install" | "sync")) => install("pdm", Kind::Dependencies, "pyproject.toml pdm.lock"),
        ("pipenv", Some("install" | "sync")) => install("pipenv", Kind::Dependencies, "Pipfile Pipfile.lock"),
        _ if is_pip_install(command) => {
            if command.has(&["-r", "--requirement"]) {
                return install("pip", Kind::Dependencies, "requirements.txt");
            }
            // `.` and paths are the project itself, which must be there first.
            let is_own = |word: &&str| word.starts_with(['.', '/']);
            let named = words.iter().filter(|word| !matches!(**word, "install" | "pip")).count();
            let is_packages = named > 0 && !words.iter().any(is_own);
            if is_packages { install("pip", Kind::Packages, "") } else { None }
        }
        _ => None,
    }
}

/// `pip install`, `python -m pip install`, `uv pip install`.
pub(crate) fn is_pip_install(command: &Command) -> bool {
    let words: Vec<&str> = command.arguments().iter().map(String::as_str).collect();
    match command.program() {
        "pip" | "pip3" => is_first(command, &["install"]),
        "python" | "python3" => words.starts_with(&["-m", "pip"]) && words.contains(&"install"),
        "uv" => words.starts_with(&["pip", "install"]),
        _ => false,
    }
}

fn of_cargo(command: &Command) -> Option<Install> {
    let words = command.positional(&[]);
    let kind = match words.first().copied()? {
        "build" => Kind::Compile,
        "install" if command.has(&["--path"]) => Kind::Compile,
        "fetch" | "chef" | "vendor" => Kind::Download,
        _ => return None,
    };
    install("cargo", kind, "Cargo.toml Cargo.lock")
}

fn of_go(command: &Command) -> Option<Install> {
    let words = command.positional(&["-o", "-ldflags", "-tags", "-C"]);
    let kind = match words.first().copied()? {
        "mod" if words.contains(&"download") => Kind::Download,
        "build" => Kind::Compile,
        // With a version it is a tool, and has nothing to do with the project.
        "install" if !words.iter().any(|word| word.contains('@')) => Kind::Compile,
        _ => return None,
    };
    install("go", kind, "go.mod go.sum")
}

fn of_maven(command: &Command) -> Option<Install> {
    let words = command.positional(&["-f", "--file", "-pl", "-P", "-s"]);
    let is_goal = |word: &&str| matches!(*word, "package" | "install" | "verify" | "compile" | "deploy");
    let kind = if words.iter().any(|word| word.starts_with("dependency:")) {
        Kind::Download
    } else if words.iter().any(is_goal) {
        Kind::Compile
    } else {
        return None;
    };
    install("maven", kind, "pom.xml")
}

fn of_gradle(command: &Command) -> Option<Install> {
    let words = command.positional(&["-p", "-b", "-x"]);
    let task = |word: &&str| word.rsplit(':').next().unwrap_or_default().to_owned();
    let tasks: Vec<String> = words.iter().map(task).collect();
    let is_build = |task: &String| {
        matches!(task.as_str(), "build" | "assemble" | "bootJar" | "jar" | "shadowJar" | "installDist")
    };
    let kind = if tasks.iter().any(is_build) {
        Kind::Compile
    } else if tasks.iter().any(|task| task.to_lowercase().contains("dependencies")) {
        Kind::Download
    } else {
        return None;
    };
    install("gradle", kind, "build.gradle* settings.gradle*")
}

fn of_dotnet(command: &Command) -> Option<Install> {
    let kind = match command.positional(&[]).first().copied()? {
        "restore" => Kind::Dependencies,
        "publish" | "build" if !command.has(&["--no-restore"]) => Kind::Compile,
        _ => return None,
    };
    install("dotnet", kind, "*.csproj")
}

/// Whether a command makes the program out of its sources, which no image that runs it needs the tools for.
pub(crate) fn is_build(command: &Command) -> bool {
    let words = command.positional(&NODE_VALUES);
    let first = words.first().copied().unwrap_or_default();
    let second = words.get(1).copied().unwrap_or_default();
    let is_script = |name: &str| name == "build" || name.starts_with("build:");
    match command.program() {
        "npm" => matches!(first, "run" | "run-script") && is_script(second),
        "pnpm" | "yarn" | "bun" => is_script(first) || (first == "run" && is_script(second)),
        "npx" | "bunx" => {
            matches!((first, second), ("tsc", _) | ("vite" | "next" | "nest" | "ng" | "nuxt", "build"))
        }
        "vite" | "next" | "nest" | "ng" | "nuxt" => first == "build",
        "tsc" | "make" | "cmake" | "gcc" | "g++" | "cc" | "clang" | "javac" => true,
        "cargo" | "go" | "mvn" | "mvnw" | "gradle" | "gradlew" => {
            of(command).is_some_and(|install| install.kind == Kind::Compile)
        }
        "dotnet" => matches!(first, "publish" | "build"),
        _ => false,
    }
}
