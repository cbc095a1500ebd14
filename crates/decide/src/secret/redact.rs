//! Keeps values of secrets out of text: each, and what Base64, URLs and JSON make of it, becomes `[secret NAME]`, also where a
//! value comes in pieces. Two things are not covered: values of fewer than 8 bytes, which stand in too much other text, and what a
//! program makes of a value in other ways. Pure. Tests at the end of the file, and `tests/it/secret.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use havre_core::secret::Secret;

/// Shortest piece that is replaced, in bytes.
pub const VALUE_MIN: usize = 8;
/// Shortest line of a value over several lines that is replaced by itself: shorter ones are words of any text.
const LINE_MIN: usize = 12;

/// Knows what to replace. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    forms: Arc<Forms>,
}

#[derive(Clone, Default)]
struct Forms {
    /// By their first byte, the longest first.
    by_first: BTreeMap<u8, Vec<Form>>,
    longest: usize,
}

/// What is replaced, and by what.
#[derive(Clone)]
struct Form {
    bytes: Secret,
    mark: String,
}

impl Form {
    fn len(&self) -> usize {
        self.bytes.expose().len()
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(..)")
    }
}

impl Redactor {
    /// Also replaces this value.
    pub fn add(&mut self, name: &impl fmt::Display, value: &Secret) {
        let forms = Arc::make_mut(&mut self.forms);
        for bytes in forms_of(value.expose()) {
            let Some(first) = bytes.first().copied().filter(|_| bytes.len() >= VALUE_MIN) else { continue };
            forms.longest = forms.longest.max(bytes.len());
            let list = forms.by_first.entry(first).or_default();
            let at = list.partition_point(|other| other.len() >= bytes.len());
            list.insert(at, Form { bytes: Secret::new(bytes), mark: format!("[secret {name}]") });
        }
    }

    /// Whether it replaces nothing.
    pub fn is_empty(&self) -> bool {
        self.forms.longest == 0
    }

    /// A whole text, such as a line of a log.
    pub fn text(&self, text: String) -> String {
        if self.is_empty() {
            return text;
        }
        let mut said = Vec::with_capacity(text.len());
        let _nothing_waits = self.scan(text.as_bytes(), true, &mut said);
        // A form may begin or end within a character only where the secret is no text itself.
        String::from_utf8(said).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// A text that comes in pieces.
    pub fn stream(&self) -> Stream {
        Stream { redactor: self.clone(), held: Vec::new() }
    }

    /// Appends what may be said of `bytes`, and answers how many of them at the end must wait for what follows. Everything that
    /// overlaps with a form goes with it.
    fn scan(&self, bytes: &[u8], is_whole: bool, said: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if !is_whole && self.may_begin(&bytes[at..]) {
                return bytes.len() - at;
            }
            let Some(form) = self.longest_at(&bytes[at..]) else {
                said.push(bytes[at]);
                at += 1;
                continue;
            };
            let mut end = at + form.len();
            let mut inside = at + 1;
            while inside < end {
                if !is_whole && self.may_begin(&bytes[inside..]) {
                    return bytes.len() - at;
                }
                if let Some(more) = self.longest_at(&bytes[inside..]) {
                    end = end.max(inside + more.len());
                }
                inside += 1;
            }
            said.extend_from_slice(form.mark.as_bytes());
            at = end;
        }
        0
    }

    fn longest_at(&self, bytes: &[u8]) -> Option<&Form> {
        let forms = self.forms.by_first.get(bytes.first()?)?;
        forms.iter().find(|form| bytes.starts_with(form.bytes.expose()))
    }

    /// Whether the bytes, to their end, are the beginning of a form.
    fn may_begin(&self, bytes: &[u8]) -> bool {
        if bytes.len() >= self.forms.longest {
            return false;
        }
        let forms = bytes.first().and_then(|first| self.forms.by_first.get(first));
        forms.is_some_and(|forms| {
            forms.iter().any(|form| form.len() > bytes.len() && form.bytes.expose().starts_with(bytes))
        })
    }
}

/// A text that comes in pieces. What comes out does not depend on where they were cut. Holds back what may be the beginning of a
/// value, and nothing else.
#[derive(Default)]
pub struct Stream {
    redactor: Redactor,
    held: Vec<u8>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream(..)")
    }
}

impl Stream {
    /// Takes a piece in and appends what can be said of the text so far.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.redactor.is_empty() {
            return out.extend_from_slice(piece);
        }
        self.held.extend_from_slice(piece);
        let waiting = self.redactor.scan(&self.held, false, out);
        let done = self.held.len() - waiting;
        self.held.drain(..done);
    }

    /// The text is over: appends the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let _nothing_waits = self.redactor.scan(&held, true, out);
    }
}

/// Everything a value is replaced as: itself, without the spaces around it, and each longer line of it, since programs print files line
/// by line; and what Base64, URLs and JSON make of these.
fn forms_of(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    if value.len() < VALUE_MIN {
        return forms;
    }
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| line.len() >= LINE_MIN);
    for part in [value, value.trim_ascii()].into_iter().chain(lines).collect::<BTreeSet<_>>() {
        if part.len() < VALUE_MIN {
            continue;
        }
        forms.insert(part.to_vec());
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.extend(base64_forms(part, engine));
        }
        for (is_upper, space) in [(true, "%20"), (false, "%20"), (true, "+"), (false, "+")] {
            forms.insert(percent(part, is_upper, space));
        }
        if let Ok(text) = std::str::from_utf8(part)
            && let Ok(json) = serde_json::to_string(text)
        {
            // Without its quotes.
            forms.insert(json.as_bytes()[1..json.len() - 1].to_vec());
        }
    }
    forms
}

