//! Instructions that all languages write alike: packages of the system, caches, the user, the start. Decides nothing.
//! Tests at the end of the file.

use crate::stack::folder::Folder;
use crate::stack::text::Document;

/// Image in which programs run that need no language at run time.
pub(crate) const DEBIAN: &str = "debian:bookworm-slim";
/// Widest instruction on one line.
const WIDTH_MAX: usize = 110;

/// A folder that a package manager keeps from one build to the next, outside of every image.
#[derive(Debug, Clone)]
pub(crate) struct Cache(String);

impl Cache {
    /// For package managers that share their cache safely among builds.
    pub(crate) fn at(target: &str) -> Self {
        Self(format!("--mount=type=cache,target={target}"))
    }

    /// For those that do not: one build at a time.
    pub(crate) fn locked(target: &str) -> Self {
        Self(format!("--mount=type=cache,target={target},sharing=locked"))
    }

    /// One build at a time, and a folder of its own where other programs have the same `target`.
    pub(crate) fn named(id: &str, target: &str) -> Self {
        Self(format!("--mount=type=cache,id={id},target={target},sharing=locked"))
    }
}

/// One `RUN` of several commands, each of which must succeed.
pub(crate) fn run(document: &mut Document, caches: &[Cache], commands: &[&str]) {
    let mut parts: Vec<String> = caches.iter().map(|cache| cache.0.clone()).collect();
    for (index, command) in commands.iter().enumerate() {
        let is_last = index + 1 == commands.len();
        parts.push(if is_last { (*command).to_owned() } else { format!("{command} &&") });
    }
    for line in fold("RUN", &parts) {
        document.line(line);
    }
}

/// One instruction on one line if it is short, else with each part on its own.
fn fold(instruction: &str, parts: &[String]) -> Vec<String> {
    let whole = format!("{instruction} {}", parts.join(" "));
    if whole.len() <= WIDTH_MAX {
        return vec![whole];
    }
    let indent = " ".repeat(instruction.len());
    let mut lines = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let start = if index == 0 { instruction } else { indent.as_str() };
        let end = if index + 1 == parts.len() { "" } else { " \\" };
        lines.push(format!("{start} {part}{end}"));
    }
    lines
}

/// Installs packages of Debian or Ubuntu; nothing where there are none.
pub(crate) fn apt(document: &mut Document, packages: &[&str]) {
    if packages.is_empty() {
        return;
    }
    let install = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    run(document, &[], &["apt-get update", install.as_str(), "rm -rf /var/lib/apt/lists/*"]);
}

/// Makes the user that runs the program. The files of the program stay root's, so that it cannot change itself; its home
/// is the one folder that every image lets it write to.
pub(crate) fn user(document: &mut Document) {
    let user = "useradd --uid 1001 --gid 1001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin app";
    run(document, &[], &["groupadd --gid 1001 app", user]);
}

/// Ends the last stage: who runs the program, where it listens, how it starts.
pub(crate) fn start(document: &mut Document, port: u16, argv: &[String]) {
    document.line("USER 1001");
    document.line(format!("EXPOSE {port}"));
    document.exec("CMD", argv);
}

/// A command as the contract has it.
pub(crate) fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Variables of a program come with its task: what a developer's machine has must not end in an image.
pub(crate) const SECRETS: [&str; 3] = ["**/.env", "**/.env.*", "!**/.env.example"];

/// A `.dockerignore`: what no image needs, then `secrets`, then what a build makes.
pub(crate) fn ignore(secrets: &[&str], made: &[&str]) -> String {
    let always = [".git", "**/.DS_Store", "**/*.log"];
    let mut text = String::new();
    for line in always.iter().chain(secrets).chain(made) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Begins a Dockerfile: what it is for, and what was decided.
pub(crate) fn begin(stack: &str, notes: &[String]) -> Document {
    let mut comments = vec![format!("{stack}.")];
    comments.extend_from_slice(notes);
    Document::new(&comments)
}

/// A path by which programs usually say how they are, if the text names one as a route.
pub(crate) fn health_in(text: &str) -> Option<String> {
    const USUAL: [&str; 4] = ["/healthz", "/health", "/up", "/api/health"];
    USUAL.iter().find(|path| is_route(text, path)).map(|path| (*path).to_owned())
}

fn is_route(text: &str, path: &str) -> bool {
    const STARTS: [&str; 5] = ["\"", "'", "`", "\"GET ", "`GET "];
    const ENDS: [&str; 3] = ["\"", "'", "`"];
    STARTS.iter().any(|start| ENDS.iter().any(|end| text.contains(format!("{start}{path}{end}").as_str())))
}

/// Folders a compiled program may read when it runs: what is in them is not in the binary.
const RESOURCES: [&str; 9] =
    ["assets", "config", "locales", "migrations", "public", "static", "templates", "translations", "views"];

/// Those of them that are in the folder.
pub(crate) fn resources(folder: &Folder<'_>) -> Vec<&'static str> {
    RESOURCES.iter().copied().filter(|name| folder.has_folder(name)).collect()
}

/// The command of a Dockerfile for tests, which must be in exec form.
#[cfg(test)]
pub(crate) fn command_of(dockerfile: &str) -> Vec<String> {
    let line = dockerfile.lines().rev().find_map(|line| line.strip_prefix("CMD ")).expect("has a command");
    serde_json::from_str(line).expect("is in exec form")
}

/// Checks for tests that these parts follow one another, and what holds for every Dockerfile: a user that is not root, and
/// nothing an old BuildKit does not know.
#[cfg(test)]
pub(crate) fn assert_sound(dockerfile: &str, parts: &[&str]) {
    let mut rest = dockerfile;
    for part in parts {
        let found = rest.split_once(*part);
        assert!(found.is_some(), "{part:?} is missing or too early in\n{dockerfile}");
        rest = found.map_or("", |(_, after)| after);
    }
    let (_, last) = dockerfile.rsplit_once("FROM ").expect("has a stage");
    let users: Vec<&str> = last.lines().filter(|line| line.starts_with("USER ")).collect();
    assert_eq!(users, ["USER 1001"], "{dockerfile}");
    for unknown in ["<<", "syntax=", "--link", "--chmod"] {
        assert!(!dockerfile.contains(unknown), "{unknown} is in\n{dockerfile}");
    }
    assert!(!command_of(dockerfile).is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_instructions_are_folded() {
        let parts = ["a".repeat(60), "b".repeat(60)];
        let lines = fold("RUN", &parts);
        assert_eq!(lines, [format!("RUN {} \\", parts[0]), format!("    {}", parts[1])]);
        assert_eq!(fold("RUN", &["a".to_owned(), "b".to_owned()]), ["RUN a b"]);
    }

    #[test]
    fn usual_health_paths() {
        let table = [
            ("@app.get(\"/health\")", Some("/health")),
            ("get '/up' do", Some("/up")),
            ("mux.HandleFunc(\"GET /healthz\", f)", Some("/healthz")),
            ("see /health for more", None),
            ("\"/healthy\"", None),
        ];
        for (text, expected) in table {
            assert_eq!(health_in(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn ignored_files_are_a_list() {
        assert_eq!(ignore(&["**/.env"], &["target"]), ".git\n**/.DS_Store\n**/*.log\n**/.env\ntarget\n");
    }
}
