//! Strict decoder of chunked bodies. It works in place: chunk sizes, extensions and trailers disappear and the
//! data moves together, so that only validated bytes can be forwarded. It writes no chunks except their size
//! lines. Tests at the end of the file and in `tests/it/raw_requests.rs` of the edge.

use super::Refusal;

/// Most bytes of extensions and trailers of one body: nobody needs them, and they are dropped.
const MOST_EXTRA: u32 = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    SizeStart,
    Size,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    /// At the start of a trailer line or of the last empty line.
    TrailerStart,
    Trailer,
    TrailerLineFeed,
    EndLineFeed,
    Done,
}

/// State of one body between reads.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Data bytes missing from this chunk, or its size so far.
    left: u64,
    digits: u8,
    extra: u32,
}

/// What one call of [`Decoder::decode`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Data bytes, now at the start of the slice.
    pub data: usize,
    /// Bytes of the slice that belong to this body, data included. What follows them is untouched.
    pub consumed: usize,
    /// The body is complete.
    pub is_done: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// At the start of a body.
    pub fn new() -> Self {
        Self { state: State::SizeStart, left: 0, digits: 0, extra: 0 }
    }

    /// Decodes what is there.
    ///
    /// # Errors
    /// The bytes are not a valid chunked body; nothing of them may be used.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, Refusal> {
        let mut data = 0;
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                bytes.copy_within(at..at + here, data);
                data += here;
                at += here;
                self.left -= here as u64;
                if self.left == 0 {
                    self.state = State::DataReturn;
                }
                continue;
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(Decoded { data, consumed: at, is_done: self.state == State::Done })
    }

    fn step(&mut self, byte: u8) -> Result<State, Refusal> {
        match (self.state, byte) {
            (State::SizeStart | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (State::Size, b'\r') => Ok(State::SizeLineFeed),
            (State::Size, b';') => self.extra(State::Extension),
            (State::Extension, b'\r') => Ok(State::SizeLineFeed),
            (State::Extension, _) if is_text(byte) => self.extra(State::Extension),
            (State::SizeLineFeed, b'\n') => {
                self.digits = 0;
                Ok(if self.left == 0 { State::TrailerStart } else { State::Data })
            }
            (State::DataReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::SizeStart),
            (State::TrailerStart, b'\r') => Ok(State::EndLineFeed),
            (State::TrailerStart, _) if byte.is_ascii_graphic() && byte != b':' => self.extra(State::Trailer),
            (State::Trailer, b'\r') => Ok(State::TrailerLineFeed),
            (State::Trailer, _) if is_text(byte) => self.extra(State::Trailer),
            (State::TrailerLineFeed, b'\n') => Ok(State::TrailerStart),
            (State::EndLineFeed, b'\n') => Ok(State::Done),
            _ => Err(Refusal::Chunk),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, Refusal> {
        // 15 digits are 2^60 bytes: more is an attack on somebody's arithmetic.
        if self.digits == 15 {
            return Err(Refusal::Chunk);
        }
        self.digits += 1;
        self.left = self.left * 16 + u64::from(char::from(byte).to_digit(16).unwrap_or(0));
        Ok(State::Size)
    }

    fn extra(&mut self, next: State) -> Result<State, Refusal> {
        self.extra += 1;
        if self.extra > MOST_EXTRA { Err(Refusal::Chunk) } else { Ok(next) }
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The line before a chunk of `size` bytes, written to the end of `buffer`; returns the used part.
pub fn size_line(size: usize, buffer: &mut [u8; 18]) -> &[u8] {
    buffer[16] = b'\r';
    buffer[17] = b'\n';
    let mut start = 16;
    let mut rest = size;
    loop {
        start -= 1;
        buffer[start] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            return &buffer[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_all(body: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), Refusal> {
        let mut decoder = Decoder::new();
        let (mut data, mut consumed, mut is_done) = (Vec::new(), 0, false);
        for part in body.chunks(piece) {
            let mut part = part.to_vec();
            let step = decoder.decode(&mut part)?;
            data.extend_from_slice(&part[..step.data]);
            consumed += step.consumed;
            is_done = step.is_done;
        }
        Ok((data, consumed, is_done))
    }

    #[test]
    fn drops_extensions_and_trailers_and_stops_at_the_end() {
        let body = b"5;a=\"b\"\r\nhello\r\nA\r\n, world!!!\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        for piece in 1..body.len() {
            assert_eq!(
                decode_all(body, piece),
                Ok((b"hello, world!!!".to_vec(), body.len() - 5, true)),
                "{piece}"
            );
        }
    }

    #[test]
    fn refuses_what_others_have_read_differently() {
        for body in [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "-1\r\nhello\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            ";a\r\nhello\r\n0\r\n\r\n",
            "ffffffffffffffff\r\nhello",
            "0\r\n folded\r\n\r\n",
            "0\r\nX: 1\n\r\n",
            "0\r\n\n",
            "0\r\r\n",
            "5;\0\r\nhello\r\n0\r\n\r\n",
        ] {
            assert_eq!(decode_all(body.as_bytes(), 1000), Err(Refusal::Chunk), "{body:?}");
            assert_eq!(decode_all(body.as_bytes(), 1), Err(Refusal::Chunk), "{body:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(17_000));
        assert_eq!(decode_all(long.as_bytes(), 100), Err(Refusal::Chunk));
        let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(17_000));
        assert_eq!(decode_all(many.as_bytes(), 100), Err(Refusal::Chunk));
    }

    proptest! {
        #[test]
        fn any_body_in_any_pieces_survives(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
            piece in 1_usize..200,
        ) {
            let mut body = Vec::new();
            for part in &parts {
                body.extend_from_slice(size_line(part.len(), &mut [0; 18]));
                body.extend_from_slice(part);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode_all(&body, piece), Ok((parts.concat(), body.len(), true)));
        }
    }
}
