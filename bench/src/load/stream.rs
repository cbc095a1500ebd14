//! The socket of a connection of the load: plain or with TLS on it, in the same non-blocking form. It trusts every
//! certificate: what is measured is ours. No tests of its own: `self_test` runs it plain, `edge` with TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

/// How to speak TLS.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// A socket, plain or not.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Secure(Box<Secure>),
}

#[derive(Debug)]
pub(super) struct Secure {
    session: ClientConnection,
    socket: TcpStream,
}

impl Stream {
    /// Puts TLS on `socket` when `tls` asks for it; nothing is sent yet.
    pub(super) fn new(socket: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        let Some(tls) = tls else { return Ok(Self::Plain(socket)) };
        let session =
            ClientConnection::new(Arc::clone(&tls.config), tls.name.clone()).map_err(io::Error::other)?;
        Ok(Self::Secure(Box::new(Secure { session, socket })))
    }

    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Secure(secure) => &secure.socket,
        }
    }

    /// Whether one read may give less than what has arrived.
    pub(super) fn reads_in_pieces(&self) -> bool {
        matches!(self, Self::Secure(_))
    }

    /// Whether the TLS session continued an earlier one; `None` before the handshake is over and without TLS.
    pub(super) fn is_resumed(&self) -> Option<bool> {
        let Self::Secure(secure) = self else { return None };
        secure.session.handshake_kind().map(|kind| kind == rustls::HandshakeKind::Resumed)
    }

    /// Reads what has arrived; 0 at the end of the stream, with or without TLS's own word for it.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Secure(secure) => {
                match rustls::Stream::new(&mut secure.session, &mut secure.socket).read(into) {
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                    other => other,
                }
            }
        }
    }

    /// Writes some of `bytes`; what TLS keeps back goes out with [`Stream::flush`].
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secure(secure) => rustls::Stream::new(&mut secure.session, &mut secure.socket).write(bytes),
        }
    }

    /// Brings out what TLS has kept back.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Self::Secure(secure) = self else { return Ok(()) };
        while secure.session.wants_write() {
            secure.session.write_tls(&mut secure.socket)?;
        }
        Ok(())
    }
}
