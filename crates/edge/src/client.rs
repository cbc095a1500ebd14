//! A small HTTP/1.1 client for probes and for control: one request, one bounded answer, one connection.
//! It carries no user traffic (that is the data path's strict engine), keeps no connection and sets no
//! deadline: callers do. Tests at the end of the file.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest answer head.
const MAX_HEAD: usize = 32 * 1024;
/// Most lines of an answer head.
const MAX_LINES: usize = 100;
/// Longest line that opens a chunk.
const MAX_CHUNK_LINE: usize = 256;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The connection failed.
    #[error("exchange over the connection")]
    Io(#[from] io::Error),
    /// It ended before the head of an answer.
    #[error("closed the connection without an answer")]
    NoAnswer,
    /// What came is no HTTP/1 answer.
    #[error("answered something that is not HTTP/1")]
    NotHttp,
    /// The body ended early.
    #[error("closed the connection in the middle of the answer")]
    Cut,
    /// The body is larger than the caller takes.
    #[error("answered with more than {0} bytes")]
    TooLarge(usize),
}

/// How much of a body to take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    /// All of it; an error if there is more, or if it ends early.
    Whole(usize),
    /// At most this many bytes; the rest does not matter, nor does an early end.
    Start(usize),
}

/// The head of an answer, and the connection behind it.
#[derive(Debug)]
pub(crate) struct Answer<S> {
    /// Status code.
    pub(crate) status: u16,
    framing: Framing,
    buffer: Vec<u8>,
    stream: S,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Sends `request`, a whole request with its body, and reads the head of the final answer.
pub(crate) async fn send<S>(mut stream: S, request: &[u8]) -> Result<Answer<S>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut buffer = Vec::with_capacity(1024);
    loop {
        match parse_head(&buffer)? {
            Some(head) if (100..200).contains(&head.status) && head.status != 101 => {
                buffer.drain(..head.length);
            }
            Some(head) => {
                buffer.drain(..head.length);
                return Ok(Answer { status: head.status, framing: head.framing, buffer, stream });
            }
            None if buffer.len() >= MAX_HEAD => return Err(ClientError::NotHttp),
            None => {
                if stream.read_buf(&mut buffer).await? == 0 {
                    let nothing = buffer.is_empty();
                    return Err(if nothing { ClientError::NoAnswer } else { ClientError::Cut });
                }
            }
        }
    }
}

struct Head {
    status: u16,
    length: usize,
    framing: Framing,
}

fn parse_head(buffer: &[u8]) -> Result<Option<Head>, ClientError> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
    let mut response = httparse::Response::new(&mut lines);
    let length = match response.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ClientError::NotHttp),
    };
    let status = response.code.ok_or(ClientError::NotHttp)?;
    let mut framing = Framing::UntilClose;
    for line in response.headers.iter() {
        if line.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if line.name.eq_ignore_ascii_case("content-length") && framing != Framing::Chunked {
            let text = std::str::from_utf8(line.value).map_err(|_| ClientError::NotHttp)?;
            framing = Framing::Length(text.trim().parse().map_err(|_| ClientError::NotHttp)?);
        }
    }
    if matches!(status, 100..200 | 204 | 304) {
        framing = Framing::Length(0);
    }
    Ok(Some(Head { status, length, framing }))
}

impl<S: AsyncRead + Unpin> Answer<S> {
    /// Reads the body and drops the connection.
    pub(crate) async fn body(self, want: Body) -> Result<Vec<u8>, ClientError> {
        let (most, is_whole) = match want {
            Body::Whole(most) => (most, true),
            Body::Start(most) => (most, false),
        };
        let mut reader = BodyReader { buffer: self.buffer, stream: self.stream, body: Vec::new(), most };
        let end = match self.framing {
            Framing::Length(length) => reader.take(length).await,
            Framing::Chunked => reader.take_chunks().await,
            Framing::UntilClose => reader.take_all().await,
        };
        match end {
            Ok(()) => Ok(reader.body),
            Err(_) if !is_whole => Ok(reader.body),
            Err(error) => Err(error),
        }
    }
}

struct BodyReader<S> {
    /// Read but not yet taken.
    buffer: Vec<u8>,
    stream: S,
    body: Vec<u8>,
    most: usize,
}

