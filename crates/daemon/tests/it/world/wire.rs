//! HTTP/1.1 byte by byte, for both of its sides: what came on a connection and was not looked at yet. Every read gives up
//! after a while, so that an edge that hangs is a failing test.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Longest wait for the next bytes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Room for one read.
const BLOCK: usize = 256 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the edge listens");
        stream.set_nodelay(true).expect("an open socket");
        Self::over(stream)
    }

    /// A connection on which the kernel keeps next to nothing for us, so that what we do not read stays at the other side.
    pub(crate) async fn connect_narrowly(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("an open socket");
        Self::over(socket.connect(address).await.expect("the edge listens"))
    }

    /// The kernel takes little of what we send before the other side has read it; many such connections cost little.
    pub(crate) fn narrow(&self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_send_buffer_size(&self.stream, 64 * 1024)?)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads once more; false at the end.
    async fn more(&mut self) -> io::Result<bool> {
        self.buffer.reserve(BLOCK);
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer));
        let count = read.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(count > 0)
    }

    /// Everything through the next `mark`; none when the connection ends before anything came.
    pub(crate) async fn through(&mut self, mark: &str) -> io::Result<Option<String>> {
        loop {
            let found = self.buffer.windows(mark.len()).position(|part| part == mark.as_bytes());
            if let Some(at) = found {
                let text = self.buffer.split_to(at + mark.len());
                return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
            }
            if !self.more().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads this many bytes and forgets them.
    pub(crate) async fn skip(&mut self, count: u64) -> io::Result<()> {
        let mut left = count;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            self.buffer.advance(here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// An answer of known length: its head and its body.
    pub(crate) async fn answer(&mut self) -> io::Result<(String, String)> {
        let head = self.through("\r\n\r\n").await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = length_of(&head).unwrap_or(0);
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
        while self.buffer.len() < length {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = self.buffer.split_to(length);
        Ok((head, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Sends a request and waits for its answer: the status line and the body.
    pub(crate) async fn ask(&mut self, request: &str) -> io::Result<(String, String)> {
        self.send(request.as_bytes()).await?;
        let (head, body) = self.answer().await?;
        Ok((head.lines().next().unwrap_or_default().to_owned(), body))
    }
}

/// What `Content-Length` says.
pub(crate) fn length_of(head: &str) -> Option<u64> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
    })
}
