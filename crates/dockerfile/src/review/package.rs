//! Rules about package managers of the system and of Python: what they need in one `RUN`, and what they leave behind.
//! What is left behind counts only where the layer is in the image.

use crate::review::Findings;
use crate::review::install::{is_first, is_pip_install};
use crate::review::quote::plain;
use crate::review::shell::Command;
use crate::review::subject::{Step, Subject, Variables};

/// Where apt keeps its lists, and apk its index.
const LISTS: &str = "/var/lib/apt/lists";
const APK_CACHE: &str = "/var/cache/apk";

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let mut variables = Variables::new(subject.file);
    for step in &subject.steps {
        if step.is_shipped {
            variables.enter(step);
        }
        if step.commands.is_empty() {
            continue;
        }
        install(step, findings);
        upgrade(step, findings);
        if step.is_shipped {
            apt_left(step, findings);
            apk_left(step, findings);
            pip_left(step, &variables, findings);
        }
    }
}

fn is_apt(command: &Command) -> bool {
    matches!(command.program(), "apt-get" | "apt")
}

fn is_apt_install(command: &Command) -> bool {
    is_apt(command) && is_first(command, &["install"])
}

/// Words that belong to the command whatever is installed.
fn packages(command: &Command) -> String {
    let words = command.positional(&["-o", "-t", "-c"]);
    plain(&words.into_iter().filter(|word| *word != "install").collect::<Vec<&str>>().join(" "))
}

fn good(command: &Command) -> String {
    format!(
        "RUN apt-get update && apt-get install -y --no-install-recommends {} && rm -rf {LISTS}/*",
        packages(command)
    )
}

fn install(step: &Step<'_>, findings: &mut Findings) {
    let line = step.instruction.line;
    let mut is_updated = false;
    for command in step.commands.iter().filter(|command| is_apt(command)) {
        is_updated |= is_first(command, &["update"]);
        if !is_apt_install(command) {
            continue;
        }
        if !is_updated {
            let message = "apt-get install without apt-get update in the same RUN takes the lists of an old layer, which \
                           name packages that are gone";
            findings.warning("apt-update", line, message, good(command));
        }
        if !is_assumed(command) {
            let message = "apt-get install asks whether to go on, and nobody can answer: the build fails";
            findings.error("apt-yes", line, message, good(command));
        }
        return;
    }
}

/// `-y` in any of its forms; `-qq` means it too.
fn is_assumed(command: &Command) -> bool {
    let is_yes = |word: &String| match word.strip_prefix('-') {
        Some(long) if long.starts_with('-') => matches!(long, "-yes" | "-assume-yes" | "-force-yes"),
        Some(short) => short.contains('y') || short.contains("qq"),
        None => word.to_lowercase().contains("assume-yes"),
    };
    command.arguments().iter().any(is_yes)
}

fn upgrade(step: &Step<'_>, findings: &mut Findings) {
    let is_one = |command: &&Command| match command.program() {
        "apt-get" | "apt" => is_first(command, &["upgrade", "dist-upgrade", "full-upgrade"]),
        "apk" => is_first(command, &["upgrade"]),
        "dnf" | "yum" | "microdnf" => is_first(command, &["upgrade", "update"]),
        _ => false,
    };
    let Some(command) = step.commands.iter().find(is_one) else { return };
    let name = command.program();
    let message = format!(
        "{name} upgrade makes another image of the same file each day, and keeps every package it replaces in the layer below"
    );
    let fix = "take it out, and name a newer base image in FROM";
    findings.warning("system-upgrade", step.instruction.line, message, fix);
}

/// What apt installs unasked, and lists that stay.
fn apt_left(step: &Step<'_>, findings: &mut Findings) {
    let line = step.instruction.line;
    let Some(command) = step.commands.iter().find(|command| is_apt_install(command)) else { return };
    let is_lean = |word: &String| {
        let word = word.to_lowercase();
        word.contains("no-install-recommends") || word.contains("install-recommends=")
    };
    let installs = || step.commands.iter().filter(|command| is_apt_install(command));
    if installs().any(|command| !command.arguments().iter().any(is_lean)) {
        let message =
            "apt-get install takes every recommended package along, often more than what was asked for";
        findings.warning("apt-recommends", line, message, good(command));
    }
    let is_cleared = step.commands.iter().any(|command| {
        let is_removal =
            command.program() == "rm" && command.arguments().iter().any(|word| word.starts_with(LISTS));
        let is_clean = is_apt(command) && is_first(command, &["distclean", "dist-clean"]);
        let is_found =
            command.program() == "find" && command.arguments().iter().any(|word| word.starts_with(LISTS));
        is_removal || is_clean || is_found
    });
    if !is_cleared && !step.has_cache_at(&[LISTS]) {
        let message = "the lists of apt stay in this layer: some 20 MB or more, of no use later";
        findings.warning("apt-lists", line, message, good(command));
    }
}

fn apk_left(step: &Step<'_>, findings: &mut Findings) {
    let is_add = |command: &&Command| command.program() == "apk" && is_first(command, &["add"]);
    let Some(command) = step.commands.iter().filter(is_add).find(|command| !command.has(&["--no-cache"]))
    else {
        return;
    };
    let is_removal = |command: &Command| {
        command.program() == "rm" && command.arguments().iter().any(|word| word.starts_with(APK_CACHE))
    };
    if step.commands.iter().any(is_removal) || step.has_cache_at(&[APK_CACHE, "/etc/apk/cache"]) {
        return;
    }
    let packages: Vec<&str> =
        command.positional(&["-t", "--virtual"]).into_iter().filter(|word| *word != "add").collect();
    let message = "apk add without --no-cache leaves its index in this layer";
    let fix = format!("RUN apk add --no-cache {}", plain(&packages.join(" ")));
    findings.warning("apk-cache", step.instruction.line, message, fix);
}

fn pip_left(step: &Step<'_>, variables: &Variables, findings: &mut Findings) {
    let is_set = |name: &str| {
        variables.scope.value(name).is_some_and(|value| !matches!(value, "" | "0" | "false" | "off"))
    };
    if step.has_cache || is_set("PIP_NO_CACHE_DIR") {
        return;
    }
    // uv has a cache of its own, which is of use to nobody in an image either.
    let is_kept = |command: &&Command| {
        let is_uv = command.program() == "uv";
        let is_off = command.has(&["--no-cache-dir", "--no-cache"])
            || command.assignment("PIP_NO_CACHE_DIR").is_some()
            || (is_uv && is_set("UV_NO_CACHE"));
        is_pip_install(command) && !is_off
    };
    let Some(command) = step.commands.iter().find(is_kept) else { return };
    let is_cleared = step.commands.iter().any(|command| {
        command.arguments().iter().any(|word| word.contains(".cache")) || command.has(&["purge"])
    });
    if is_cleared {
        return;
    }
    let (program, flag) = match command.program() {
        "uv" => ("uv pip", "--no-cache"),
        _ => ("pip", "--no-cache-dir"),
    };
    let words = command.arguments().iter().map(String::as_str);
    let rest: Vec<&str> = words.filter(|word| !matches!(*word, "install" | "pip" | "-m")).collect();
    let fix = format!("RUN {program} install {flag} {}", plain(&rest.join(" ")));
    let message = "pip keeps what it fetched in this layer, where nothing reads it again";
    findings.warning("pip-cache", step.instruction.line, message, fix);
}
