//! What programs print, made fit for a log: split into lines, terminal codes taken out, bounded.
//! Tests at the end of the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use havre_core::time::Timestamp;
use havre_decide::secret::redact::Redactor;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::builder::{BuildLine, LINE_MAX, LINES_MAX};
use crate::redact;

const CUT: &str = " … (cut)";
const FULL: &str = "further lines are left out: the log of this build is full";

/// Now, by the clock of this machine.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Passes lines on, at most [`LINES_MAX`] of them and without secrets; clones share the count.
#[derive(Clone)]
pub(crate) struct LineSink {
    log: mpsc::Sender<BuildLine>,
    cancel: CancellationToken,
    redactor: Redactor,
    sent: Arc<AtomicUsize>,
}

impl LineSink {
    pub(crate) fn new(log: mpsc::Sender<BuildLine>, cancel: CancellationToken, redactor: Redactor) -> Self {
        Self { log, cancel, redactor, sent: Arc::default() }
    }

    /// What takes secrets out of its lines.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Sends one line and waits for room, unless it is cancelled; a receiver that is gone is no error.
    pub(crate) async fn send(&self, line: BuildLine) {
        // The count is an order to nobody: it guards no other data.
        let sent = self.sent.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if sent > LINES_MAX {
            return;
        }
        let line = if sent == LINES_MAX {
            BuildLine { at: line.at, step: String::new(), text: FULL.to_owned(), was_cached: None }
        } else {
            redact::line(&self.redactor, line)
        };
        let _ = self.cancel.run_until_cancelled(self.log.send(line)).await;
    }

    /// Sends words of the builder itself.
    pub(crate) async fn say(&self, text: impl Into<String>) {
        self.send(BuildLine { at: now(), step: String::new(), text: text.into(), was_cached: None }).await;
    }
}

/// Turns chunks of output into clean lines.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    line: Vec<u8>,
    cut: bool,
}

impl LineSplitter {
    /// Takes the next bytes and answers the lines they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = LINE_MAX.saturating_sub(self.line.len());
            self.cut |= text.len() > room;
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                lines.extend(self.finish_line());
            }
        }
        lines
    }

    /// The last line, when it was not ended by a line break.
    pub(crate) fn finish(&mut self) -> Option<String> {
        if self.line.is_empty() { None } else { self.finish_line() }
    }

    fn finish_line(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.line);
        let mut text = clean(&bytes);
        if std::mem::take(&mut self.cut) || text.len() > LINE_MAX {
            text.truncate(text.floor_char_boundary(LINE_MAX - CUT.len()));
            text.push_str(CUT);
        }
        Some(text)
    }
}

/// The text as a terminal would leave it standing: without colour and cursor codes, after the last carriage return.
pub fn clean(bytes: &[u8]) -> String {
    let plain = strip_codes(&String::from_utf8_lossy(bytes));
    let text = plain.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    text.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

/// Removes escape sequences (ECMA-48: CSI, and the strings OSC, DCS, APC, PM, SOS).
fn strip_codes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            // Parameters and intermediates end with a final byte.
            Some('[') => {
                chars.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            // A string ends with BEL or with ESC \.
            Some(']' | 'P' | '_' | '^' | 'X') => {
                let end = chars.by_ref().find(|c| matches!(c, '\u{7}' | '\u{1b}'));
                if end == Some('\u{1b}') {
                    chars.next();
                }
            }
            // Two-character sequences; those with an intermediate have one more.
            Some('\u{20}'..='\u{2f}') => {
                chars.next();
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_codes_go() {
        for (raw, text) in [
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bplain", "plain"),
            ("10%\r50%\r100%", "100%"),
            ("windows\r", "windows"),
            ("bell\u{7} tab\tnul\0", "bell tab\tnul"),
            ("ends in\u{1b}", "ends in"),
            ("ends in\u{1b}[12", "ends in"),
        ] {
            assert_eq!(clean(raw.as_bytes()), text, "{raw:?}");
        }
        assert_eq!(clean(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn chunks_become_lines() {
        let mut splitter = LineSplitter::default();
        assert_eq!(splitter.push(b"on"), Vec::<String>::new());
        assert_eq!(splitter.push(b"e\ntwo\n\nth"), ["one", "two", ""]);
        assert_eq!(splitter.finish(), Some("th".to_owned()));
        assert_eq!(splitter.finish(), None);
    }

    #[test]
    fn long_lines_are_cut_and_marked() {
        let mut splitter = LineSplitter::default();
        for _ in 0..40 {
            assert_eq!(splitter.push(&[b'x'; 1024]), Vec::<String>::new());
        }
        let lines = splitter.push(b"\nnext\n");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), LINE_MAX);
        assert!(lines[0].ends_with("x … (cut)"));
        assert_eq!(lines[1], "next");
        // Every stray byte becomes a three-byte replacement character.
        splitter.push(&vec![0xff; LINE_MAX]);
        let line = splitter.finish().expect("is there");
        assert!(line.len() <= LINE_MAX && line.ends_with(CUT));
    }

    #[tokio::test]
    async fn a_full_log_says_so_once() {
        let (log, mut lines) = mpsc::channel(LINES_MAX + 10);
        let sink = LineSink::new(log, CancellationToken::new(), Redactor::default());
        for _ in 0..LINES_MAX + 5 {
            sink.say("x").await;
        }
        drop(sink);
        let mut last = None;
        let mut count = 0;
        while let Some(line) = lines.recv().await {
            count += 1;
            last = Some(line.text);
        }
        assert_eq!((count, last.as_deref()), (LINES_MAX, Some(FULL)));
    }
}
