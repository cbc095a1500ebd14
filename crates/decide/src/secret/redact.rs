//! Keeps values of secrets out of text: each, and what Base64, URLs and JSON make of it, becomes `[secret NAME]`, also where a
//! value comes in pieces. Two things are not covered: values of fewer than 8 bytes, which stand in too much other text, and what a
//! program makes of a value in other ways. Pure. Tests at the end of the file, and `tests/it/secret.rs`.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use havre_core::name::EnvKey;
use havre_core::secret::Secret;

/// Shortest piece that is replaced, in bytes.
pub const VALUE_MIN: usize = 8;
/// Shortest line of a value over several lines that is replaced by itself: shorter ones are words of any text.
const LINE_MIN: usize = 16;

/// What is replaced, and by what.
#[derive(Clone)]
struct Pattern {
    form: Secret,
    mark: String,
}

/// Knows what to replace.
#[derive(Clone)]
pub struct Redactor {
    /// By the first byte of their form, the longest first.
    patterns: Vec<Vec<Pattern>>,
    longest: usize,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor(..)")
    }
}

impl Default for Redactor {
    /// Replaces nothing.
    fn default() -> Self {
        Self { patterns: vec![Vec::new(); 256], longest: 0 }
    }
}

impl Redactor {
    /// Also replaces this value.
    pub fn add(&mut self, name: &EnvKey, value: &Secret) {
        for form in forms(value.expose()) {
            let Some(first) = form.first().copied().filter(|_| form.len() >= VALUE_MIN) else { continue };
            self.longest = self.longest.max(form.len());
            let patterns = &mut self.patterns[usize::from(first)];
            let at = patterns.partition_point(|other| other.form.expose().len() >= form.len());
            patterns.insert(at, Pattern { form: Secret::new(form), mark: format!("[secret {name}]") });
        }
    }

    /// Whether it replaces nothing.
    pub fn is_empty(&self) -> bool {
        self.longest == 0
    }

    /// A whole text, such as a line of a log.
    pub fn text(&self, text: String) -> String {
        if self.is_empty() {
            return text;
        }
        let mut stream = self.stream();
        let mut out = Vec::with_capacity(text.len());
        stream.push(text.as_bytes(), &mut out);
        stream.finish(&mut out);
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// A text that comes in pieces.
    pub fn stream(&self) -> Stream<'_> {
        Stream { redactor: self, held: Vec::new() }
    }

    /// The longest form that `bytes` begin with.
    fn find(&self, bytes: &[u8]) -> Option<&Pattern> {
        let patterns = &self.patterns[usize::from(*bytes.first()?)];
        patterns.iter().find(|pattern| bytes.starts_with(pattern.form.expose()))
    }
}

/// A text that comes in pieces. What comes out does not depend on where they were cut.
pub struct Stream<'r> {
    redactor: &'r Redactor,
    /// What may be the beginning of a value.
    held: Vec<u8>,
}

impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream(..)")
    }
}

impl Stream<'_> {
    /// Takes a piece in and appends what can be said of the text so far.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(piece);
        self.pass(false, out);
    }

    /// The text is over.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.pass(true, out);
    }

    /// A place is decided once as many bytes are known from there on as the longest form has, or no more can come.
    fn pass(&mut self, is_end: bool, out: &mut Vec<u8>) {
        let mut at = 0;
        while at < self.held.len() && (is_end || self.held.len() - at >= self.redactor.longest) {
            match self.redactor.find(&self.held[at..]) {
                Some(pattern) => {
                    out.extend_from_slice(pattern.mark.as_bytes());
                    at += pattern.form.expose().len();
                }
                None => {
                    out.push(self.held[at]);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
    }
}

/// Everything a value is replaced as.
fn forms(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    if value.len() < VALUE_MIN {
        return forms;
    }
    for whole in BTreeSet::from([value, value.trim_ascii()]) {
        if whole.len() < VALUE_MIN {
            continue;
        }
        forms.insert(whole.to_vec());
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.extend(base64_forms(whole, engine));
        }
        for (is_upper, space) in [(true, "%20"), (false, "%20"), (true, "+"), (false, "+")] {
            forms.insert(percent(whole, is_upper, space));
        }
        if let Ok(text) = std::str::from_utf8(whole)
            && let Ok(json) = serde_json::to_string(text)
        {
            // Without its quotes.
            forms.insert(json.as_bytes()[1..json.len() - 1].to_vec());
        }
    }
    // A log comes in lines.
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    forms.extend(lines.filter(|line| line.len() >= LINE_MIN).map(<[u8]>::to_vec));
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
        for (name, value) in values {
            redactor.add(&name.parse().expect("a name"), &Secret::from(*value));
        }
        redactor
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
