//! Rules about what has no place in an image that only runs: compilers, sources, what only developers need.

use crate::review::Findings;
use crate::review::install::{self, Kind};
use crate::review::quote::{plain, quote};
use crate::review::shell::Command;
use crate::review::subject::{Step, Subject, Variables};

/// Packages that compile.
const COMPILERS: [&str; 10] = [
    "build-base",
    "build-essential",
    "clang",
    "cmake",
    "g++",
    "gcc",
    "golang",
    "make",
    "musl-dev",
    "python3-dev",
];

/// Tools, flags with which they leave out what only developers need, and the one to advise.
const PRODUCTION: [(&str, &[&str], &str); 7] = [
    ("npm", &["--omit", "--production", "--only"], "--omit=dev"),
    ("pnpm", &["--prod", "-P", "--production"], "--prod"),
    ("yarn", &["--production"], "--production"),
    ("bun", &["--production", "-p", "--omit"], "--production"),
    ("composer", &["--no-dev"], "--no-dev"),
    ("uv", &["--no-dev", "--no-default-groups", "--only-group", "--no-group"], "--no-dev"),
    ("poetry", &["--only", "--without", "--no-dev", "--only-root"], "--only main"),
];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    // A build that is left in the last stage needs what only developers need, so that is said once.
    if !builds_in_last(subject, findings) {
        development(subject, findings);
    }
}

fn builds_in_last(subject: &Subject<'_>, findings: &mut Findings) -> bool {
    for step in subject.shipped() {
        let what = if let Some(build) = step.commands.iter().find(|command| install::is_build(command)) {
            format!("{} runs", quote(&build.words.join(" ")))
        } else if let Some(compiler) = compiler(step) {
            format!("{} is installed", quote(compiler))
        } else {
            continue;
        };
        let message = format!(
            "{what} in the stage that becomes the image: compilers, sources and what only a build needs stay in it"
        );
        let first = &subject.stages[step.stage];
        let name = plain(first.name.as_deref().unwrap_or("build"));
        let fix = format!(
            "build in a stage of its own (FROM ... AS {name}), and end with FROM <slim image>, COPY --from={name} <what was built> ./"
        );
        findings.warning("build-in-last-stage", step.instruction.line, message, fix);
        return true;
    }
    false
}

/// A compiler that stays when the `RUN` is over.
fn compiler<'a>(step: &'a Step<'_>) -> Option<&'a str> {
    let is_installed = |command: &&Command| {
        install::of(command).is_some_and(|install| install.kind == Kind::Packages && install.tool != "pip")
    };
    let is_removal = |command: &Command| match command.program() {
        "apt-get" | "apt" => install::is_first(command, &["purge", "remove", "autoremove"]),
        "apk" => install::is_first(command, &["del"]),
        _ => false,
    };
    if step.commands.iter().any(is_removal) {
        return None;
    }
    let mut words = step.commands.iter().filter(is_installed).flat_map(Command::arguments);
    words.find(|word| COMPILERS.contains(&word.as_str())).map(String::as_str)
}

/// Dependencies that only developers need, in the image.
fn development(subject: &Subject<'_>, findings: &mut Findings) {
    let mut variables = Variables::new(subject.file);
    let is_pruned = subject.shipped().flat_map(|step| &step.commands).any(is_prune);
    for step in subject.shipped() {
        variables.enter(step);
        let is_production = variables.scope.value("NODE_ENV") == Some("production");
        for command in &step.commands {
            let is_production = is_production || command.assignment("NODE_ENV") == Some("production");
            let Some(flag) = missing_flag(command, is_production) else { continue };
            let is_set = |name: &str| variables.scope.value(name).is_some_and(|value| !value.is_empty());
            if is_pruned || is_set("UV_NO_DEV") || is_set("COMPOSER_NO_DEV") || is_set("POETRY_WITHOUT") {
                continue;
            }
            let what = command.words.join(" ");
            let message = format!("{} brings what only developers need into the image", quote(&what));
            let fix = format!("RUN {} {flag}", plain(&what));
            findings.warning("dev-dependencies", step.instruction.line, message, fix);
        }
    }
}

fn is_prune(command: &Command) -> bool {
    matches!(command.program(), "npm" | "pnpm" | "yarn") && install::is_first(command, &["prune"])
}

/// The flag a command lacks to leave out what only developers need.
fn missing_flag(command: &Command, is_production: bool) -> Option<&'static str> {
    let install = install::of(command).filter(|install| install.kind == Kind::Dependencies)?;
    let (_, accepted, missing) = PRODUCTION.iter().find(|(tool, ..)| *tool == install.tool)?;
    let is_node = matches!(install.tool, "npm" | "pnpm" | "yarn");
    (!(command.has(accepted) || is_node && is_production)).then_some(*missing)
}
