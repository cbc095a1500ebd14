//! Rules about the file as a whole and about instructions as such: what Docker refuses, and what counts once.

use havre_core::suggest::nearest;

use crate::file::{Instruction, Keyword};
use crate::review::Findings;
use crate::review::quote::{plain, quote};
use crate::review::subject::Subject;

/// Programs people begin a line with when the line before lacks its backslash.
const PROGRAMS: [&str; 12] =
    ["apt-get", "apt", "apk", "npm", "pip", "cd", "mkdir", "chmod", "rm", "curl", "echo", "make"];

/// Longest word that may be a keyword with a slip in it.
const KEYWORD_MAX: usize = 16;

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    if subject.stages.is_empty() {
        let line = subject.file.instructions.first().map_or(1, |first| first.line);
        let message = "there is no FROM, so there is nothing to build on";
        findings.error(
            "from-missing",
            line,
            message,
            "begin with the image to build on: FROM <image>:<version>",
        );
    } else {
        before_from(subject, findings);
    }
    for instruction in &subject.file.instructions {
        unknown(instruction, findings);
        empty(instruction, findings);
        broken_list(instruction, findings);
        maintainer(instruction, findings);
        onbuild(instruction, findings);
    }
    twice(subject, findings);
}

fn before_from(subject: &Subject<'_>, findings: &mut Findings) {
    let is_wrong =
        |instruction: &&Instruction| !matches!(instruction.keyword, Keyword::Arg | Keyword::Unknown(_));
    for instruction in subject.file.preamble().iter().filter(is_wrong) {
        let name = instruction.keyword.as_str();
        let message = format!("{name} stands before the first FROM, where only ARG may stand");
        findings.error("before-from", instruction.line, message, "move it below the FROM it is meant for");
    }
}

fn unknown(instruction: &Instruction, findings: &mut Findings) {
    let Keyword::Unknown(word) = &instruction.keyword else { return };
    let is_shell = !word.starts_with(|c: char| c.is_ascii_alphabetic()) || PROGRAMS.contains(&word.as_str());
    let near = if word.len() <= KEYWORD_MAX { nearest(word, &Keyword::KNOWN) } else { None };
    let fix = match near {
        _ if is_shell => "end the line above with a backslash when this belongs to it".to_owned(),
        Some(near) => {
            let near = near.to_uppercase();
            format!("did you mean {near}? write: {near} {}", plain(&instruction.arguments))
        }
        None => format!("take it out, or put it behind one of: {}", Keyword::KNOWN.join(", ").to_uppercase()),
    };
    let message = format!("{} is no instruction; the build fails here", quote(word));
    findings.error("unknown-instruction", instruction.line, message, fix);
}

fn empty(instruction: &Instruction, findings: &mut Findings) {
    // Without arguments these two take back what a base says.
    let may_be = matches!(instruction.keyword, Keyword::Unknown(_) | Keyword::Cmd | Keyword::Entrypoint);
    if may_be || !instruction.arguments.is_empty() {
        return;
    }
    let name = instruction.keyword.as_str();
    let message = format!("{name} says nothing; the build fails here");
    findings.error(
        "empty-instruction",
        instruction.line,
        message,
        "write its arguments, or take the line out",
    );
}

/// `CMD ['node', 'main.js']` is no JSON, so Docker hands the brackets to a shell.
fn broken_list(instruction: &Instruction, findings: &mut Findings) {
    let arguments = instruction.arguments.trim_end();
    let Some(inner) = arguments.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return };
    let is_meant = match instruction.keyword {
        Keyword::Cmd | Keyword::Entrypoint | Keyword::Shell => true,
        // `[ -f x ]` is a test of the shell; what a list holds begins with a quote.
        Keyword::Run => inner.trim_start().starts_with(['\'', '"', '“']) && inner.contains(','),
        _ => false,
    };
    if !is_meant || instruction.exec_form().is_some() {
        return;
    }
    let name = instruction.keyword.as_str();
    let mended = Instruction {
        arguments: arguments.replace(['\'', '“', '”', '‘', '’', '`'], "\""),
        ..instruction.clone()
    };
    let fix = match mended.exec_form() {
        Some(_) => format!("{name} {}", plain(&mended.arguments)),
        None => {
            format!("{name} [\"program\", \"argument\"]: straight double quotes, commas, none at the end")
        }
    };
    let message = format!("{name} looks like a list and is no JSON, so a shell gets it with its brackets");
    findings.error("exec-form-json", instruction.line, message, fix);
}

fn maintainer(instruction: &Instruction, findings: &mut Findings) {
    if instruction.keyword != Keyword::Maintainer {
        return;
    }
    let fix = format!("LABEL org.opencontainers.image.authors=\"{}\"", plain(&instruction.arguments));
    findings.note("maintainer", instruction.line, "MAINTAINER is out of use since 2017", fix);
}

fn onbuild(instruction: &Instruction, findings: &mut Findings) {
    let Some(trigger) = &instruction.trigger else { return };
    if matches!(trigger.keyword, Keyword::Onbuild | Keyword::From | Keyword::Maintainer) {
        let message = format!("ONBUILD cannot put off {}", trigger.keyword.as_str());
        findings.error("onbuild", instruction.line, message, "take the line out");
    } else if let Keyword::Unknown(word) = &trigger.keyword {
        let message = format!("ONBUILD puts off {}, which is no instruction", quote(word));
        findings.error("onbuild", instruction.line, message, "ONBUILD <instruction> <arguments>");
    }
}

/// Of several in one stage only the last counts.
fn twice(subject: &Subject<'_>, findings: &mut Findings) {
    for stage in &subject.stages {
        for keyword in [Keyword::Cmd, Keyword::Entrypoint, Keyword::Healthcheck] {
            let mut lines: Vec<u32> = Vec::new();
            let same = stage.instructions.iter().filter(|instruction| instruction.keyword == keyword);
            lines.extend(same.map(|instruction| instruction.line));
            let Some(last) = lines.pop() else { continue };
            for line in lines {
                let name = keyword.as_str();
                let message = format!("this {name} never counts: the one in line {last} replaces it");
                findings.warning("replaced-instruction", line, message, "take it out");
            }
        }
    }
}
