//! One connection as the data path sees it: plain TCP, TLS over it, or one stream of HTTP/2. The enum is matched where bytes move, so plain
//! connections keep what only sockets can do (`sendfile`, `splice`, peeking) and cost nothing more. It knows nothing
//! of HTTP, and nothing of handshakes (`tls`). Tests: `tests/it/tls.rs`.

mod tls;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use http::HeaderMap;

use crate::h2::{H2Stream, Upward};
use crate::syscall;
use crate::tls::upstream::Trust;
pub(crate) use tls::{SocketIo, Tls};

/// A client's connection, or one to an application.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Without encryption.
    Plain(TcpStream),
    /// After a handshake; boxed, because resting plain connections should not pay for it.
    Tls(Box<Tls>),
    /// One request of a client and its answer; reads and writes like a connection.
    H2(Box<H2Stream>),
}

/// The side of a connection that bytes come from.
#[derive(Debug)]
pub(crate) enum ReadEnd<'s> {
    Plain(ReadHalf<'s>),
    Tls(&'s Tls),
    H2(&'s H2Stream),
    Up(&'s Upward),
}

/// The side of a connection that bytes go to.
#[derive(Debug)]
pub(crate) enum WriteEnd<'s> {
    Plain(WriteHalf<'s>),
    Tls(&'s Tls),
    H2(&'s H2Stream),
    Up(&'s Upward),
}

/// What leads to an application for one request.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A connection of HTTP/1.1.
    Own(Stream),
    /// A place on a connection of HTTP/2.
    H2(Box<Upward>),
}

impl Outgoing {
    /// Both sides.
    pub(crate) fn split(&mut self) -> (ReadEnd<'_>, WriteEnd<'_>) {
        match self {
            Self::Own(stream) => stream.split(),
            Self::H2(upward) => (ReadEnd::Up(upward), WriteEnd::Up(upward)),
        }
    }
}

impl Stream {
    /// Both sides.
    pub(crate) fn split(&mut self) -> (ReadEnd<'_>, WriteEnd<'_>) {
        match self {
            Self::Plain(stream) => {
                let (from, to) = stream.split();
                (ReadEnd::Plain(from), WriteEnd::Plain(to))
            }
            Self::Tls(tls) => (ReadEnd::Tls(tls), WriteEnd::Tls(tls)),
            Self::H2(stream) => (ReadEnd::H2(stream), WriteEnd::H2(stream)),
        }
    }

    /// The name the client asked for in its handshake; none for plain connections.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.name.as_deref(),
            Self::H2(stream) => stream.name(),
        }
    }

    /// How the application has proved who it is; none for plain connections.
    pub(crate) fn trust(&self) -> Option<&Arc<Trust>> {
        match self {
            Self::Tls(tls) => tls.trust.as_ref(),
            Self::Plain(_) | Self::H2(_) => None,
        }
    }

    /// Whether nothing has come while it rested, not even the end, as far as the runtime knows: it asks the kernel only
    /// when it was told of news. With `must_ask` the kernel itself is asked.
    pub(crate) fn is_silent(&self, must_ask: bool) -> bool {
        match self {
            Self::Plain(stream) => {
                let read = stream.try_read(&mut [0; 1]);
                matches!(read, Err(problem) if problem.kind() == io::ErrorKind::WouldBlock)
                    && (!must_ask || syscall::is_silent(stream))
            }
            Self::Tls(tls) => tls.is_silent(must_ask),
            Self::H2(_) => false,
        }
    }

    /// The handshake agreed on HTTP/2.
    pub(crate) fn speaks_h2(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.speaks_h2())
    }

    /// It is a stream of HTTP/2: bodies end with it whatever their framing, and it takes one request.
    pub(crate) fn is_h2(&self) -> bool {
        matches!(self, Self::H2(_))
    }

    /// The client has given it up before its answer was complete; only streams know.
    pub(crate) fn is_given_up(&self, context: &mut Context<'_>) -> bool {
        matches!(self, Self::H2(stream) if stream.poll_gone(context).is_ready())
    }

    /// Resolves when there may be something to read; holds no memory for it.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_read_ready(context),
            Self::Tls(tls) => tls.poll_ready(context),
            Self::H2(stream) => stream.poll_ready(context),
        }
    }

    /// Says that nothing more comes; what the other side still sends can be read. Takes what the socket takes at
    /// once: whoever does not read has no use for a farewell.
    pub(crate) fn end(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => Ok(rustix::net::shutdown(stream, rustix::net::Shutdown::Write)?),
            Self::Tls(tls) => tls.end(),
            Self::H2(stream) => {
                stream.finish();
                Ok(())
            }
        }
    }

    /// Before an orderly close: the other side of TLS must be able to tell it from an attacker's.
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
            Self::H2(stream) => {
                stream.cut();
                Ok(())
            }
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
            Self::H2(stream) => stream.poll_read(context, space),
            Self::Up(upward) => upward.poll_read(context, space),
        }
    }

    /// Resolves when there may be something to read.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(from) => from.as_ref().poll_read_ready(context),
            Self::Tls(tls) => tls.poll_ready(context),
            Self::H2(stream) => stream.poll_ready(context),
            Self::Up(upward) => upward.poll_ready(context),
        }
    }

    /// As `poll_ready`, but what belongs to a connection of TLS itself, such as tickets, does not count.
    pub(crate) fn poll_answer(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(tls) => tls.poll_peek(context).map_ok(|_| ()),
            end => end.poll_ready(context),
        }
    }

    /// Whether the next bytes are there, or the end; takes none of them. 0 is the end.
    pub(crate) fn poll_peek(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(from) => from.poll_peek(context, &mut ReadBuf::new(&mut [0])),
            Self::Tls(tls) => tls.poll_peek(context),
            Self::H2(stream) => stream.poll_gone(context).map(|()| Ok(0)),
            // Only clients are looked at like this.
            Self::Up(_) => Poll::Pending,
        }
    }

    /// The socket, if bytes pass as they are.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(from) => Some(from.as_ref()),
            Self::Tls(_) | Self::H2(_) | Self::Up(_) => None,
        }
    }

    /// Trailers, once everything before them was read; only HTTP/2 keeps them.
    pub(crate) fn take_trailers(&self) -> Option<HeaderMap> {
        match self {
            Self::Plain(_) | Self::Tls(_) => None,
            Self::H2(stream) => stream.take_trailers(),
            Self::Up(upward) => upward.take_trailers(),
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
            (Self::H2(stream), parts) => stream.poll_write(context, parts),
            (Self::Up(upward), parts) => upward.poll_write(context, parts),
        }
    }

    /// Resolves when everything written has gone to the socket; `moved` counts the bytes that went.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        moved: &mut usize,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::H2(_) | Self::Up(_) => Poll::Ready(Ok(())),
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
            Self::H2(stream) => {
                stream.finish();
                Ok(())
            }
            Self::Up(upward) => {
                upward.finish(None);
                Ok(())
            }
        }
    }

    /// Says that the body of a request is complete where its framing does not say so, with what came behind it.
    pub(crate) fn finish_request(&self, trailers: Option<HeaderMap>) {
        if let Self::Up(upward) = self {
            upward.finish(trailers);
        }
    }

    /// Keeps what goes behind the body of an answer, where the client takes such things.
    pub(crate) fn keep_trailers(&self, trailers: Option<HeaderMap>) {
        if let (Self::H2(stream), Some(trailers)) = (self, trailers) {
            stream.keep_trailers(trailers);
        }
    }

    /// The socket, if bytes pass as they are.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(to) => Some(to.as_ref()),
            Self::Tls(_) | Self::H2(_) | Self::Up(_) => None,
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
            Self::H2(stream) => stream.poll_read(context, space),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(tls) => tls.poll_write(context, &[IoSlice::new(bytes)]),
            Self::H2(stream) => stream.poll_write(context, &[IoSlice::new(bytes)]),
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
            Self::H2(stream) => stream.poll_write(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(tls) => tls.poll_flush(context, &mut 0),
            Self::H2(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(tls) => {
                std::task::ready!(tls.poll_flush(context, &mut 0))?;
                Poll::Ready(tls.end())
            }
            Self::H2(stream) => {
                stream.finish();
                Poll::Ready(Ok(()))
            }
        }
    }
}
