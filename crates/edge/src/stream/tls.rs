//! Bytes of one TLS connection after its handshake, with a client or an application: rustls does the records, this file
//! moves them between the socket and callers in pieces as large as they come. A resting connection holds no buffer of
//! ours. It makes no handshake (`tls::handshake`, `tls::upstream`). Tests: `tests/it/tls.rs`, `tests/it/tls_upstream.rs`.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::syscall;
use crate::tls::upstream::Trust;

/// Encrypted bytes that wait before more is taken: large bodies then go out in writes of this size.
const FLUSH_AT: usize = 128 * 1024;
/// Most encrypted bytes rustls may hold: what is taken at once, with the overhead of its records.
const MOST_HELD: usize = FLUSH_AT + 64 * 1024;
/// rustls reads at most this much at once; smaller rooms are filled through it, larger ones by reads of their size.
const PIECE: usize = 4096;

/// A connection after its handshake. Both directions borrow it in turn, never across a wait.
#[derive(Debug)]
pub(crate) struct Tls {
    inner: RefCell<Inner>,
    /// The name the client asked for, lower case.
    pub(crate) name: Option<Box<str>>,
    /// How the application has proved who it is.
    pub(crate) trust: Option<Arc<Trust>>,
}

#[derive(Debug)]
struct Inner {
    socket: TcpStream,
    session: Connection,
    /// Decrypted bytes nobody has taken yet.
    readable: usize,
    /// Encrypted bytes that have not gone out.
    held: usize,
    is_ended: bool,
}

impl Tls {
    /// Takes over after the handshake.
    pub(crate) fn new(socket: TcpStream, mut session: Connection, name: Option<Box<str>>) -> Self {
        session.set_buffer_limit(Some(MOST_HELD));
        // What came behind the last message of the handshake is decrypted already.
        let readable = session.process_new_packets().map_or(0, |state| state.plaintext_bytes_to_read());
        let inner = Inner { socket, session, readable, held: 0, is_ended: false };
        Self { inner: RefCell::new(inner), name, trust: None }
    }

    /// The handshake agreed on HTTP/2.
    pub(crate) fn speaks_h2(&self) -> bool {
        self.inner.borrow().session.alpn_protocol() == Some(b"h2")
    }

    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = self.inner.borrow();
        match inner.readable {
            0 if !inner.is_ended => inner.socket.poll_read_ready(context),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Whether nothing has come for a caller, nor the end. Tickets and the like, which belong to the connection itself,
    /// are taken in. As of plain sockets, the kernel itself is asked if `must_ask`.
    pub(crate) fn is_silent(&self, must_ask: bool) -> bool {
        let inner = &mut *self.inner.borrow_mut();
        let mut context = Context::from_waker(Waker::noop());
        let has_nothing = loop {
            if inner.readable > 0 || inner.is_ended {
                break false;
            }
            match inner.poll_piece(&mut context) {
                Poll::Pending => break true,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => break false,
            }
        };
        has_nothing && (!must_ask || syscall::is_silent(&inner.socket))
    }

    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = &mut *self.inner.borrow_mut();
        loop {
            if inner.take_plain(space)? || inner.is_ended {
                return Poll::Ready(Ok(()));
            }
            ready!(inner.poll_fill(context, space))?;
            if !space.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Whether decrypted bytes are there, or the end (0).
    pub(crate) fn poll_peek(&self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let inner = &mut *self.inner.borrow_mut();
        loop {
            if inner.readable > 0 || inner.is_ended {
                return Poll::Ready(Ok(inner.readable));
            }
            ready!(inner.poll_piece(context))?;
        }
    }

    /// Takes plain bytes; encrypts them, and sends when there are many.
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.inner.borrow_mut();
        if inner.held >= FLUSH_AT {
            ready!(inner.poll_send(context, &mut 0))?;
        }
        let count = inner.session.writer().write_vectored(parts)?;
        // Close enough: records add a few bytes, and what matters is when to send.
        inner.held += count;
        Poll::Ready(Ok(count))
    }

    /// Sends everything that is encrypted. `moved` counts what the socket took, also when there is more to come.
    pub(crate) fn poll_flush(&self, context: &mut Context<'_>, moved: &mut usize) -> Poll<io::Result<()>> {
        self.inner.borrow_mut().poll_send(context, moved)
    }

    /// Whether so much is encrypted that it should go out.
    pub(crate) fn is_full(&self) -> bool {
        self.inner.borrow().held >= FLUSH_AT
    }

    /// Says `close_notify`, as far as the socket takes it at once, and ends the way out.
    pub(crate) fn end(&self) -> io::Result<()> {
        let inner = &mut *self.inner.borrow_mut();
        inner.session.send_close_notify();
        inner.send_now();
        Ok(rustix::net::shutdown(&inner.socket, rustix::net::Shutdown::Write)?)
    }

    pub(crate) fn reset_on_close(&self) -> io::Result<()> {
        self.inner.borrow().socket.set_zero_linger()
    }
}

/// For whoever brings its own reading and writing (probes).
impl AsyncRead for Tls {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Tls::poll_read(&self, context, space)
    }
}

