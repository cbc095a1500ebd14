//! Patterns of paths in `_headers` and `_redirects`: text, `:name` for one segment, one `*` for anything. They match
//! decoded paths without a slash at the end, and fill templates with what they found. Tests: `tests/it/site.rs`.

use std::collections::BTreeMap;

/// Longest pattern or template.
pub const PATTERN_MAX: usize = 1024;
/// Most placeholders of a pattern.
const NAMES_MAX: usize = 16;

/// The name `*` goes by in templates.
const SPLAT: &str = "splat";

/// A pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    before: Vec<Part>,
    /// What follows the `*`; `None` without one.
    after: Option<Vec<Part>>,
}

/// A piece of a pattern or template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// This text, decoded.
    Text(String),
    /// One segment.
    Name(String),
}

/// What the placeholders of a pattern stood for, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found(BTreeMap<String, String>);

impl Found {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }
}

impl Pattern {
    /// Reads a pattern. `*` may stand at the end of the path, after a slash; with `anywhere` it may stand in any place.
    ///
    /// # Errors
    /// Says what is wrong, for a person.
    pub fn parse(text: &str, anywhere: bool) -> Result<Self, String> {
        if text.len() > PATTERN_MAX {
            return Err(format!("the path has more than {PATTERN_MAX} bytes"));
        }
        if text.contains("://") {
            return Err("only paths can be matched; give each host its own site".to_owned());
        }
        if !text.starts_with('/') {
            return Err(format!("`{}` does not start with /", super::show(text)));
        }
        if text.contains(['?', '#', '\\']) || text.contains("//") {
            return Err(format!("`{}` is not a path: no ?, #, \\ or //", super::show(text)));
        }
        let decoded = decode(text).ok_or_else(|| format!("`{}` has a broken %", super::show(text)))?;
        let whole = if decoded.len() > 1 { decoded.trim_end_matches('/') } else { &decoded };
        let (before, after) = match whole.split_once('*') {
            None => (whole, None),
            Some((_, after)) if after.contains('*') => return Err("a path may hold one *".to_owned()),
            Some((before, after)) if anywhere || (after.is_empty() && before.ends_with('/')) => {
                (before, Some(after))
            }
            Some(_) => return Err("* may only be the last segment of a path, as in /blog/*".to_owned()),
        };
        let pattern =
            Self { text: text.to_owned(), before: parts(before)?, after: after.map(parts).transpose()? };
        let mut names: Vec<&str> = pattern.names().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() != count || count > NAMES_MAX {
            return Err(format!("each placeholder has its own name, and there are at most {NAMES_MAX}"));
        }
        Ok(pattern)
    }

    /// What a template can become.
    pub(super) fn of(template: Template) -> Self {
        let mut before = template.parts;
        if before.len() > 1
            && let Some(Part::Text(last)) = before.last_mut()
        {
            last.truncate(last.trim_end_matches('/').len());
        }
        let is_splat = |part: &Part| matches!(part, Part::Name(name) if name == SPLAT);
        let after = before.iter().position(is_splat).map(|place| before.split_off(place)[1..].to_vec());
        Self { text: String::new(), before, after }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it means exactly one path.
    pub fn literal(&self) -> Option<&str> {
        match (self.before.as_slice(), &self.after) {
            ([Part::Text(text)], None) => Some(text),
            _ => None,
        }
    }

    /// Names a template may use.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let after = self.after.iter().flatten();
        let names = self.before.iter().chain(after).filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Text(_) => None,
        });
        names.chain(self.after.is_some().then_some(SPLAT))
    }

    /// Matches a decoded path: absolute, without a slash at its end (the root is `/`).
    pub fn matches(&self, path: &str) -> Option<Found> {
        let mut found = Found::default();
        // `/blog/*` also means `/blog` itself.
        if self.after.as_ref().is_some_and(Vec::is_empty)
            && let Some(Part::Text(last)) = self.before.last()
            && last.ends_with('/')
            && let Some(rest) = forward(&self.before, &format!("{path}/"), &mut found)
            && rest.is_empty()
        {
            found.put(SPLAT, "");
            return Some(found);
        }
        found.0.clear();
        let rest = forward(&self.before, path, &mut found)?;
        match &self.after {
            None => rest.is_empty().then_some(found),
            Some(after) => {
                let splat = backward(after, rest, &mut found)?;
                found.put(SPLAT, splat);
                Some(found)
            }
        }
    }

    /// A path this pattern matches, with these values; what is missing is filled with text nobody would write.
    pub(super) fn instance(&self, found: &Found) -> String {
        let mut path = String::new();
        let fill = |path: &mut String, parts: &[Part]| {
            for part in parts {
                match part {
                    Part::Text(text) => path.push_str(text),
                    Part::Name(name) if found.get(name).is_empty() => path.push_str("~any~"),
                    Part::Name(name) => path.push_str(found.get(name)),
                }
            }
        };
        fill(&mut path, &self.before);
        if let Some(after) = &self.after {
            path.push_str(found.0.get(SPLAT).map_or("~any~", String::as_str));
            fill(&mut path, after);
        }
        if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path }
    }
}

