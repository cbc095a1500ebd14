//! Log lines as plain data, and the bound on their length. Tests at the end of the file.

use futures_util::stream::BoxStream;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// Longest line kept, in bytes; engines split longer ones at the same length.
pub const LINE_MAX: usize = 16 * 1024;

/// Which lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogQuery {
    /// Only lines at or after this instant.
    pub since: Option<Timestamp>,
    /// Only the last so many lines.
    pub tail: Option<u32>,
    /// Wait for more until the task ends.
    pub follow: bool,
}

/// One line a task wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// Where it was written.
    pub stream: LogSource,
    /// Text without line end; bytes that are not UTF-8 are replaced.
    pub line: String,
    /// The line was longer than [`LINE_MAX`]; the rest is dropped.
    pub is_cut: bool,
}

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Lines, oldest first. Ends after an error.
pub type LogStream = BoxStream<'static, Result<LogLine, EngineError>>;

/// Text of at most [`LINE_MAX`] bytes and whether something was cut.
pub(crate) fn bound_line(bytes: &[u8]) -> (String, bool) {
    let is_cut = bytes.len() > LINE_MAX;
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_MAX)]).into_owned();
    // Replacement characters are longer than the bytes they stand for.
    let mut end = text.len().min(LINE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let is_cut = is_cut || end < text.len();
    text.truncate(end);
    (text, is_cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        assert_eq!(bound_line(b"ab\xff"), ("ab\u{fffd}".to_owned(), false));
        let (text, is_cut) = bound_line(&[b'a'; LINE_MAX + 1]);
        assert_eq!((text.len(), is_cut), (LINE_MAX, true));
        let (text, is_cut) = bound_line(&[0xff; LINE_MAX]);
        assert!(text.len() <= LINE_MAX && is_cut);
    }
}
