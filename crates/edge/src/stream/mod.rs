//! One connection as the data path sees it: plain TCP, or TLS over it. The enum is matched where bytes move, so plain
//! connections keep what only sockets can do (`sendfile`, `splice`, peeking) and cost nothing more. It knows nothing
//! of HTTP, and nothing of handshakes (`tls`). Tests: `tests/it/tls.rs`.

mod tls;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

pub(crate) use tls::{SocketIo, Tls};

/// A client's connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Without encryption.
    Plain(TcpStream),
    /// After a handshake; boxed, because resting plain connections should not pay for it.
    Tls(Box<Tls>),
}

/// The side of a connection that bytes come from.
#[derive(Debug)]
pub(crate) enum ReadEnd<'s> {
    Plain(ReadHalf<'s>),
    Tls(&'s Tls),
}

/// The side of a connection that bytes go to.
#[derive(Debug)]
pub(crate) enum WriteEnd<'s> {
    Plain(WriteHalf<'s>),
    Tls(&'s Tls),
}

/// Both sides of a plain connection.
pub(crate) fn split(stream: &mut TcpStream) -> (ReadEnd<'_>, WriteEnd<'_>) {
    let (from, to) = stream.split();
    (ReadEnd::Plain(from), WriteEnd::Plain(to))
}

impl Stream {
    /// Both sides.
    pub(crate) fn split(&mut self) -> (ReadEnd<'_>, WriteEnd<'_>) {
        match self {
            Self::Plain(stream) => split(stream),
            Self::Tls(tls) => (ReadEnd::Tls(tls), WriteEnd::Tls(tls)),
        }
    }

    /// What is known from the handshake; none for plain connections.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(tls),
        }
    }

    /// Resolves when there may be something to read; holds no memory for it.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_read_ready(context),
            Self::Tls(tls) => tls.poll_ready(context),
        }
    }

    /// Says that nothing more comes; what the other side still sends can be read. Takes what the socket takes at
    /// once: whoever does not read has no use for a farewell.
    pub(crate) fn end(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => Ok(rustix::net::shutdown(stream, rustix::net::Shutdown::Write)?),
            Self::Tls(tls) => tls.end(),
        }
    }

    /// Before an orderly close: a TLS client must be able to tell it from an attacker's.
    pub(crate) fn bid_farewell(&self) {
        if let Self::Tls(tls) = self {
            // Whoever is gone already needs none.
            let _ = tls.end();
        }
    }

    /// Closing will reset the connection: nothing else tells the client that an answer was cut.
    pub(crate) fn reset_on_close(&self) {
        // A socket that refuses it is closed in the ordinary way.
        let _ = match self {
            Self::Plain(stream) => stream.set_zero_linger(),
            Self::Tls(tls) => tls.reset_on_close(),
        };
    }
}

impl ReadEnd<'_> {
    /// Reads some bytes; none at the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(from) => Pin::new(from).poll_read(context, space),
            Self::Tls(tls) => tls.poll_read(context, space),
        }
    }

    /// Resolves when there may be something to read.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(from) => from.as_ref().poll_read_ready(context),
            Self::Tls(tls) => tls.poll_ready(context),
        }
    }

    /// Whether the next bytes are there, or the end; takes none of them. 0 is the end.
    pub(crate) fn poll_peek(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(from) => from.poll_peek(context, &mut ReadBuf::new(&mut [0])),
            Self::Tls(tls) => tls.poll_peek(context),
        }
    }

    /// The socket, if bytes pass as they are.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(from) => Some(from.as_ref()),
            Self::Tls(_) => None,
        }
    }
}

impl WriteEnd<'_> {
    /// Writes some of several pieces.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self, parts) {
            (Self::Plain(to), [only]) => Pin::new(to).poll_write(context, only),
            (Self::Plain(to), parts) => Pin::new(to).poll_write_vectored(context, parts),
            (Self::Tls(tls), parts) => tls.poll_write(context, parts),
        }
    }

    /// Resolves when everything written has gone to the socket; `moved` counts the bytes that went.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        moved: &mut usize,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_flush(context, moved),
        }
    }

    /// Whether so much is written that it should be flushed before more.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.is_full())
    }

    /// Says that nothing more comes.
    pub(crate) fn end(&self) -> io::Result<()> {
        match self {
            Self::Plain(to) => Ok(rustix::net::shutdown(to.as_ref(), rustix::net::Shutdown::Write)?),
            Self::Tls(tls) => tls.end(),
        }
    }

    /// The socket, if bytes pass as they are.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(to) => Some(to.as_ref()),
            Self::Tls(_) => None,
        }
    }
}

/// For engines that bring their own reading and writing (HTTP/2).
impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, space),
            Self::Tls(tls) => tls.poll_read(context, space),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(tls) => tls.poll_write(context, &[IoSlice::new(bytes)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(tls) => tls.poll_write(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(tls) => tls.poll_flush(context, &mut 0),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(tls) => {
                std::task::ready!(tls.poll_flush(context, &mut 0))?;
                Poll::Ready(tls.end())
            }
        }
    }
}
