//! Variables as far as a review needs them: which values `ARG` and `ENV` give, and what a text becomes with them. What
//! is only known when the image is built stays unknown. Tests: `tests/it/file.rs`.

use std::collections::BTreeMap;

/// Longest text after variables are put in, in bytes: a few lines of `ARG` could make one of gigabytes.
pub const VALUE_MAX: usize = 1024;
/// Most bytes of all values together, for the same reason.
const VALUES_MAX: usize = 1024 * 1024;
/// Deepest nesting of `${A:-${B:-c}}`.
const DEPTH_MAX: u8 = 8;

/// Values by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// `None` for what is declared and gets its value from outside.
    values: BTreeMap<String, Option<String>>,
    /// Of all values.
    bytes: usize,
}

impl Scope {
    /// Sets a value; `None` when it is known at build time only.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        let value = value.filter(|value| self.bytes + value.len() <= VALUES_MAX);
        self.bytes += value.as_ref().map_or(0, String::len);
        let before = self.values.insert(name.to_owned(), value).flatten();
        self.bytes -= before.map_or(0, |before| before.len());
    }

    /// The value of a variable, where the file says it.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_deref()
    }

    /// Whether the file declares it, with or without a value.
    pub fn is_declared(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The text with values in place of `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`. `None` when a value
    /// is not in the file, for other forms, and when it gets longer than [`VALUE_MAX`].
    pub fn expand(&self, text: &str) -> Option<String> {
        let mut expanded = String::new();
        self.expand_into(text, DEPTH_MAX, &mut expanded)?;
        Some(expanded)
    }

    fn expand_into(&self, text: &str, depth: u8, expanded: &mut String) -> Option<()> {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            push(expanded, &rest[..at])?;
            let after = &rest[at + 1..];
            if let Some(inner) = after.strip_prefix('{') {
                let end = closing(inner)?;
                self.expand_braced(&inner[..end], depth, expanded)?;
                rest = &inner[end + 1..];
                continue;
            }
            let (name, after) = split_name(after);
            push(expanded, if name.is_empty() { "$" } else { self.value(name)? })?;
            rest = after;
        }
        push(expanded, rest)
    }

    /// What stands between `${` and `}`.
    fn expand_braced(&self, inner: &str, depth: u8, expanded: &mut String) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let (name, modifier) = split_name(inner);
        if name.is_empty() {
            return None;
        }
        let value = self.value(name);
        let is_filled = value.is_some_and(|value| !value.is_empty());
        if let Some(default) = modifier.strip_prefix(":-") {
            return match value {
                Some(value) if is_filled => push(expanded, value),
                _ => self.expand_into(default, depth, expanded),
            };
        }
        if let Some(default) = modifier.strip_prefix('-') {
            return match value {
                Some(value) => push(expanded, value),
                None => self.expand_into(default, depth, expanded),
            };
        }
        if let Some(other) = modifier.strip_prefix(":+") {
            value?;
            return if is_filled { self.expand_into(other, depth, expanded) } else { Some(()) };
        }
        let is_plain = modifier.is_empty() || modifier.starts_with(":?") || modifier.starts_with('?');
        if is_plain { push(expanded, value?) } else { None }
    }
}

/// Appends within the limit.
fn push(expanded: &mut String, text: &str) -> Option<()> {
    if expanded.len() + text.len() > VALUE_MAX {
        return None;
    }
    expanded.push_str(text);
    Some(())
}

/// Splits a variable's name from what follows it.
fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.split_at(end)
}

/// Where the brace closes that was open before this text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}
