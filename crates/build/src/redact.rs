//! Takes secrets out of what a build says: their exact values, and the forms in which programs like to print them
//! (base64, percent-encoded, inside of JSON). Pure: bytes in, bytes out. Works across the borders of chunks.
//! A program that transforms a secret in another way is not understood: it has been given the value. Tests at the end of the file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use havre_core::name::BuildSecretName;
use havre_core::secret::Secret;

use crate::builder::{BuildError, BuildLine, Cause};

/// Shorter forms are not looked for: they stand everywhere by chance. Whole values are kept at least this long.
const FORM_MIN: usize = 8;

/// Knows what must not be said. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    forms: Arc<Forms>,
}

#[derive(Default)]
struct Forms {
    /// By their first byte, the longest first.
    by_first: BTreeMap<u8, Vec<Form>>,
    longest: usize,
}

struct Form {
    bytes: Secret,
    /// What is said instead.
    label: String,
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
    /// For the secrets of one build.
    pub(crate) fn new(secrets: &BTreeMap<BuildSecretName, Secret>) -> Self {
        let mut forms = Forms::default();
        for (name, secret) in secrets {
            let label = format!("[secret {name}]");
            for bytes in forms_of(secret.expose()) {
                let Some(first) = bytes.first().copied() else { continue };
                forms.longest = forms.longest.max(bytes.len());
                let form = Form { bytes: Secret::new(bytes), label: label.clone() };
                forms.by_first.entry(first).or_default().push(form);
            }
        }
        for list in forms.by_first.values_mut() {
            list.sort_by_key(|form| std::cmp::Reverse(form.len()));
        }
        Self { forms: Arc::new(forms) }
    }

    /// A text that is whole.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.forms.longest == 0 {
            return Cow::Borrowed(text);
        }
        let (said, _) = self.scan(text.as_bytes(), true);
        // A form may begin or end within a character only where the secret is no text itself.
        Cow::Owned(String::from_utf8_lossy(&said).into_owned())
    }

    /// A line that is whole, its step included.
    pub(crate) fn line(&self, mut line: BuildLine) -> BuildLine {
        if self.forms.longest > 0 {
            line.step = self.owned(line.step);
            line.text = self.owned(line.text);
        }
        line
    }

    /// What an error says, cause and all.
    pub(crate) fn error(&self, error: BuildError) -> BuildError {
        if self.forms.longest == 0 {
            return error;
        }
        match error {
            BuildError::DockerfileFailed { step, message, last_lines } => BuildError::DockerfileFailed {
                step: self.owned(step),
                message: self.owned(message),
                last_lines: self.all(last_lines),
            },
            BuildError::OutOfMemory { limit, step, last_lines } => {
                BuildError::OutOfMemory { limit, step: self.owned(step), last_lines: self.all(last_lines) }
            }
            BuildError::OutOfProcesses { limit, step, last_lines } => {
                BuildError::OutOfProcesses { limit, step: self.owned(step), last_lines: self.all(last_lines) }
            }
            BuildError::Denied { image, message } => {
                BuildError::Denied { image: self.owned(image), message: self.owned(message) }
            }
            BuildError::RateLimited { image, message } => {
                BuildError::RateLimited { image: self.owned(image), message: self.owned(message) }
            }
            BuildError::NoSpace { what } => BuildError::NoSpace { what: self.owned(what) },
            BuildError::OutputInvalid { reason } => BuildError::OutputInvalid { reason: self.owned(reason) },
            BuildError::Failed { what, source } => {
                BuildError::Failed { what: self.owned(what), source: self.cause(source) }
            }
            BuildError::Unreachable { what, source } => {
                BuildError::Unreachable { what: self.owned(what), source: self.cause(source) }
            }
            // Their words are ours, or come from what was uploaded.
            other => other,
        }
    }

    fn all(&self, lines: Vec<String>) -> Vec<String> {
        lines.into_iter().map(|line| self.owned(line)).collect()
    }

    fn owned(&self, text: String) -> String {
        self.text(&text).into_owned()
    }

    /// The cause as it is, unless one of its words must not be said.
    fn cause(&self, source: Cause) -> Cause {
        let mut words = source.to_string();
        let mut next = source.source();
        while let Some(error) = next {
            words.push_str(": ");
            words.push_str(&error.to_string());
            next = error.source();
        }
        match self.text(&words) {
            said if *said == *words => source,
            said => Arc::new(std::io::Error::other(said.into_owned())),
        }
    }

    /// For one stream of chunks.
    pub(crate) fn stream(&self) -> RedactedStream {
        RedactedStream { redactor: self.clone(), held: Vec::new() }
    }

    /// What may be said of `bytes`, and how many of them at the end must wait for what follows. Everything that overlaps with a
    /// form goes with it.
    fn scan(&self, bytes: &[u8], is_whole: bool) -> (Vec<u8>, usize) {
        let mut said = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            if !is_whole && self.may_begin(&bytes[at..]) {
                return (said, bytes.len() - at);
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
                    return (said, bytes.len() - at);
                }
                if let Some(more) = self.longest_at(&bytes[inside..]) {
                    end = end.max(inside + more.len());
                }
                inside += 1;
            }
            said.extend_from_slice(form.label.as_bytes());
            at = end;
        }
        (said, 0)
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

