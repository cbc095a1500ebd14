//! What changes in an answer: lines taken away, lines added, and whether it is compressed. Framing is nobody's here: a
//! `HeaderName` cannot name it. Tests: `tests.rs`.

use havre_core::route::settings::HeaderEdits;
use havre_core::route::settings::text::HeaderName;

use super::{Coding, Line, Pass, compress};

/// What is known of an answer when its head is written.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it lends a closure")]
pub struct AnswerView<'a> {
    pub status: u16,
    /// Length of the body as sent, where it is known.
    pub length: Option<u64>,
    /// It has a body that may come out in another length: not of our own, and the protocol can end it.
    pub may_compress: bool,
    /// Value of the first line of this name.
    pub header: &'a dyn Fn(&str) -> Option<&'a [u8]>,
}

impl AnswerView<'_> {
    /// An answer of the edge itself.
    pub fn own(status: u16) -> Self {
        Self { status, length: None, may_compress: false, header: &|_| None }
    }
}

/// The changes of one answer.
#[derive(Debug)]
pub struct Edits<'p> {
    pass: &'p Pass,
    /// How its body is compressed on the way.
    pub coding: Option<Coding>,
    /// Names whose lines go, besides those the configuration names.
    drops: &'static [&'static str],
    lines: Vec<Line>,
}

impl<'p> Edits<'p> {
    pub(super) fn new(pass: &'p Pass, view: &AnswerView<'_>) -> Self {
        let mut edits = Self { pass, coding: None, drops: &[], lines: Vec::new() };
        if let Some(cookie) = &*pass.set_cookie.borrow() {
            edits.lines.push(("Set-Cookie", cookie.clone()));
        }
        if pass.policy.settings.compress && can_be_compressed(view) {
            edits.lines.push(("Vary", "Accept-Encoding".to_owned()));
            if let Some(coding) = pass.coding {
                edits.compress(coding, view);
            }
        }
        edits
    }

    fn compress(&mut self, coding: Coding, view: &AnswerView<'_>) {
        self.coding = Some(coding);
        self.drops = &["accept-ranges", "etag", "content-md5", "digest", "content-digest", "repr-digest"];
        self.lines.push(("Content-Encoding", coding.name().to_owned()));
        // RFC 9110, 8.8.1: the bytes are others now, the meaning is the same.
        let etag = (view.header)("etag").and_then(|etag| std::str::from_utf8(etag).ok());
        if let Some(etag) = etag {
            let weak = if etag.starts_with("W/") { etag.to_owned() } else { format!("W/{etag}") };
            self.lines.push(("ETag", weak));
        }
    }

    /// Whether a line of the answer (name as sent) stays away from the client.
    pub fn drops(&self, name: &str) -> bool {
        drops(&self.pass.policy.settings.response_headers, name)
            || self.drops.iter().any(|own| own.eq_ignore_ascii_case(name))
            || self.pass.cors.iter().any(|(own, _)| own.eq_ignore_ascii_case(name) && !is_list(own))
    }

    /// Lines the client gets besides those of the answer.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.pass.cors.iter().chain(&self.lines).map(|(name, value)| (*name, value.as_str()));
        lines(&self.pass.policy.settings.response_headers).chain(own)
    }
}

/// Whether the content of an answer may be sent compressed, whoever asks.
fn can_be_compressed(view: &AnswerView<'_>) -> bool {
    let has = |name: &str| (view.header)(name).is_some();
    let may_transform = !(view.header)("cache-control")
        .is_some_and(|value| value.to_ascii_lowercase().windows(12).any(|part| part == b"no-transform"));
    view.may_compress
        && (200..=299).contains(&view.status)
        && !matches!(view.status, 204..=206)
        && compress::is_worth_it(view.length)
        && !has("content-encoding")
        && !has("content-range")
        && may_transform
        && (view.header)("content-type").is_some_and(compress::is_compressible)
}

/// Further lines of this name belong together with those that are there.
fn is_list(name: &str) -> bool {
    name == "Vary"
}

pub(super) fn drops(edits: &HeaderEdits, name: &str) -> bool {
    let is = |own: &HeaderName| own.as_str().eq_ignore_ascii_case(name);
    edits.set.keys().any(is) || edits.remove.iter().any(is)
}

pub(super) fn lines(edits: &HeaderEdits) -> impl Iterator<Item = (&str, &str)> {
    edits.set.iter().chain(&edits.add).map(|(name, value)| (name.as_str(), value.as_str()))
}
