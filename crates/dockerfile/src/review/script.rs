//! Rules about what commands do, whichever program they are for.

use crate::file::{Instruction, Keyword};
use crate::review::Findings;
use crate::review::quote::{plain, quote};
use crate::review::shell::{Command, is_shell};
use crate::review::subject::{Step, Subject};

/// Programs that fetch.
const FETCHERS: [&str; 2] = ["curl", "wget"];
/// Programs beside shells that run what they read.
const INTERPRETERS: [&str; 6] = ["python", "python3", "perl", "ruby", "node", "php"];
/// Ways to let everybody write.
const OPEN_MODES: [&str; 6] = ["777", "0777", "a+rwx", "ugo+rwx", "a=rwx", "+rwx"];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for step in &subject.steps {
        fetched_script(step, findings);
        sudo(step, findings);
        open_mode(step, findings);
        folder(step, findings);
    }
}

/// `curl ... | sh`, `sh -c "$(curl ...)"`, `bash <(curl ...)`.
fn fetched_script(step: &Step<'_>, findings: &mut Findings) {
    let mut has_fetched = false;
    for command in &step.commands {
        has_fetched &= command.is_piped;
        let program = command.program();
        let is_piped = has_fetched && reads_code(command);
        let runs = is_shell(program) || matches!(program, "eval" | "source" | ".");
        let is_inside = runs && command.arguments().iter().any(|word| starts_fetch(word));
        if is_piped || is_inside {
            let message = format!("{} runs whatever a server sends at that moment, unseen", quote(program));
            let fix = "fetch a file of one version, check it and run it: curl -fsSLo install.sh <address> && \
                       echo '<sha256>  install.sh' | sha256sum -c && sh install.sh";
            findings.warning("curl-pipe", step.instruction.line, message, fix);
            return;
        }
        has_fetched |= FETCHERS.contains(&program);
    }
}

/// Whether a program takes what it reads for a program, not for data.
fn reads_code(command: &Command) -> bool {
    let first = command.arguments().first().map_or("-", String::as_str);
    let is_shell = is_shell(command.program()) && first.starts_with('-') && command.inner_script().is_none();
    is_shell || (INTERPRETERS.contains(&command.program()) && matches!(first, "-" | "--"))
}

/// Whether a word begins with the output of a program that fetches.
fn starts_fetch(word: &str) -> bool {
    ["$(", "<(", "`"].iter().any(|open| {
        let inner = word.strip_prefix(open).unwrap_or_default().trim_start();
        FETCHERS.iter().any(|program| inner.strip_prefix(program).is_some_and(|rest| rest.starts_with(' ')))
    })
}

fn sudo(step: &Step<'_>, findings: &mut Findings) {
    let is_sudo = |command: &&Command| command.words.first().is_some_and(|word| word == "sudo");
    let Some(command) = step.commands.iter().find(is_sudo) else { return };
    let rest = plain(&command.words[1..].join(" "));
    let message = "sudo has no use in a build and leaves a way to root in the image";
    let fix = format!("USER root above, then RUN {rest}, and the other USER again behind it");
    findings.warning("sudo", step.instruction.line, message, fix);
}

fn open_mode(step: &Step<'_>, findings: &mut Findings) {
    let is_open = |mode: &str| OPEN_MODES.contains(&mode);
    let has_mode = |command: &Command| {
        command.program() == "chmod" && command.arguments().iter().any(|word| is_open(word))
    };
    let is_flag = step.instruction.flag("chmod").is_some_and(is_open);
    if is_flag || step.commands.iter().any(has_mode) {
        let message = "mode 777 lets every program in the container replace these files";
        let fix = if is_flag {
            "--chmod=755, or 644 for files that are no programs"
        } else {
            "give them to the one who needs them: chown <user> <files> && chmod -R u+rwX <files>, or COPY --chown=<user>"
        };
        findings.warning("chmod-777", step.instruction.line, message, fix);
    }
}

/// `RUN cd x` changes nothing for the next instruction.
fn folder(step: &Step<'_>, findings: &mut Findings) {
    let is_cd = |command: &Command| command.program() == "cd";
    if step.instruction.keyword != Keyword::Run || !step.commands.first().is_some_and(is_cd) {
        return;
    }
    let target = step.commands[0].positional(&[]).first().map_or_else(String::new, |target| plain(target));
    let line = step.instruction.line;
    if step.commands.iter().all(is_cd) {
        let message = "cd lasts until the end of its RUN, so this one changes nothing";
        findings.warning("run-cd", line, message, format!("WORKDIR {target}"));
    } else if is_simple(step.instruction) {
        let message = "the folder is changed inside of a command, where it is easily overlooked";
        findings.note("run-cd", line, message, format!("WORKDIR {target} above, and the RUN without cd"));
    }
}

/// A chain of two commands, not a longer script that has its reasons.
fn is_simple(instruction: &Instruction) -> bool {
    instruction.heredocs.is_empty() && instruction.arguments.matches("&&").count() <= 2
}