/// A stream that is being redacted. Holds back what may be the beginning of a secret, and nothing else.
#[derive(Default)]
pub(crate) struct RedactedStream {
    redactor: Redactor,
    held: Vec<u8>,
}

impl fmt::Debug for RedactedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedactedStream(..)")
    }
}

impl RedactedStream {
    /// Takes the next bytes and answers what may be said now.
    pub(crate) fn push<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.redactor.forms.longest == 0 {
            return Cow::Borrowed(bytes);
        }
        self.held.extend_from_slice(bytes);
        let (said, waiting) = self.redactor.scan(&self.held, false);
        let done = self.held.len() - waiting;
        self.held.drain(..done);
        Cow::Owned(said)
    }

    /// The rest: nothing follows.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        self.redactor.scan(&held, true).0
    }
}

/// Every form of a value that is looked for.
fn forms_of(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    let mut add = |form: &[u8]| {
        if form.len() >= FORM_MIN {
            forms.insert(form.to_vec());
        }
    };
    // Without the spaces around it, which are no secret and part lines of the log. Each line of a longer value by itself as
    // well: programs print files line by line.
    for part in std::iter::once(value).chain(value.split(|byte| *byte == b'\n')) {
        let part = part.trim_ascii();
        add(part);
        add(percent(part, "0123456789ABCDEF").as_bytes());
        add(percent(part, "0123456789abcdef").as_bytes());
        add(percent(part, "0123456789ABCDEF").replace("%20", "+").as_bytes());
        if let Ok(text) = std::str::from_utf8(part)
            && let Ok(json) = serde_json::to_string(text)
        {
            add(&json.as_bytes()[1..json.len() - 1]);
        }
        for skipped in 0..3 {
            add(base64_inside(part, skipped, &STANDARD_NO_PAD).as_bytes());
            add(base64_inside(part, skipped, &URL_SAFE_NO_PAD).as_bytes());
        }
    }
    forms
}

/// What base64 makes of a value that stands behind `skipped` other bytes (of three), such as in `user:password`: only the
/// characters that no neighbour has a part in.
fn base64_inside(value: &[u8], skipped: usize, engine: &impl base64::Engine) -> String {
    let before = vec![0_u8; skipped];
    let encoded = engine.encode([before.as_slice(), value].concat());
    let first = [0, 2, 3][skipped];
    let is_shared = !(skipped + value.len()).is_multiple_of(3);
    let last = encoded.len() - usize::from(is_shared);
    encoded.get(first..last).unwrap_or_default().to_owned()
}

