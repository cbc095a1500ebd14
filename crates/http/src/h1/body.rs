//! Bodies as they pass: where the end is, and how they are framed for the other side. It reads and writes nothing.
//! Tests: `tests/it/bodies.rs` and `tests/it/raw_requests.rs` of the edge.

use super::chunk::{Decoded, Decoder, size_line};
use super::{Framing, Refusal};

/// A body being read.
#[derive(Debug)]
pub enum Source {
    /// This many bytes are missing.
    Length(u64),
    /// Chunks.
    Chunked(Decoder),
    /// Until the sender closes.
    UntilClose,
    /// Complete.
    Done,
}

impl Source {
    /// A body that is framed like this, from its start.
    pub fn of(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Decoder::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Nothing of it is missing.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Most bytes to read next; more could belong to what follows the body.
    pub fn want(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Done => 0,
            Self::Chunked(_) | Self::UntilClose => u64::MAX,
        }
    }

    /// Takes the part of `bytes` that belongs to the body; its data then stands at the front.
    ///
    /// # Errors
    /// Chunks that are not valid.
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<Decoded, Refusal> {
        let taken = match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= here as u64;
                Decoded { data: here, consumed: here, is_done: *left == 0 }
            }
            Self::Chunked(decoder) => decoder.decode(bytes)?,
            Self::UntilClose => Decoded { data: bytes.len(), consumed: bytes.len(), is_done: false },
            Self::Done => Decoded { data: 0, consumed: 0, is_done: true },
        };
        if taken.is_done {
            *self = Self::Done;
        }
        Ok(taken)
    }
}

/// How a body is framed for the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// As it is: the length is in the head, or the end is the end of the connection.
    Plain,
    /// In chunks.
    Chunks,
}

impl Sink {
    /// The pieces to write for `data`, and for the end of the body when `is_done`.
    pub fn frame<'f>(self, data: &'f [u8], is_done: bool, line: &'f mut [u8; 18]) -> [&'f [u8]; 3] {
        match (self, data.is_empty(), is_done) {
            (Self::Plain, _, _) => [b"", data, b""],
            (Self::Chunks, true, false) => [b"", b"", b""],
            (Self::Chunks, true, true) => [b"", b"", b"0\r\n\r\n"],
            (Self::Chunks, false, false) => [size_line(data.len(), line), data, b"\r\n"],
            (Self::Chunks, false, true) => [size_line(data.len(), line), data, b"\r\n0\r\n\r\n"],
        }
    }
}
