//! Heredocs: `<<EOF`, `<<-EOF`, `<<"EOF"`, several for one instruction. Tests: `tests/it/file.rs`.

use crate::file::FileError;
use crate::file::line::Lines;
use crate::file::word::{next_word, words};

/// A text between `<<NAME` and a line that says `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// Line of its first line of text.
    pub line: u32,
    /// The name that ends it.
    pub name: String,
    /// No variables are put in, because the name is quoted.
    pub is_quoted: bool,
    /// Tabs at the start of lines do not count (`<<-`).
    pub strips_tabs: bool,
    /// Its lines, with their ends.
    pub body: String,
}

/// The heredocs an instruction announces, still without text.
pub(super) fn announced(arguments: &str, escape: char) -> Vec<Heredoc> {
    if !arguments.contains("<<") {
        return Vec::new();
    }
    words(arguments, escape).iter().filter_map(|word| announcement(word.raw, escape)).collect()
}

/// Whether a word, as it is written, announces a heredoc.
pub(super) fn is_announcement(raw: &str, escape: char) -> bool {
    announcement(raw, escape).is_some()
}

/// Reads `3<<-"EOF"`. A third `<` makes it a here-string of the shell, which is none.
fn announcement(raw: &str, escape: char) -> Option<Heredoc> {
    let rest = raw.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (strips_tabs, written) = match rest.strip_prefix('-') {
        Some(written) => (true, written),
        None => (false, rest),
    };
    if written.contains('<') {
        return None;
    }
    let (name, _) = next_word(written, escape)?;
    if name.text.is_empty() {
        return None;
    }
    let is_quoted = name.text != written;
    Some(Heredoc { line: 0, name: name.text, is_quoted, strips_tabs, body: String::new() })
}

/// Reads the texts of these heredocs from the lines that follow; the number of the last line that was read.
pub(super) fn read(lines: &mut Lines<'_>, heredocs: &mut [Heredoc], line: u32) -> Result<u32, FileError> {
    let mut last = line;
    for heredoc in heredocs {
        heredoc.line = last.saturating_add(1);
        loop {
            let Some(next) = lines.next() else { return Err(unterminated(heredoc, line)) };
            last = next.number;
            let text = if heredoc.strips_tabs { next.text.trim_start_matches('\t') } else { next.text };
            if text == heredoc.name {
                break;
            }
            heredoc.body.push_str(text);
            heredoc.body.push('\n');
        }
    }
    Ok(last)
}

fn unterminated(heredoc: &Heredoc, line: u32) -> FileError {
    let name: String = heredoc.name.chars().take(40).collect();
    FileError {
        line,
        reason: format!("the heredoc `{name}` has no end"),
        hint: format!("end it with a line that holds nothing but `{name}`"),
    }
}