/// The whole encoding, and the part that is the same wherever the value stands in a longer text that is encoded.
fn base64_forms(value: &[u8], engine: &GeneralPurpose) -> Vec<Vec<u8>> {
    let whole = engine.encode(value).into_bytes();
    let mut padded = whole.clone();
    padded.resize(whole.len().next_multiple_of(4), b'=');
    let mut forms = vec![whole, padded];
    for before in 0..3 {
        let text = [&[0; 2][..before], value].concat();
        let encoded = engine.encode(&text).into_bytes();
        // Each character is 6 bits; those that also hold bits of neighbours say nothing.
        let (start, end) = ((8 * before).div_ceil(6), 8 * text.len() / 6);
        forms.push(encoded[start..end].to_vec());
    }
    forms
}

/// As in a URL: everything but what RFC 3986 calls unreserved.
fn percent(bytes: &[u8], is_upper: bool, space: &str) -> Vec<u8> {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte))
            }
            b' ' => text.push_str(space),
            _ if is_upper => text.push_str(&format!("%{byte:02X}")),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(values: &[(&str, &str)]) -> Redactor {
        let mut redactor = Redactor::default();
        values.iter().for_each(|(name, value)| redactor.add(name, &Secret::from(*value)));
        redactor
    }

    fn say(redactor: &Redactor, pieces: &[&[u8]]) -> String {
        let (mut stream, mut said) = (redactor.stream(), Vec::new());
        pieces.iter().for_each(|piece| stream.push(piece, &mut said));
        stream.finish(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    }

    #[test]
    fn lines_of_a_longer_value_go_by_themselves() {
        let npmrc = redactor(&[("NPMRC", "first line of it\nsecond \"line\"\n")]);
        let said = say(&npmrc, &[b"> first line of it\n> second \"line\"\n"]);
        assert_eq!(said, "> [secret NPMRC]\n> [secret NPMRC]\n");
        let quoted = npmrc.text("{\"npmrc\":\"first line of it\\nsecond \\\"line\\\"\"}".to_owned());
        assert_eq!(quoted, "{\"npmrc\":\"[secret NPMRC]\"}");
        // A line such as `}` says nothing.
        let short = redactor(&[("KEY", "{\n  \"key\": \"value-of-it\"\n}\n")]);
        assert_eq!(say(&short, &[b"}\n{\n"]), "}\n{\n");
    }

    #[test]
    fn across_pieces_and_no_longer_held_than_needed() {
        let redactor = redactor(&[("A", "abcdefgh"), ("B", "fghijklm")]);
        assert_eq!(say(&redactor, &[b"x abc", b"def", b"gh y"]), "x [secret A] y");
        assert_eq!(say(&redactor, &[b"x abc", b"xyz"]), "x abcxyz");
        assert_eq!(say(&redactor, &[b"abcdefghijk", b"lm!"]), "[secret A]!", "what overlaps goes as well");
        let (mut stream, mut said) = (redactor.stream(), Vec::new());
        stream.push(b"prompt> ", &mut said);
        assert_eq!(said, b"prompt> ");
        stream.push(b"abc", &mut said);
        assert_eq!(said, b"prompt> ");
        stream.push(b"\n", &mut said);
        assert_eq!(said, b"prompt> abc\n");
    }

    #[test]
    fn without_secrets_nothing_changes_and_nothing_is_shown() {
        assert_eq!(say(&Redactor::default(), &[b"x", b"y"]), "xy");
        let one = redactor(&[("A", "planted-value")]);
        assert_eq!(format!("{one:?} {:?}", one.stream()), "Redactor(..) Stream(..)");
    }

    #[test]
    fn values_and_what_others_make_of_them() {
        let redactor = redactor(&[("A", "p@ss wörd\"1"), ("SHORT", "1234567"), ("B", "p@ss wörd\"1-longer")]);
        for (text, expected) in [
            ("x p@ss wörd\"1 y", "x [secret A] y"),
            ("p@ss wörd\"1-longer", "[secret B]"),
            ("1234567", "1234567"),
            ("{\"x\":\"p@ss wörd\\\"1\"}", "{\"x\":\"[secret A]\"}"),
            ("?x=p%40ss%20w%C3%B6rd%221&y", "?x=[secret A]&y"),
            ("?x=p%40ss+w%c3%b6rd%221&y", "?x=[secret A]&y"),
            ("cEBzcyB3w7ZyZCIx", "[secret A]"),
            ("p@ss wörd", "p@ss wörd"),
        ] {
            assert_eq!(redactor.text(text.to_owned()), expected);
        }
        assert!(!format!("{redactor:?}").contains("p@ss"));
    }

    #[test]
    fn encoded_within_a_longer_text() {
        let redactor = redactor(&[("A", "planted-secret-value")]);
        for before in ["", "a", "ab", "user:", "longer user:"] {
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let text = format!("{before}planted-secret-value and more");
                let encoded = engine.encode(&text);
                let hidden = redactor.text(encoded);
                assert!(hidden.contains("[secret A]"), "{before}: {hidden}");
            }
        }
    }

    #[test]
    fn lines_of_a_long_value() {
        let redactor =
            redactor(&[("KEY", "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nshort\n-----END KEY-----\n")]);
        assert_eq!(redactor.text("a MIIEvQIBADANBgkq b".to_owned()), "a [secret KEY] b");
        assert_eq!(redactor.text("short".to_owned()), "short");
    }
}
