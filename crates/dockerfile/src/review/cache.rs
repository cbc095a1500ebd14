//! Rules about the order of instructions: what changes often comes after what takes long, or the cache is of no use.

use crate::file::Instruction;
use crate::review::Findings;
use crate::review::install::{self, Install, Kind};
use crate::review::quote::{plain, quote};
use crate::review::shell::Command;
use crate::review::subject::{Step, Subject, is_whole};

/// Files that make a folder that of a program.
const MANIFESTS: [&str; 7] =
    ["package.json", "requirements.txt", "pyproject.toml", "go.mod", "Cargo.toml", "Gemfile", "pom.xml"];

/// What has happened in a stage so far, and in those it is based on.
#[derive(Clone, Default)]
struct Seen<'a> {
    /// The instruction that copies all files.
    whole: Option<&'a Instruction>,
    /// Tools that have installed what the project needs.
    tools: Vec<&'static str>,
    /// A lock file of npm is there.
    has_lock: bool,
}

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let mut behind: Vec<Seen<'_>> = Vec::with_capacity(subject.stages.len());
    let mut steps = subject.steps.iter().peekable();
    for stage in &subject.stages {
        let mut seen = stage.parent.and_then(|parent| behind.get(parent)).cloned().unwrap_or_default();
        while let Some(step) = steps.next_if(|step| step.stage == stage.index) {
            if let Some(copied) = step.copied_from_context() {
                if seen.whole.is_none() && copied.sources.iter().any(|source| is_all(subject, source)) {
                    seen.whole = Some(step.instruction);
                }
                seen.has_lock |= copied.sources.iter().any(|source| brings_lock(subject, source));
            }
            for command in &step.commands {
                order(step, command, &mut seen, findings);
                if seen.has_lock {
                    lock(step, command, findings);
                }
            }
        }
        behind.push(seen);
    }
}

/// The whole context, or the whole folder of a program in a repository of several.
fn is_all(subject: &Subject<'_>, source: &str) -> bool {
    let folder = source.trim_start_matches("./").trim_end_matches('/');
    is_whole(source) || MANIFESTS.iter().any(|name| subject.has_path(&format!("{folder}/{name}")))
}

/// Dependencies that are installed behind a copy of everything are installed again with every change of anything.
fn order(step: &Step<'_>, command: &Command, seen: &mut Seen<'_>, findings: &mut Findings) {
    let Some(install) = install::of(command) else { return };
    let is_first = !seen.tools.contains(&install.tool);
    if install.kind != Kind::Packages && is_first {
        seen.tools.push(install.tool);
    }
    let Some(whole) = seen.whole else { return };
    let is_cheap = match install.kind {
        // What was installed above is still there.
        Kind::Dependencies | Kind::Download => !is_first || step.has_bind,
        Kind::Compile => !is_first || step.has_cache || step.has_bind,
        Kind::Packages => false,
    };
    if is_cheap {
        return;
    }
    let what = quote(&command.words.join(" "));
    let message = format!(
        "all files are copied before {what} (line {}), which runs again with every change of any of them",
        step.instruction.line
    );
    let line = whole.line;
    findings.warning("cache-order", line, message, fix(whole, install, command));
}

fn fix(whole: &Instruction, install: Install, command: &Command) -> String {
    let (copy, run) = (plain(&whole.raw), plain(&command.words.join(" ")));
    match install.kind {
        Kind::Packages => format!("move the RUN above this line: {run} does not depend on your files"),
        Kind::Dependencies | Kind::Download => {
            format!(
                "copy first what it reads: COPY {} ./, then RUN {run}, and {copy} behind it",
                install.manifests
            )
        }
        Kind::Compile => match install.tool {
            "cargo" => "keep what is compiled: RUN --mount=type=cache,target=/usr/local/cargo/registry \
                 --mount=type=cache,target=target cargo build --release && cp the program out of target"
                .to_owned(),
            "go" => {
                format!("before it: COPY go.mod go.sum ./, then RUN go mod download, and {copy} behind them")
            }
            "maven" => format!("RUN --mount=type=cache,target=/root/.m2 {run}"),
            "gradle" => format!("RUN --mount=type=cache,target=/root/.gradle {run}"),
            _ => format!("copy first what it reads: COPY {} ./, then RUN dotnet restore", install.manifests),
        },
    }
}

/// Whether a lock file of npm is known to be among what is copied.
fn brings_lock(subject: &Subject<'_>, source: &str) -> bool {
    let source = source.trim_start_matches("./").trim_end_matches('/');
    let (folder, name) = source.rsplit_once('/').unwrap_or(("", source));
    if matches!(name, "package-lock.json" | "npm-shrinkwrap.json") {
        return true;
    }
    let folder = match name {
        "package*.json" => folder,
        "package.json" => return false,
        "" | "." | "*" => "",
        _ => source,
    };
    let path = if folder.is_empty() {
        "package-lock.json".to_owned()
    } else {
        format!("{folder}/package-lock.json")
    };
    subject.has_path(&path)
}

/// `npm install` may take other versions than the lock file says, and writes it anew.
fn lock(step: &Step<'_>, command: &Command, findings: &mut Findings) {
    let is_npm = install::of(command).is_some_and(|install| install.tool == "npm");
    if !is_npm || !install::is_first(command, &["install", "i"]) {
        return;
    }
    let rest: Vec<&str> = command
        .arguments()
        .iter()
        .map(String::as_str)
        .filter(|word| !matches!(*word, "install" | "i"))
        .collect();
    let fix = format!("npm ci {}", plain(&rest.join(" ")));
    let message = "`npm install` may take other versions than package-lock.json says";
    findings.warning("npm-ci", step.instruction.line, message, format!("RUN {}", fix.trim_end()));
}
