//! Streams of frames from and to the server: whole, or an error. What a frame is says `havre_api::frame`.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use havre_api::frame::{Decoder, Encoder, FRAMES, Frame, FrameError, KEEP_ALIVE};
use http_body_util::{BodyExt as _, Full};
use hyper::Method;
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::exit::{CliError, Exit};
use crate::http::{Body, Client};
use crate::output::{self, time};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;
/// Frames waiting for a slow connection.
const WAITING: usize = 8;
/// Pause after which a silent sender says that it is still there.
const KEEP: Duration = Duration::from_secs(10);
/// How often it is told how far it has come.
const TELL: Duration = Duration::from_secs(5);

/// Whether it is told how far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// Not at all.
    Silently,
    /// On standard error.
    WithProgress,
}

/// An answer of frames.
pub(super) struct Answer {
    body: Incoming,
    decoder: Decoder,
}

/// Asks for one.
pub(super) async fn open(client: &Client, path: &str, request: &impl Serialize) -> Result<Answer, CliError> {
    let text = serde_json::to_vec(request).expect("wire types are always JSON");
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let response = client.send(Method::POST, path, "application/json", body).await?;
    Ok(Answer { body: response.into_body(), decoder: Decoder::default() })
}

impl Answer {
    /// The next data; `None` once all of it has been there.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, CliError> {
        loop {
            match self.decoder.next_frame().map_err(broken)? {
                Some(Frame::Data(bytes)) => return Ok(Some(bytes)),
                Some(Frame::End) => return Ok(None),
                Some(Frame::Failed(error)) => {
                    let mut failed = CliError::new(Exit::Failed, error.message);
                    failed.hint = error.hint;
                    failed.code = error.code;
                    return Err(failed);
                }
                None => {}
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.decoder.push(data);
                    }
                }
                Some(Err(_)) | None => return Err(broken(FrameError::NotWhole)),
            }
        }
    }

    /// Passes all of it on; how many bytes there were.
    pub(super) async fn copy(
        &mut self,
        write: &mut impl FnMut(&[u8]) -> Result<(), CliError>,
        ends: Ends,
    ) -> Result<u64, CliError> {
        let mut told = Instant::now();
        while let Some(bytes) = self.next().await? {
            write(&bytes)?;
            if ends == Ends::WithProgress && told.elapsed() >= TELL {
                told = Instant::now();
                output::say(&format!("{} so far", time::size(self.decoder.bytes())));
            }
        }
        Ok(self.decoder.bytes())
    }
}

fn broken(error: FrameError) -> CliError {
    CliError::new(Exit::Unreachable, format!("the answer of the server broke off: {error}"))
        .hint("what came is no whole answer; try again")
}

/// Sends what a reader has to the server, and reads a JSON answer.
pub(super) async fn send<T: serde::de::DeserializeOwned>(
    client: &Client,
    path: &str,
    reader: impl Read + Send + 'static,
) -> Result<T, CliError> {
    let response = client.send(Method::POST, path, FRAMES, body(reader)).await?;
    client.read(response).await
}

/// A body that reads while it is sent. A reader that fails ends it without its last frame.
fn body(reader: impl Read + Send + 'static) -> Body {
    let (sender, pieces) = mpsc::channel::<io::Result<Vec<u8>>>(WAITING);
    // A thread of its own: standard input is waited for without an end.
    std::thread::spawn(move || read(reader, &sender));
    let (frames, receiver) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    tokio::spawn(encode(pieces, frames));
    Queue(receiver).boxed()
}

/// Empty pieces stand for the end.
fn read(mut reader: impl Read, sender: &mpsc::Sender<io::Result<Vec<u8>>>) {
    loop {
        let mut buffer = vec![0; CHUNK];
        let piece = match reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(count) => {
                buffer.truncate(count);
                Ok(buffer)
            }
            Err(error) => Err(error),
        };
        let is_last = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
        // A server that takes no more says why in its answer.
        if sender.blocking_send(piece).is_err() || is_last {
            return;
        }
    }
}

async fn encode(mut pieces: mpsc::Receiver<io::Result<Vec<u8>>>, frames: mpsc::Sender<io::Result<Bytes>>) {
    let mut encoder = Encoder::default();
    let mut told = Instant::now();
    let mut bytes: u64 = 0;
    loop {
        let frame = match tokio::time::timeout(KEEP, pieces.recv()).await {
            Err(_) => Ok(Bytes::from_static(&KEEP_ALIVE)),
            Ok(None) => return,
            Ok(Some(Err(error))) => {
                // Without its last frame the server takes nothing of it.
                let _ = frames.send(Err(error)).await;
                return;
            }
            Ok(Some(Ok(piece))) if piece.is_empty() => {
                // Whoever takes no more says why in the answer.
                let _ = frames.send(Ok(Bytes::from(encoder.end()))).await;
                return;
            }
            Ok(Some(Ok(piece))) => {
                bytes += piece.len() as u64;
                Ok(Bytes::from(encoder.data(&piece)))
            }
        };
        if frames.send(frame).await.is_err() {
            return;
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            output::say(&format!("{} so far", time::size(bytes)));
        }
    }
}

/// The frames as they are made.
struct Queue(mpsc::Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Queue {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<hyper::body::Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(hyper::body::Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(reader: impl Read + Send + 'static) -> Vec<Frame> {
        let mut decoder = Decoder::default();
        let mut body = body(reader);
        let mut frames = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            decoder.push(frame.data_ref().expect("is data"));
            while let Some(frame) = decoder.next_frame().expect("frames") {
                frames.push(frame);
            }
        }
        frames
    }

    /// A disk that breaks in the middle.
    struct Breaks(bool);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::ErrorKind::Other.into());
            }
            buffer[0] = b'x';
            Ok(1)
        }
    }

    #[tokio::test]
    async fn only_what_was_read_to_its_end_has_one() {
        let found = frames(&b"a dump"[..]).await;
        assert_eq!(found, [Frame::Data(b"a dump".to_vec()), Frame::End]);
        assert_eq!(frames(Breaks(false)).await, [Frame::Data(b"x".to_vec())]);
    }
}