impl AsyncWrite for Tls {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Tls::poll_write(&self, context, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Tls::poll_flush(&self, context, &mut 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Tls::poll_flush(&self, context, &mut 0))?;
        Poll::Ready(self.end())
    }
}

impl Inner {
    /// Moves decrypted bytes to the caller; true if there were some.
    fn take_plain(&mut self, space: &mut ReadBuf<'_>) -> io::Result<bool> {
        let mut has_some = false;
        while self.readable > 0 && space.remaining() > 0 {
            let count = self.session.reader().read(space.initialize_unfilled())?;
            space.advance(count);
            self.readable = self.readable.saturating_sub(count);
            has_some = true;
        }
        Ok(has_some || space.remaining() == 0)
    }

    /// Reads from the socket until it has nothing more or the caller's room is used. Large rooms take the encrypted
    /// bytes themselves: rustls copies each piece out of the room before the decrypted bytes of that piece come back
    /// to its front, and those are never more than what was copied out.
    fn poll_fill(&mut self, context: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if space.remaining() < PIECE {
            return self.poll_piece(context);
        }
        let room = space.initialize_unfilled();
        let mut raw = ReadBuf::new(room);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut raw))?;
        let arrived = raw.filled().len();
        if arrived == 0 {
            return Poll::Ready(self.ended());
        }
        let (mut given, mut taken) = (0, 0);
        while given < arrived {
            given += self.session.read_tls(&mut &room[given..arrived])?;
            self.process(context)?;
            while self.readable > 0 && taken < given {
                let count = self.session.reader().read(&mut room[taken..given])?;
                taken += count;
                self.readable = self.readable.saturating_sub(count);
            }
        }
        space.advance(taken);
        Poll::Ready(Ok(()))
    }

    /// Reads one piece into rustls.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = SocketIo { socket: &mut self.socket, context };
        match self.session.read_tls(&mut socket) {
            Ok(0) => Poll::Ready(self.ended()),
            Ok(_) => Poll::Ready(self.process(context)),
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(problem) => Poll::Ready(Err(problem)),
        }
    }

    /// The other side closed the socket. Without `close_notify` the end may be an attacker's, which length and chunks
    /// of HTTP/1 and frames of HTTP/2 show where it matters.
    fn ended(&mut self) -> io::Result<()> {
        self.is_ended = true;
        Ok(())
    }

    fn process(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.session.process_new_packets() {
            Ok(state) => {
                self.readable = state.plaintext_bytes_to_read();
                self.is_ended |= state.peer_has_closed();
                Ok(())
            }
            Err(problem) => {
                // The alert that says why, as far as it goes out at once.
                let _ = self.poll_send(context, &mut 0);
                Err(io::Error::new(io::ErrorKind::InvalidData, problem))
            }
        }
    }

    /// Sends everything that is encrypted. `moved` counts what the socket took, also when there is more to come.
    fn poll_send(&mut self, context: &mut Context<'_>, moved: &mut usize) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut socket = SocketIo { socket: &mut self.socket, context };
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    *moved += count;
                    self.held = self.held.saturating_sub(count);
                }
                Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(problem) => return Poll::Ready(Err(problem)),
            }
        }
        self.held = 0;
        Poll::Ready(Ok(()))
    }

    /// Sends what the socket takes at once; nothing is written after it.
    fn send_now(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.poll_send(&mut context, &mut 0);
    }
}

/// The socket as rustls wants it: it says `WouldBlock` where the task will be woken.
pub(crate) struct SocketIo<'s, 'c, 'w> {
    pub(crate) socket: &'s mut TcpStream,
    pub(crate) context: &'c mut Context<'w>,
}

fn now_or_blocked<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl io::Read for SocketIo<'_, '_, '_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut space = ReadBuf::new(room);
        now_or_blocked(Pin::new(&mut *self.socket).poll_read(self.context, &mut space))?;
        Ok(space.filled().len())
    }
}

impl io::Write for SocketIo<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now_or_blocked(Pin::new(&mut *self.socket).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        now_or_blocked(Pin::new(&mut *self.socket).poll_write_vectored(self.context, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
