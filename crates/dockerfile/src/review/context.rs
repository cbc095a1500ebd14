//! Rules about what gets into the build context: `.dockerignore`, and what a repository holds that has no place in it.

use havre_core::build::ignore::Ignore;

use crate::review::quote::quote;
use crate::review::subject::{Step, Subject, is_whole};
use crate::review::{Findings, IgnoreFile};

/// Most paths of one kind that are compared with `.dockerignore`; hostile patterns make each comparison dear.
const CANDIDATES_MAX: usize = 50;

/// What should stay out, and why.
struct Kind {
    /// What is written into `.dockerignore`.
    pattern: &'static str,
    why: &'static str,
    is_one: fn(&str) -> bool,
}

static KINDS: [Kind; 4] = [
    Kind {
        pattern: "**/.git",
        why: "it holds the whole history and changes with every commit",
        is_one: |path| has_folder(path, ".git"),
    },
    Kind {
        pattern: "**/node_modules",
        why: "it is large, and its programs may be made for another system",
        is_one: |path| has_folder(path, "node_modules"),
    },
    Kind { pattern: "**/.env*", why: "it holds secrets", is_one: is_environment },
    Kind { pattern: "**/.venv", why: "it belongs to this machine", is_one: |path| has_folder(path, ".venv") },
];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let copies = || subject.steps.iter().filter(|step| is_copy(step));
    // Where nothing is copied, nothing that is too much can be.
    let Some(first) = copies().next() else { return };
    let whole = copies().find(|step| {
        step.copied_from_context().is_some_and(|copied| copied.sources.iter().any(|source| is_whole(source)))
    });
    let line = whole.unwrap_or(first).instruction.line;
    match subject.context.ignore {
        IgnoreFile::Unknown => {}
        IgnoreFile::Missing => {
            let fix =
                "write .dockerignore beside it: .git, **/node_modules, **/.env* and what builds leave behind";
            let message = "there is no .dockerignore: all files of the folder are sent";
            match whole {
                Some(_) => {
                    let message = format!("{message} and copied, history, modules and .env files too");
                    findings.warning("dockerignore", line, message, fix);
                }
                None => findings.note("dockerignore", line, format!("{message}, though few are copied"), fix),
            }
        }
        IgnoreFile::Text(text) => match Ignore::parse(text) {
            Ok(ignore) => gaps(subject, &ignore, (line, whole.is_some()), findings),
            Err(why) => {
                let message = format!(".dockerignore cannot be read, {why}");
                findings.error("dockerignore", line, message, "mend that line");
            }
        },
    }
}

/// Whether a step copies from the context.
fn is_copy(step: &Step<'_>) -> bool {
    step.copied_from_context().is_some()
}

/// Names what is there and not left out.
fn gaps(subject: &Subject<'_>, ignore: &Ignore, (line, is_whole): (u32, bool), findings: &mut Findings) {
    let Some(paths) = subject.context.paths else { return };
    let mut found = Vec::new();
    for kind in &KINDS {
        let mut candidates = paths.iter().filter(|path| (kind.is_one)(path)).take(CANDIDATES_MAX);
        if let Some(path) = candidates.find(|path| is_inside(ignore, path)) {
            found.push((kind, path));
        }
    }
    let Some((kind, path)) = found.first() else { return };
    let message = format!("{} is in the build context: {}", quote(path), kind.why);
    let patterns: Vec<&str> = found.iter().map(|(kind, _)| kind.pattern).collect();
    let fix = format!("add to .dockerignore, a line each: {}", patterns.join(" "));
    if is_whole {
        findings.warning("dockerignore", line, message, fix);
    } else {
        findings.note("dockerignore", line, message, fix);
    }
}

fn is_inside(ignore: &Ignore, path: &str) -> bool {
    // A folder may be kept by itself while all that is in it stays out.
    if path.ends_with('/') { !ignore.is_ignored(&format!("{path}x")) } else { !ignore.is_ignored(path) }
}

fn has_folder(path: &str, folder: &str) -> bool {
    path.split('/').rev().skip(1).any(|part| part == folder)
}

/// `.env`, `.env.production`, but no example of one.
fn is_environment(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    is_environment_name(name)
}

/// The same for the name of a file.
pub(crate) fn is_environment_name(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(".env") else { return false };
    let is_example =
        ["example", "sample", "template", "dist", "defaults", "schema"].iter().any(|end| rest.contains(end));
    !is_example && (rest.is_empty() || rest.starts_with('.'))
}
