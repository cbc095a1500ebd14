//! From text to instructions, one after the other and never back. After `frontend/dockerfile/parser` of BuildKit: what it
//! joins, leaves out and refuses is joined, left out and refused here. Tests: `tests/it/file.rs`.

use crate::file::heredoc::{Heredoc, announced, read};
use crate::file::instruction::{Flag, Instruction, Keyword};
use crate::file::line::{Line, Lines};
use crate::file::word::next_word;
use crate::file::{Directive, File, FileError, INSTRUCTIONS_MAX, TEXT_MAX};

/// Names of parser directives. Another name makes the line a comment and ends them.
const DIRECTIVES: [&str; 3] = ["syntax", "escape", "check"];

/// Reads the text of a Dockerfile.
///
/// # Errors
/// It is too large, holds a NUL, has a directive that cannot be, or a heredoc that never ends; with the line.
pub fn parse(text: &str) -> Result<File, FileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_text(text)?;
    let mut lines = Lines::new(text);
    let directives = directives(&mut lines)?;
    let mut file = File { directives, instructions: Vec::new() };
    let escape = file.escape();
    while let Some(line) = lines.next() {
        if is_empty(line.text) || is_comment(line.text) {
            continue;
        }
        if file.instructions.len() == INSTRUCTIONS_MAX {
            return Err(FileError {
                line: line.number,
                reason: format!("more than {INSTRUCTIONS_MAX} instructions"),
                hint: "join them, or split the file".to_owned(),
            });
        }
        let instruction = instruction(text, &mut lines, line, escape)?;
        file.instructions.extend(instruction);
    }
    Ok(file)
}

fn check_text(text: &str) -> Result<(), FileError> {
    if text.len() > TEXT_MAX {
        return Err(FileError {
            line: 1,
            reason: format!("the file has more than {TEXT_MAX} bytes"),
            hint: "files of data belong beside it, to be copied".to_owned(),
        });
    }
    if let Some(at) = text.find('\0') {
        let before = text[..at].matches('\n').count();
        return Err(FileError {
            line: u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1),
            reason: "a byte is zero, which no text has".to_owned(),
            hint: "save the file as UTF-8".to_owned(),
        });
    }
    Ok(())
}

fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

fn is_comment(text: &str) -> bool {
    text.trim_start().starts_with('#')
}

/// Takes the directives off the top. Anything else, an empty line too, ends them.
fn directives(lines: &mut Lines<'_>) -> Result<Vec<Directive>, FileError> {
    let mut found: Vec<Directive> = Vec::new();
    loop {
        let before = *lines;
        let Some((name, value, line)) = lines.next().and_then(directive) else {
            *lines = before;
            return Ok(found);
        };
        let wrong = |reason: String, hint: &str| FileError { line, reason, hint: hint.to_owned() };
        if found.iter().any(|directive| directive.name == name) {
            return Err(wrong(format!("a second `# {name}=`"), "keep one of them"));
        }
        if name == "escape" && !matches!(value, "\\" | "`") {
            let reason = "`# escape=` is neither a backslash nor a backtick".to_owned();
            return Err(wrong(reason, "write # escape=` or take the line out"));
        }
        found.push(Directive { line, name, value: value.to_owned() });
    }
}

fn directive(line: Line<'_>) -> Option<(String, &str, u32)> {
    let (name, value) = line.text.trim_start().strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let is_known = DIRECTIVES.contains(&name.as_str()) && !value.is_empty();
    is_known.then_some((name, value, line.number))
}

/// Reads the instruction that begins with this line; `None` when nothing is left of it.
fn instruction(
    text: &str,
    lines: &mut Lines<'_>,
    first: Line<'_>,
    escape: char,
) -> Result<Option<Instruction>, FileError> {
    let mut joined = String::new();
    let mut is_open = take(&mut joined, first.text.trim_start(), escape);
    let (mut end_line, mut end) = (first.number, first.end);
    while is_open {
        let Some(line) = lines.next() else { break };
        (end_line, end) = (line.number, line.end);
        // Comments and empty lines do not end an instruction that goes on.
        if !is_comment(line.text) && !is_empty(line.text) {
            is_open = take(&mut joined, line.text, escape);
        }
    }
    let Some((word, rest)) = split_keyword(&joined) else { return Ok(None) };
    let keyword = Keyword::parse(word);
    let (flags, arguments) = take_flags(rest, escape);
    let mut heredocs = heredocs(&keyword, arguments, escape);
    if !heredocs.is_empty() {
        let last = read(lines, &mut heredocs, end_line);
        // The error is about the instruction, wherever its lines ended.
        end_line = last.map_err(|error| FileError { line: first.number, ..error })?;
        end = lines.position();
    }
    let mut instruction = Instruction {
        line: first.number,
        end_line,
        keyword,
        flags,
        arguments: arguments.to_owned(),
        heredocs,
        trigger: None,
        raw: text[first.start..end].trim_end().to_owned(),
        escape,
    };
    instruction.trigger = trigger(&mut instruction).map(Box::new);
    Ok(Some(instruction))
}

/// Takes a line up without its continuation; whether the next line belongs to it.
fn take(joined: &mut String, text: &str, escape: char) -> bool {
    // An escaped escape is a character.
    if let Some(rest) = text.trim_end_matches([' ', '\t']).strip_suffix(escape)
        && !rest.ends_with(escape)
    {
        joined.push_str(rest);
        return true;
    }
    joined.push_str(text);
    false
}

fn split_keyword(joined: &str) -> Option<(&str, &str)> {
    let joined = joined.trim();
    if joined.is_empty() {
        return None;
    }
    let (word, rest) = joined.split_once(char::is_whitespace).unwrap_or((joined, ""));
    Some((word, rest.trim()))
}

/// Takes the flags off the front. Two dashes alone end them.
fn take_flags(text: &str, escape: char) -> (Vec<Flag>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let Some((word, after)) = next_word(rest, escape) else { break };
        rest = after.trim_start();
        if word.text == "--" {
            break;
        }
        flags.push(Flag::parse(&word.text));
    }
    (flags, rest)
}

/// Heredocs an instruction announces, where it may have some.
fn heredocs(keyword: &Keyword, arguments: &str, escape: char) -> Vec<Heredoc> {
    let can_have = |keyword: &Keyword| matches!(keyword, Keyword::Run | Keyword::Copy | Keyword::Add);
    let (is_able, arguments) = match keyword {
        Keyword::Onbuild => match split_keyword(arguments) {
            Some((word, rest)) => (can_have(&Keyword::parse(word)), rest),
            None => return Vec::new(),
        },
        _ => (can_have(keyword), arguments),
    };
    // A list in JSON goes through no shell.
    if is_able && !arguments.starts_with('[') { announced(arguments, escape) } else { Vec::new() }
}

/// What an `ONBUILD` puts off; takes its heredocs along.
fn trigger(outer: &mut Instruction) -> Option<Instruction> {
    if outer.keyword != Keyword::Onbuild {
        return None;
    }
    let (word, rest) = split_keyword(&outer.arguments)?;
    let (flags, arguments) = take_flags(rest, outer.escape);
    Some(Instruction {
        line: outer.line,
        end_line: outer.end_line,
        keyword: Keyword::parse(word),
        flags,
        arguments: arguments.to_owned(),
        heredocs: std::mem::take(&mut outer.heredocs),
        trigger: None,
        raw: outer.raw.clone(),
        escape: outer.escape,
    })
}
