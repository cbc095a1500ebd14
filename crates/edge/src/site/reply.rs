//! What a site answers, as every protocol can send it: a status, header lines, and a body that is in memory or in a
//! file. It chooses nothing (`answer`) and knows no connection. Tests at the end of the file.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use super::{Site, SiteRequest, Sites};
use havre_http::page::Trouble;

/// The answer of a site to one request.
#[derive(Debug)]
pub enum SiteAnswer {
    /// Ready to be sent.
    Ready(Reply),
    /// A page of the edge's own, with further lines.
    Trouble(Trouble, Lines),
    /// The disk has to be asked first; see [`SiteAnswer::settled`].
    Cold(Box<Cold>),
}

impl SiteAnswer {
    /// The answer, waited for on another thread where the disk is needed. Only inside of a tokio runtime.
    pub async fn settled(self) -> Self {
        let Self::Cold(cold) = self else { return self };
        match tokio::task::spawn_blocking(move || cold.answer()).await {
            Ok(answer) => answer,
            Err(_) => Self::Trouble(Trouble::SiteUnreadable, Lines::default()),
        }
    }
}

/// A request that waits for the disk: everything that is needed to answer it on another thread.
#[derive(Debug)]
pub struct Cold {
    sites: Sites,
    site: Arc<Site>,
    is_head: bool,
    target: Box<str>,
    /// In the order of [`SiteRequest`].
    lines: [Option<Box<str>>; 5],
}

impl Cold {
    pub(super) fn new(sites: Sites, site: Arc<Site>, request: &SiteRequest<'_>) -> Self {
        let lines = [
            request.accept_encoding,
            request.if_modified_since,
            request.if_none_match,
            request.range,
            request.if_range,
        ];
        Self {
            sites,
            site,
            is_head: request.method == "HEAD",
            target: request.target.into(),
            lines: lines.map(|line| line.map(Into::into)),
        }
    }

    /// The answer. Blocks for a few opened files, a list of the site's files, and at most half a megabyte read.
    pub fn answer(self) -> SiteAnswer {
        let [accept_encoding, if_modified_since, if_none_match, range, if_range] = &self.lines;
        let request = SiteRequest {
            method: if self.is_head { "HEAD" } else { "GET" },
            target: &self.target,
            accept_encoding: accept_encoding.as_deref(),
            if_modified_since: if_modified_since.as_deref(),
            if_none_match: if_none_match.as_deref(),
            range: range.as_deref(),
            if_range: if_range.as_deref(),
        };
        self.sites.answer_from_disk(&self.site, &request)
    }
}

/// An answer that is ready. `Content-Length` is up to the protocol: [`Body::length`].
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Header lines that belong to this answer.
    pub lines: Lines,
    /// Body; a protocol leaves it out for `HEAD`, but not its length.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug, Clone)]
pub enum Body {
    /// None, and no length either: 304.
    None,
    /// In memory.
    Bytes(Bytes),
    /// A part of a file. Its position is nobody's: read at offsets.
    File {
        /// Open for reading.
        file: Arc<File>,
        /// First byte to send.
        offset: u64,
        /// Number of bytes to send.
        length: u64,
        /// The same bytes, where they are in memory too: for connections that encrypt.
        copy: Option<Bytes>,
    },
}

impl Body {
    /// `length` bytes from `first`, both within it.
    pub(super) fn part(&self, first: u64, length: u64) -> Self {
        match self {
            Self::None => Self::None,
            Self::Bytes(bytes) => Self::Bytes(slice(bytes, first, length)),
            Self::File { file, offset, copy, .. } => Self::File {
                file: Arc::clone(file),
                offset: offset + first,
                length,
                copy: copy.as_ref().map(|bytes| slice(bytes, first, length)),
            },
        }
    }

    /// `Content-Length`, where there is to be one.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File { length, .. } => Some(*length),
        }
    }
}

fn slice(bytes: &Bytes, first: u64, length: u64) -> Bytes {
    let start = usize::try_from(first).unwrap_or(0).min(bytes.len());
    let end = start.saturating_add(usize::try_from(length).unwrap_or(0)).min(bytes.len());
    bytes.slice(start..end)
}

/// Header lines in the form of HTTP/1 (`Name: value\r\n`), shared and never changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(Bytes);

impl Lines {
    /// As HTTP/1 sends them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value of a line, empty when there is none.
    pub fn find(&self, name: &str) -> &str {
        let found = self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or("")
    }

    /// Names and values one by one, for other protocols.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.split(|byte| *byte == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            Some((name, line.get(colon + 2..)?))
        })
    }
}

/// Writes [`Lines`].
#[derive(Debug)]
pub(super) struct LinesWriter(Vec<u8>);

impl LinesWriter {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(384))
    }

    /// Goes on after these lines.
    pub(super) fn after(lines: &Lines) -> Self {
        let mut text = Vec::with_capacity(lines.0.len() + 64);
        text.extend_from_slice(&lines.0);
        Self(text)
    }

    /// Adds a line. What could end a line early is refused once more here, whatever the types before promised.
    pub(super) fn push(&mut self, name: &str, value: &str) -> &mut Self {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
        let is_value = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if !name.is_empty() && name.bytes().all(is_name) && value.bytes().all(is_value) {
            self.0.extend_from_slice(name.as_bytes());
            self.0.extend_from_slice(b": ");
            self.0.extend_from_slice(value.as_bytes());
            self.0.extend_from_slice(b"\r\n");
        }
        self
    }

    pub(super) fn finish(&mut self) -> Lines {
        Lines(Bytes::from(std::mem::take(&mut self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written_and_never_end_early() {
        let lines = LinesWriter::new()
            .push("ETag", "\"a: b\"")
            .push("X-Empty", "")
            .push("X-Split", "a\r\nSet-Cookie: b")
            .push("X Y", "bad name")
            .push("Vary", "Accept-Encoding")
            .finish();
        let read: Vec<(&str, &[u8])> = lines.iter().collect();
        let expected: [(&str, &[u8]); 3] =
            [("ETag", b"\"a: b\""), ("X-Empty", b""), ("Vary", b"Accept-Encoding")];
        assert_eq!(read, expected);
        assert_eq!(lines.as_bytes(), b"ETag: \"a: b\"\r\nX-Empty: \r\nVary: Accept-Encoding\r\n");
    }
}
