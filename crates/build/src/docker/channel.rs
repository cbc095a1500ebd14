//! Lets blocking code read an asynchronous stream of bytes. A stream that was dropped halfway reads as an error, never
//! as an end. Tests at the end of the file.

use std::io::{self, ErrorKind, Read};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// Chunks that may wait; Docker sends at most 64 KiB at once.
const CHUNKS: usize = 8;

/// A chunk, or `None` for the proper end.
pub(super) type Chunk = io::Result<Option<Bytes>>;

/// The reading side.
pub(super) struct ChannelReader {
    chunks: mpsc::Receiver<Chunk>,
    chunk: Bytes,
    has_ended: bool,
}

pub(super) fn channel() -> (mpsc::Sender<Chunk>, ChannelReader) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    (sender, ChannelReader { chunks, chunk: Bytes::new(), has_ended: false })
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && !self.has_ended {
            match self.chunks.blocking_recv() {
                Some(Ok(Some(chunk))) => self.chunk = chunk,
                Some(Ok(None)) => self.has_ended = true,
                Some(Err(error)) => return Err(error),
                None => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_stream_is_no_end() {
        let (sender, mut reader) = channel();
        sender.blocking_send(Ok(Some(Bytes::from_static(b"ab")))).expect("has room");
        sender.blocking_send(Ok(None)).expect("has room");
        let mut text = String::new();
        assert_eq!(reader.read_to_string(&mut text).expect("ends well"), 2);
        assert_eq!(text, "ab");

        let (sender, mut reader) = channel();
        sender.blocking_send(Ok(Some(Bytes::from_static(b"ab")))).expect("has room");
        drop(sender);
        let error = reader.read_to_end(&mut Vec::new()).expect_err("was cut off");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