impl<S: AsyncRead + Unpin> BodyReader<S> {
    async fn fill(&mut self) -> Result<bool, ClientError> {
        self.buffer.reserve(8 * 1024);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// Moves up to `length` read bytes into the body; returns how many.
    fn shift(&mut self, length: u64) -> Result<u64, ClientError> {
        let ready = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len());
        let room = self.most - self.body.len();
        self.body.extend(self.buffer.drain(..ready.min(room)));
        if ready > room {
            return Err(ClientError::TooLarge(self.most));
        }
        Ok(ready as u64)
    }

    async fn take(&mut self, mut length: u64) -> Result<(), ClientError> {
        loop {
            length -= self.shift(length)?;
            if length == 0 {
                return Ok(());
            }
            if !self.fill().await? {
                return Err(ClientError::Cut);
            }
        }
    }

    async fn take_all(&mut self) -> Result<(), ClientError> {
        loop {
            self.shift(u64::MAX)?;
            if !self.fill().await? {
                return Ok(());
            }
        }
    }

    /// Trailers are not read: the connection ends with this answer.
    async fn take_chunks(&mut self) -> Result<(), ClientError> {
        loop {
            let size = self.chunk_size().await?;
            if size == 0 {
                return Ok(());
            }
            self.take(size).await?;
            while self.buffer.len() < 2 {
                if !self.fill().await? {
                    return Err(ClientError::Cut);
                }
            }
            if !self.buffer.starts_with(b"\r\n") {
                return Err(ClientError::NotHttp);
            }
            self.buffer.drain(..2);
        }
    }

    async fn chunk_size(&mut self) -> Result<u64, ClientError> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.buffer.drain(..length);
                    return Ok(size);
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < MAX_CHUNK_LINE => {}
                Ok(httparse::Status::Partial) | Err(_) => return Err(ClientError::NotHttp),
            }
            if !self.fill().await? {
                return Err(ClientError::Cut);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(u16, Vec<u8>), String>;

    /// What the client makes of `answer` when it comes in pieces of `step` bytes and then ends.
    async fn exchange(answer: &[u8], step: usize, want: Body) -> Outcome {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let answer = answer.to_vec();
        let server = tokio::spawn(async move {
            let mut request = [0; 18];
            theirs.read_exact(&mut request).await.unwrap();
            for piece in answer.chunks(step) {
                // The client may stop reading early, which is its right.
                if theirs.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        let result = match send(ours, b"GET / HTTP/1.1\r\n\r\n").await {
            Ok(answer) => {
                let status = answer.status;
                answer.body(want).await.map(|body| (status, body)).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        server.await.unwrap();
        result
    }

    #[tokio::test]
    async fn every_framing_in_every_slicing() {
        let ok = |status: u16, body: &str| Ok((status, body.as_bytes().to_vec()));
        let error = |text: &str| Err(text.to_owned());
        let rows: [(&str, Outcome); 12] = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", ok(200, "hello")),
            ("HTTP/1.1 200 OK\r\n\r\nuntil close", ok(200, "until close")),
            ("HTTP/1.0 503 No\r\nContent-Length: 0\r\n\r\n", ok(503, "")),
            ("HTTP/1.1 204 No\r\n\r\n", ok(204, "")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3\r\n, a\r\n0\r\n\r\n",
                ok(200, "hello, a"),
            ),
            (
                "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
                ok(200, "a"),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                error("closed the connection in the middle of the answer"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX",
                error("answered something that is not HTTP/1"),
            ),
            ("", error("closed the connection without an answer")),
            ("SSH-2.0-OpenSSH_9.2\r\n", error("answered something that is not HTTP/1")),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", error("answered something that is not HTTP/1")),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\nlonger than is allowed",
                error("answered with more than 20 bytes"),
            ),
        ];
        for (answer, expected) in rows {
            for step in [1, 7, 1000] {
                assert_eq!(
                    exchange(answer.as_bytes(), step, Body::Whole(20)).await,
                    expected,
                    "{answer:?} by {step}"
                );
            }
        }
    }

    #[tokio::test]
    async fn the_start_of_a_body_is_enough_for_a_probe() {
        let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(5000));
        assert_eq!(exchange(long.as_bytes(), 100, Body::Start(10)).await, Ok((200, b"xxxxxxxxxx".to_vec())));
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhel";
        assert_eq!(exchange(cut.as_bytes(), 100, Body::Start(10)).await, Ok((200, b"hel".to_vec())));
    }

    #[tokio::test]
    async fn an_endless_head_is_cut() {
        let head = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(2 * MAX_HEAD));
        assert_eq!(
            exchange(head.as_bytes(), 4096, Body::Whole(1)).await,
            Err("answered something that is not HTTP/1".to_owned())
        );
    }
}
