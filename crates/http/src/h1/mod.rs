//! HTTP/1.1 on the byte level: strict parsing of heads and bodies. Everything here is synchronous and knows
//! neither sockets nor routes; what it accepts has one meaning only, so that no two programs can read it
//! differently. What it refuses is a [`Refusal`]. Tests: at the end of files, and of the edge
//! `tests/it/raw_requests.rs` and `tests/it/differential.rs` (hyper as the oracle).

use std::mem::MaybeUninit;

pub mod body;
pub mod chunk;
mod field;
mod refusal;
pub mod request;
pub mod response;
mod scan;

pub use field::Field;
pub use refusal::Refusal;
pub use scan::head_end;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// A body of this many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
    /// The sender closes the connection; only answers may be framed like this.
    UntilClose,
}

/// Most header lines of a head that fit the arrays of the parsers; `EdgeLimits::head_lines` is cut to it.
pub const MOST_LINES: usize = 256;

/// Memory for the lines of one head; on the stack of the caller, never kept over a wait.
#[derive(Debug)]
pub struct Scratch<'b> {
    headers: [MaybeUninit<httparse::Header<'b>>; MOST_LINES],
    fields: [Field; MOST_LINES],
}

impl Scratch<'_> {
    /// Empty.
    #[expect(clippy::new_without_default, reason = "a default would suggest a value worth having")]
    pub fn new() -> Self {
        Self { headers: [const { MaybeUninit::uninit() }; MOST_LINES], fields: [Field::Other; MOST_LINES] }
    }
}

/// Most header names a `Connection` header may list.
const MOST_NAMED: usize = 16;

/// What the `Connection` headers of a head say.
#[derive(Debug, Clone, Copy)]
struct Connection<'b> {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    named: [&'b [u8]; MOST_NAMED],
    count: usize,
}

impl<'b> Connection<'b> {
    fn new() -> Self {
        Self { close: false, keep_alive: false, upgrade: false, named: [b""; MOST_NAMED], count: 0 }
    }

    /// Takes in one `Connection` value; false when it lists too many names.
    fn read(&mut self, value: &'b [u8]) -> bool {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !token.is_empty() {
                if self.count == MOST_NAMED {
                    return false;
                }
                self.named[self.count] = token;
                self.count += 1;
            }
        }
        true
    }

    fn names(&self, name: &str) -> bool {
        self.named[..self.count].iter().any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Where `part`, a slice of `whole`, starts in it.
fn offset_in(part: &[u8], whole: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// Copies the lines that are passed on and that `drops` does not name, neighbours in one piece.
fn pass_lines(
    head: &[u8],
    (headers, fields): (&[httparse::Header<'_>], &[Field]),
    connection: &Connection<'_>,
    drops: impl Fn(&str) -> bool,
    out: &mut Vec<u8>,
) {
    let lines_end = head.len() - 2;
    let start_of = |index: usize| match headers.get(index) {
        Some(header) => offset_in(header.name.as_bytes(), head),
        None => lines_end,
    };
    let mut kept_from = None;
    for (index, (header, field)) in headers.iter().zip(fields).enumerate() {
        let is_kept = field.is_passed_on()
            && !(connection.count > 0 && connection.names(header.name))
            && !drops(header.name);
        match (kept_from, is_kept) {
            (None, true) => kept_from = Some(start_of(index)),
            (Some(from), false) => {
                out.extend_from_slice(&head[from..start_of(index)]);
                kept_from = None;
            }
            _ => {}
        }
    }
    if let Some(from) = kept_from {
        out.extend_from_slice(&head[from..lines_end]);
    }
}

/// Whether a header stands in the head as `name:value`, `name: value` with nothing but spaces around the value.
/// Asked of framing headers only: a tab there is where parsers have disagreed.
fn has_plain_spaces(header: &httparse::Header<'_>, head: &[u8]) -> bool {
    let name_end = offset_in(header.name.as_bytes(), head) + header.name.len();
    let value_start = offset_in(header.value, head);
    let line_rest = head.get(value_start + header.value.len()..).unwrap_or(b"\t");
    let before = head.get(name_end + 1..value_start).unwrap_or(b"\t");
    let after = line_rest.split(|byte| *byte == b'\r').next().unwrap_or(b"");
    before.iter().chain(after).all(|byte| *byte == b' ')
}

/// `Content-Length` as a number: digits only, at most 18 of them.
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}
