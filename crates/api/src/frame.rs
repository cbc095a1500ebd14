//! Streams that cannot be mistaken for whole when they are not: dumps, both ways, and what belongs to one person. A byte for the kind, four for
//! the length (most significant first), then so many bytes. The last frame says how many bytes of data there were; a stream without it has
//! broken off, whatever the connection says. Tests at the end of the file.

use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;

/// Media type of such a stream.
pub const FRAMES: &str = "application/x-havre-frames";
/// Longest frame.
pub const FRAME_MAX: usize = 1024 * 1024;
/// A frame that means nothing and keeps a silent stream alive.
pub const KEEP_ALIVE: [u8; 5] = [b'K', 0, 0, 0, 0];

const HEAD: usize = 5;

/// A frame as it was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Data.
    Data(Vec<u8>),
    /// All data has been there.
    End,
    /// There is no more, and what was there is not whole.
    Failed(ErrorBody),
}

/// Payload of the last frame of a whole stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Total {
    /// Bytes of data.
    bytes: u64,
}

/// What makes a stream unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// It is no stream of frames.
    Malformed,
    /// It says another number of bytes than there were.
    NotWhole,
    /// Something follows its last frame.
    Behind,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is no stream of frames",
            Self::NotWhole => "it is not whole: some of it is missing",
            Self::Behind => "something follows its end",
        })
    }
}

impl std::error::Error for FrameError {}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is at most FRAME_MAX bytes long");
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Writes frames and counts the data.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: u64,
}

impl Encoder {
    /// Frames of data.
    pub fn data(&mut self, data: &[u8]) -> Vec<u8> {
        self.bytes += data.len() as u64;
        data.chunks(FRAME_MAX).flat_map(|part| frame(b'D', part)).collect()
    }

    /// The last frame of a whole stream.
    pub fn end(self) -> Vec<u8> {
        let total = serde_json::to_vec(&Total { bytes: self.bytes }).expect("wire types are always JSON");
        frame(b'E', &total)
    }

    /// The last frame of one that is not whole.
    pub fn failed(error: &ErrorBody) -> Vec<u8> {
        let mut text = serde_json::to_vec(error).expect("wire types are always JSON");
        if text.len() > FRAME_MAX {
            let short =
                ErrorBody { message: String::new(), hint: String::new(), details: None, ..error.clone() };
            text = serde_json::to_vec(&short).expect("wire types are always JSON");
        }
        frame(b'F', &text)
    }
}

/// Reads frames out of pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of data so far.
    bytes: u64,
    is_over: bool,
}

impl Decoder {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Bytes of data so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next frame; `None` while more is needed.
    ///
    /// # Errors
    /// The stream cannot be read any further.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let Some((head, rest)) = self.buffer.split_at_checked(HEAD) else {
                let is_behind = self.is_over && !self.buffer.is_empty();
                return if is_behind { Err(FrameError::Behind) } else { Ok(None) };
            };
            if self.is_over {
                return Err(FrameError::Behind);
            }
            let kind = head[0];
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if length > FRAME_MAX {
                return Err(FrameError::Malformed);
            }
            if rest.len() < length {
                return Ok(None);
            }
            let payload = rest[..length].to_vec();
            self.buffer.drain(..HEAD + length);
            match kind {
                b'K' if payload.is_empty() => {}
                b'D' => {
                    self.bytes += payload.len() as u64;
                    return Ok(Some(Frame::Data(payload)));
                }
                b'E' => return self.end(&payload).map(Some),
                b'F' => {
                    self.is_over = true;
                    let error = serde_json::from_slice(&payload).map_err(|_| FrameError::Malformed)?;
                    return Ok(Some(Frame::Failed(error)));
                }
                _ => return Err(FrameError::Malformed),
            }
        }
    }

    fn end(&mut self, payload: &[u8]) -> Result<Frame, FrameError> {
        self.is_over = true;
        let total: Total = serde_json::from_slice(payload).map_err(|_| FrameError::Malformed)?;
        if total.bytes == self.bytes { Ok(Frame::End) } else { Err(FrameError::NotWhole) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &[u8], size: usize) -> Result<Vec<Frame>, FrameError> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for piece in stream.chunks(size) {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn whole() -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut stream = encoder.data(b"one");
        stream.extend(KEEP_ALIVE);
        stream.extend(encoder.data(b"two"));
        stream.extend(encoder.end());
        stream
    }

    #[test]
    fn only_a_whole_stream_has_its_end() {
        let stream = whole();
        let expected = vec![Frame::Data(b"one".to_vec()), Frame::Data(b"two".to_vec()), Frame::End];
        for size in [1, 4, 7, 1000] {
            assert_eq!(read(&stream, size), Ok(expected.clone()));
        }
        for length in 0..stream.len() {
            let frames = read(&stream[..length], 3).expect("the beginning can be read");
            assert!(!frames.contains(&Frame::End), "cut off after {length} bytes");
        }
        let mut less = stream.clone();
        less.drain(..8);
        assert_eq!(read(&less, 5), Err(FrameError::NotWhole));
        let mut more = stream;
        more.push(b'D');
        assert_eq!(read(&more, 1000), Err(FrameError::Behind));
    }

    #[test]
    fn a_failure_and_nonsense_are_no_end() {
        let error = ErrorBody {
            code: "internal".to_owned(),
            message: "it broke".to_owned(),
            hint: String::new(),
            details: None,
        };
        assert_eq!(read(&Encoder::failed(&error), 2), Ok(vec![Frame::Failed(error)]));
        assert_eq!(read(b"<html>nothing here", 100), Err(FrameError::Malformed));
        assert_eq!(read(&[b'D', 0xff, 0xff, 0xff, 0xff], 100), Err(FrameError::Malformed));
    }

    #[test]
    fn long_data_is_cut_into_frames() {
        let mut encoder = Encoder::default();
        let mut stream = encoder.data(&vec![7; FRAME_MAX + 1]);
        stream.extend(encoder.end());
        let frames = read(&stream, 65_536).expect("is whole");
        assert_eq!(frames.len(), 3);
    }
}
