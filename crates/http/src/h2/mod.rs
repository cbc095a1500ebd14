//! Heads of HTTP/1.1 as text and the same as fields of HTTP/2: [`answer`] both ways, [`request`] towards applications. It knows
//! no frames and no connections, and judges nothing: heads of clients and of applications pass the parsers of
//! [`h1`](crate::h1) on their way. Tests at the end of files, and `tests/it/h2_*.rs` of the edge.

pub mod answer;
pub mod request;

use bytes::Bytes;
use http::HeaderValue;

/// Most lines of a head of our own: those of the other side, which are bounded, and ours.
const MOST_LINES: usize = 300;

/// A value as a part of the bytes that were copied once; `value` lies in `text`, whose beginning `owned` is.
fn value(owned: &Bytes, text: &[u8], value: &[u8]) -> Option<HeaderValue> {
    if value.is_empty() {
        return Some(HeaderValue::from_static(""));
    }
    let start = value.as_ptr() as usize - text.as_ptr() as usize;
    HeaderValue::from_maybe_shared(owned.slice(start..start + value.len())).ok()
}