/// Takes `parts` from the front of `path`; what is left.
fn forward<'p>(parts: &[Part], path: &'p str, found: &mut Found) -> Option<&'p str> {
    let mut rest = path;
    for part in parts {
        match part {
            Part::Text(text) => rest = rest.strip_prefix(text.as_str())?,
            Part::Name(name) => {
                let end = rest.find('/').unwrap_or(rest.len());
                if end == 0 {
                    return None;
                }
                found.put(name, &rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    Some(rest)
}

/// Takes `parts` from the end of `path`; what is left.
fn backward<'p>(parts: &[Part], path: &'p str, found: &mut Found) -> Option<&'p str> {
    let mut rest = path;
    for part in parts.iter().rev() {
        match part {
            Part::Text(text) => rest = rest.strip_suffix(text.as_str())?,
            Part::Name(name) => {
                let start = rest.rfind('/').map_or(0, |slash| slash + 1);
                if start == rest.len() {
                    return None;
                }
                found.put(name, &rest[start..]);
                rest = &rest[..start];
            }
        }
    }
    Some(rest)
}

/// Splits text into parts: `:name` is a placeholder where it is a whole segment.
fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    for (index, segment) in text.split('/').enumerate() {
        if index > 0 {
            plain.push('/');
        }
        match segment.strip_prefix(':') {
            Some(name) if is_name(name) => {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Name(name.to_owned()));
            }
            Some(name) => {
                let message = "a placeholder is a letter, then letters, digits and _";
                return Err(format!("`:{}`: {message}", super::show(name)));
            }
            None => plain.push_str(segment),
        }
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Where a rule leads: text with placeholders, and what the text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Reads a template; `:name` counts wherever it is one of `known`, so that `:8080` of a port is text.
    pub(super) fn parse(text: &str, known: &[&str]) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(colon) = rest.find(':') {
            let tail = &rest[colon + 1..];
            let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
            plain.push_str(&rest[..colon]);
            if known.contains(&&tail[..end]) {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Name(tail[..end].to_owned()));
                rest = &tail[end..];
            } else {
                plain.push(':');
                rest = tail;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self { parts }
    }

    /// Fills it; `write` says how a value is written.
    pub(super) fn fill(&self, found: &Found, write: fn(&str) -> String) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Name(name) => text.push_str(&write(found.get(name))),
            }
        }
        text
    }
}

/// Decodes every `%XX` once; `None` for a broken one, a NUL, a slash in disguise, or bytes that are not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        if byte < b' ' || byte == 0x7f || byte == b'/' {
            return None;
        }
        bytes.push(byte);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

/// Writes a decoded value so that it can stand in a URL: what could end a path, a header or a word is encoded.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
