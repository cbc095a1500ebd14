//! Rules about what runs. Whoever stops a task sends a signal to its first process: a shell there keeps it to itself, and
//! the program is killed in the middle of its work when the time is over.

use crate::file::Keyword;
use crate::review::Findings;
use crate::review::quote::{exec_form, plain, quote};
use crate::review::shell::{Command, base_name, commands, is_shell};
use crate::review::subject::{Step, Subject};

/// Characters that mean something to a shell.
const SPECIAL: [char; 20] =
    ['$', '&', '|', ';', '<', '>', '(', ')', '*', '?', '[', ']', '{', '}', '~', '`', '\\', '#', '!', '%'];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let entrypoint = subject.effective(&Keyword::Entrypoint);
    if let Some(step) = entrypoint {
        form(step, findings);
        package_manager(step, findings);
    }
    let Some(step) = subject.effective(&Keyword::Cmd) else { return };
    if entrypoint.is_some_and(|entrypoint| entrypoint.stage > step.stage) {
        // An ENTRYPOINT takes back the CMD of what the stage is based on.
        return;
    }
    form(step, findings);
    package_manager(step, findings);
}

fn form(step: &Step<'_>, findings: &mut Findings) {
    let instruction = step.instruction;
    let name = instruction.keyword.as_str();
    match instruction.exec_form() {
        Some(words) => shell_inside(step, &words, findings),
        None if instruction.arguments.is_empty() || instruction.arguments.starts_with('[') => {}
        None => {
            let commands = commands(&instruction.arguments);
            if is_handled(&commands) {
                return;
            }
            let message = format!(
                "the shell form of {name} puts a shell in front of the program, which keeps SIGTERM to itself: it is \
                 killed instead of ending by itself"
            );
            findings.warning(
                "shell-form",
                instruction.line,
                message,
                format!("{name} {}", mended(step, &commands)),
            );
        }
    }
}

/// The line to write instead of the shell form.
fn mended(step: &Step<'_>, commands: &[Command]) -> String {
    let arguments = &step.instruction.arguments;
    match commands {
        [only] if !arguments.contains(SPECIAL) && only.assignments.is_empty() => {
            plain(&exec_form(&only.words))
        }
        [_] => format!("exec {}", plain(arguments)),
        _ => format!("{}, with exec before the last command", plain(arguments)),
    }
}

/// Whether a script hands over to its program, or takes care of signals.
fn is_handled(commands: &[Command]) -> bool {
    let begins = |command: &Command, word: &str| command.words.first().is_some_and(|first| first == word);
    commands.iter().any(|command| begins(command, "exec") || begins(command, "trap"))
}

/// `["sh", "-c", "node main.js"]`.
fn shell_inside(step: &Step<'_>, words: &[String], findings: &mut Findings) {
    if !words.first().is_some_and(|word| is_shell(base_name(word))) {
        return;
    }
    let Some(script) = Command::of_words(words.to_vec()).inner_script() else { return };
    let inner = commands(&script);
    if inner.is_empty() || is_handled(&inner) {
        return;
    }
    let name = step.instruction.keyword.as_str();
    let message = format!(
        "{} -c stays in front of the program and keeps SIGTERM to itself: it is killed instead of ending by itself",
        quote(base_name(&words[0]))
    );
    let fix = match &inner[..] {
        [_] => {
            let script = format!("exec {script}");
            format!("{name} {}", plain(&exec_form(&[words[0].clone(), "-c".to_owned(), script])))
        }
        _ => "write exec before the last command of the script".to_owned(),
    };
    findings.warning("shell-exec", step.instruction.line, message, fix);
}

/// `npm start` is a program in front of the program.
fn package_manager(step: &Step<'_>, findings: &mut Findings) {
    let words = step.instruction.exec_form().unwrap_or_default();
    let program = words.first().map_or("", |word| base_name(word));
    let what = words.get(1).map_or("", String::as_str);
    let is_start = matches!(what, "start" | "run" | "run-script" | "serve") || what.starts_with("start:");
    if matches!(program, "npm" | "pnpm" | "yarn") && is_start {
        let message =
            format!("{program} stands between signals and the program, and takes memory all the time");
        let name = step.instruction.keyword.as_str();
        let fix = format!("{name} [\"node\", \"<file>\"], with what the script in package.json runs");
        findings.note("npm-start", step.instruction.line, message, fix);
    }
}
