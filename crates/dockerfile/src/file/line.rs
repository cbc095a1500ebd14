//! A text line by line, with numbers and where each begins. Only a line feed ends a line, as for BuildKit; a carriage
//! return before it does not count. Tests: `tests/it/file.rs`.

/// One line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u32,
    /// Where it begins in the text.
    pub(super) start: usize,
    /// Where the next one begins.
    pub(super) end: usize,
    /// Without its end.
    pub(super) text: &'a str,
}

/// The lines that are left. A copy is a place to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'a> {
    text: &'a str,
    position: usize,
    number: u32,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0, number: 0 }
    }

    /// Where the line begins that comes next.
    pub(super) fn position(self) -> usize {
        self.position
    }

    pub(super) fn next(&mut self) -> Option<Line<'a>> {
        let rest = &self.text[self.position..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let start = self.position;
        self.position += length;
        self.number = self.number.saturating_add(1);
        let text = rest[..length].trim_end_matches(['\r', '\n']);
        Some(Line { number: self.number, start, end: self.position, text })
    }
}