/// RFC 3986: everything but unreserved characters is encoded.
fn percent(value: &[u8], digits: &str) -> String {
    let digits = digits.as_bytes();
    let mut text = String::with_capacity(value.len());
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            text.push(char::from(digits[usize::from(byte >> 4)]));
            text.push(char::from(digits[usize::from(byte & 15)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    fn redactor(secrets: &[(&str, &[u8])]) -> Redactor {
        let secrets = secrets
            .iter()
            .map(|(name, value)| (name.parse().expect("is a name"), Secret::new(value.to_vec())))
            .collect();
        Redactor::new(&secrets)
    }

    fn say(redactor: &Redactor, chunks: &[&[u8]]) -> String {
        let mut stream = redactor.stream();
        let mut said = Vec::new();
        for chunk in chunks {
            said.extend_from_slice(&stream.push(chunk));
        }
        said.extend(stream.finish());
        String::from_utf8_lossy(&said).into_owned()
    }

    #[test]
    fn values_and_their_forms_go() {
        let secret = b"s3cret/with+odd chars?";
        let redactor = redactor(&[("NPM_TOKEN", secret)]);
        let hidden = "[secret NPM_TOKEN]";
        let text = std::str::from_utf8(secret).expect("is text");
        assert_eq!(redactor.text(&format!("token={text};")), format!("token={hidden};"));
        assert_eq!(redactor.text("s3cret%2Fwith%2Bodd%20chars%3F"), hidden);
        assert_eq!(redactor.text("s3cret%2fwith%2bodd%20chars%3f"), hidden);
        assert_eq!(redactor.text("s3cret%2Fwith%2Bodd+chars%3F"), hidden);
        for engine in [&STANDARD, &URL_SAFE] {
            for before in ["", "u", "us", "user:"] {
                let encoded = engine.encode(format!("{before}{text}and more"));
                let said = redactor.text(&encoded).into_owned();
                assert!(said.contains(hidden), "{before}: {said}");
                // Of what is left nobody can make the value again.
                assert!(said.replace(hidden, "").len() < encoded.len() / 2, "{before}: {said}");
            }
        }
        let quoted =
            redactor_of_lines().text("{\"npmrc\":\"first line of it\\nsecond \\\"line\\\"\"}").into_owned();
        assert_eq!(quoted, "{\"npmrc\":\"[secret NPMRC]\"}");
    }

    fn redactor_of_lines() -> Redactor {
        redactor(&[("NPMRC", b"first line of it\nsecond \"line\"\n")])
    }

    #[test]
    fn lines_of_a_longer_value_go_by_themselves() {
        let said = say(&redactor_of_lines(), &[b"> first line of it\n> second \"line\"\n"]);
        assert_eq!(said, "> [secret NPMRC]\n> [secret NPMRC]\n");
        // A line such as `}` says nothing.
        let short = redactor(&[("KEY", b"{\n  \"key\": \"value-of-it\"\n}\n")]);
        assert_eq!(say(&short, &[b"}\n{\n"]), "}\n{\n");
    }

    #[test]
    fn across_chunks_and_no_longer_held_than_needed() {
        let redactor = redactor(&[("A", b"abcdefgh"), ("B", b"fghijklm")]);
        assert_eq!(say(&redactor, &[b"x abc", b"def", b"gh y"]), "x [secret A] y");
        assert_eq!(say(&redactor, &[b"x abc", b"xyz"]), "x abcxyz");
        assert_eq!(say(&redactor, &[b"abcdefghijk", b"lm!"]), "[secret A]!", "what overlaps goes as well");
        let mut stream = redactor.stream();
        assert_eq!(&*stream.push(b"prompt> "), b"prompt> ");
        assert_eq!(&*stream.push(b"abc"), b"");
        assert_eq!(&*stream.push(b"\n"), b"abc\n");
    }

    #[test]
    fn without_secrets_nothing_changes_and_nothing_is_shown() {
        let none = Redactor::default();
        assert!(matches!(none.text("x"), Cow::Borrowed("x")));
        assert!(matches!(none.stream().push(b"x"), Cow::Borrowed(b"x")));
        let one = redactor(&[("A", b"planted-value")]);
        assert_eq!(format!("{one:?} {:?}", one.stream()), "Redactor(..) RedactedStream(..)");
    }

    #[test]
    fn errors_and_lines_are_redacted_whole() {
        let redactor = redactor(&[("A", b"planted-value")]);
        let line = BuildLine {
            at: havre_core::time::Timestamp::default(),
            step: "[2/2] RUN x planted-value".to_owned(),
            text: "planted-value".to_owned(),
            was_cached: None,
        };
        let line = redactor.line(line);
        assert_eq!((line.step.as_str(), line.text.as_str()), ("[2/2] RUN x [secret A]", "[secret A]"));
        let error = redactor.error(BuildError::DockerfileFailed {
            step: "RUN planted-value".to_owned(),
            message: "planted-value".to_owned(),
            last_lines: vec!["a planted-value".to_owned()],
        });
        assert!(!format!("{error:?} {error}").contains("planted"), "{error:?}");
        let cause = Arc::new(std::io::Error::other("no planted-value here"));
        let error = redactor.error(BuildError::Failed { what: "x".to_owned(), source: cause });
        assert!(!format!("{error:?}").contains("planted"), "{error:?}");
        let cause = Arc::new(std::io::Error::from(std::io::ErrorKind::NotFound));
        let error = redactor.error(BuildError::Failed { what: "x".to_owned(), source: cause });
        assert!(format!("{error:?}").contains("NotFound"), "left as it is: {error:?}");
    }

    fn contains(text: &[u8], part: &[u8]) -> bool {
        text.windows(part.len()).any(|window| window == part)
    }

    proptest! {
        /// A small alphabet, so that secrets overlap with themselves, each other and their surroundings.
        #[test]
        fn no_secret_is_ever_said(
            secrets in prop::collection::vec("[ab]{8,12}", 1..4),
            parts in prop::collection::vec((prop::option::of(0_usize..4), "[abc]{0,6}"), 0..12),
            cuts in prop::collection::vec(0_usize..200, 0..20),
        ) {
            let named: Vec<(String, &[u8])> =
                secrets.iter().enumerate().map(|(n, value)| (format!("S{n}"), value.as_bytes())).collect();
            let named: Vec<(&str, &[u8])> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let redactor = redactor(&named);
            let mut text = String::new();
            for (secret, other) in &parts {
                text.push_str(other);
                if let Some(secret) = secret.and_then(|index| secrets.get(index)) {
                    text.push_str(secret);
                }
            }
            let whole = redactor.text(&text).into_owned();
            for secret in &secrets {
                prop_assert!(!contains(whole.as_bytes(), secret.as_bytes()), "{} in {}", secret, whole);
            }
            // However it is cut, the same is said.
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                chunks.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(say(&redactor, &chunks), whole);
        }

        #[test]
        fn other_text_stays(text in "[c-z \n]{0,200}") {
            let redactor = redactor(&[("A", b"abababab")]);
            prop_assert_eq!(redactor.text(&text).into_owned(), text);
        }
    }
}
