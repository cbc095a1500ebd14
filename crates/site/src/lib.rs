//! What a published site says beside its files: `_headers`, `_redirects`, and the document that `build` writes and the
//! edge reads. `pattern` matches paths, `redirects` and `headers` read the user's files, `loops` finds redirects that
//! lead back to themselves, `document` is what lies beside a site.
//!
//! A crate of its own because it enforces a ban: what reads files of strangers, and is compiled into the edge, knows nothing of
//! services, releases or the store, and opens no file. Which sites are kept is core's. Reference for people:
//! `docs/rooms/site.md`. Tests: `tests/it/site.rs`.

pub mod document;
pub mod header;
pub mod headers;
mod loops;
pub mod pattern;
pub mod redirects;

/// Largest `_headers` or `_redirects` file.
pub const RULES_FILE_MAX: usize = 256 * 1024;
/// Longest line of either.
pub const LINE_MAX: usize = 2000;

/// What is wrong with a line of `_headers` or `_redirects`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct RuleError {
    /// `_headers` or `_redirects`.
    pub file: &'static str,
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// The lines of a rules file that say something, numbered from 1, without comments.
fn lines<'t>(file: &'static str, text: &'t str) -> Result<Vec<(usize, &'t str)>, RuleError> {
    if text.len() > RULES_FILE_MAX {
        let message = format!("the file has more than {} KB", RULES_FILE_MAX / 1024);
        return Err(RuleError { file, line: 1, message });
    }
    let mut found = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let number = index + 1;
        if line.len() > LINE_MAX {
            let message = format!("the line has more than {LINE_MAX} bytes");
            return Err(RuleError { file, line: number, message });
        }
        if let Some(odd) = line.chars().find(|c| c.is_control() && *c != '\t') {
            let message = format!("the line holds the control character {}", odd.escape_default());
            return Err(RuleError { file, line: number, message });
        }
        if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            found.push((number, line));
        }
    }
    Ok(found)
}

/// Text of the user's for a message: escaped, at most 80 characters of it.
fn show(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
