//! One TLS handshake: read the client's first message, choose what to present, finish under a deadline. Certificates
//! that are not in memory are loaded on another thread. It carries no requests. Tests: `tests/it/tls.rs`.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::server::{Accepted, Acceptor, ClientHello};
use rustls::{Connection, HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;

use super::settings::ACME_PROTOCOL;
use crate::proxy::{Lane, Pace, Watch, Wire};
use crate::stream::{SocketIo, Tls};
use crate::worker::Worker;

/// A fatal alert `unrecognized_name` (RFC 6066, 3), unencrypted as it must be at that moment.
const UNKNOWN_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The deadline of what comes before requests; forgotten when dropped.
pub(crate) struct Deadline<'w> {
    worker: &'w Worker,
    ticket: usize,
    watch: Rc<Watch>,
}

impl<'w> Deadline<'w> {
    pub(crate) async fn new(worker: &'w Worker) -> Self {
        let (ticket, watch) = worker.watches.join();
        let deadline = Self { worker, ticket, watch };
        poll_fn(|context| {
            deadline.watch.belongs_to(context.waker());
            Poll::Ready(())
        })
        .await;
        deadline
    }

    pub(crate) fn wire(&self) -> Wire<'_> {
        Wire { clock: &self.worker.clock, watch: &self.watch, lane: Lane::Inward }
    }
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        self.worker.watches.leave(self.ticket);
    }
}

/// What the client asked for.
struct Asked {
    name: Option<Box<str>>,
    is_challenge: bool,
}

impl Asked {
    fn of(hello: &ClientHello<'_>) -> Self {
        let name = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase().into());
        let is_challenge = hello.alpn().is_some_and(|mut offered| offered.any(|one| one == ACME_PROTOCOL));
        Self { name, is_challenge }
    }
}

/// Makes the handshake; none when there is nothing to serve.
pub(crate) async fn shake_hands(worker: &Worker, mut socket: TcpStream) -> Option<Tls> {
    let deadline = Deadline::new(worker).await;
    let mut pace = Pace::within(worker.shared.limits.handshake_timeout.duration());
    let metrics = &worker.shared.metrics;
    let outcome = async {
        let accepted = hear(&deadline, &mut pace, &mut socket).await?;
        let asked = Asked::of(&accepted.client_hello());
        let Some(config) = choose(worker, &asked).await else {
            // As far as the socket takes it; a client that knows its name is worth no more.
            let _ = socket.try_write(&UNKNOWN_NAME);
            return Err(io::ErrorKind::NotFound.into());
        };
        let session = finish(&deadline, &mut pace, &mut socket, (accepted, config)).await?;
        Ok::<_, io::Error>((session, asked))
    };
    let (session, asked) = match outcome.await {
        Ok(done) => done,
        Err(_) => {
            metrics.handshakes_failed.up();
            return None;
        }
    };
    metrics.handshakes.up();
    if session.handshake_kind() == Some(HandshakeKind::Resumed) {
        metrics.handshakes_resumed.up();
    }
    let tls = Tls::new(socket, session, asked.name);
    if asked.is_challenge {
        // RFC 8737, 3: that is all the authority wants.
        let _ = tls.end();
        return None;
    }
    Some(tls)
}

/// Reads the first message of the client.
async fn hear(deadline: &Deadline<'_>, pace: &mut Pace, socket: &mut TcpStream) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    let hear = |context: &mut Context<'_>, _: &mut Pace| loop {
        let mut io = SocketIo { socket, context };
        match acceptor.read_tls(&mut io) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(problem) => return Poll::Ready(Err(problem)),
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Poll::Ready(Ok(accepted)),
            Ok(None) => {}
            Err((problem, mut alert)) => {
                let _ = alert.write_all(&mut io);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
            }
        }
    };
    deadline.wire().paced(pace, hear).await
}

/// Chooses what to present: the certificate of the name, else an older one while its material is on its way, else the
/// placeholder. None for a name nobody here has: refusing costs less than a signature.
async fn choose(worker: &Worker, asked: &Asked) -> Option<Arc<ServerConfig>> {
    let certificates = &worker.shared.certificates;
    let (wanted, is_known) = {
        let table = worker.shared.table.load();
        match asked.name.as_deref() {
            Some(name) if asked.is_challenge => (Vec::from_iter(table.https.find_challenge(name)), false),
            Some(name) => match table.https.find(name) {
                Some(found) => {
                    (std::iter::once(found.digest).chain(found.older.iter().copied()).collect(), true)
                }
                None => (Vec::new(), table.host(name).is_some()),
            },
            // Old programs, and people who type an address.
            None => (Vec::new(), !asked.is_challenge),
        }
    };
    for digest in wanted {
        let config = match certificates.find(digest) {
            Some(config) => Some(config),
            None => {
                let (shared, is_challenge) = (Arc::clone(&worker.shared), asked.is_challenge);
                let load = move || shared.certificates.load(digest, is_challenge);
                tokio::task::spawn_blocking(load).await.unwrap_or(None)
            }
        };
        if config.is_some() {
            return config;
        }
    }
    if is_known { certificates.placeholder() } else { None }
}

/// Brings the handshake to its end.
async fn finish(
    deadline: &Deadline<'_>,
    pace: &mut Pace,
    socket: &mut TcpStream,
    (accepted, config): (Accepted, Arc<ServerConfig>),
) -> io::Result<Connection> {
    let mut session = match accepted.into_connection(config) {
        Ok(session) => Connection::from(session),
        Err((problem, mut alert)) => {
            let wrote = |context: &mut Context<'_>, _: &mut Pace| {
                Poll::Ready(alert.write_all(&mut SocketIo { socket, context }))
            };
            let _ = deadline.wire().paced(pace, wrote).await;
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
    };
    deadline.wire().paced(pace, |context, _| step(&mut session, &mut SocketIo { socket, context })).await?;
    Ok(session)
}

/// Writes and reads until the handshake is over or must wait, on either side of it.
pub(super) fn step(session: &mut Connection, io: &mut SocketIo<'_, '_, '_>) -> Poll<io::Result<()>> {
    let outcome = (|| {
        loop {
            // In TLS 1.3 only tickets are left then, which go out with the first answer; of a client, the end of its
            // handshake, which goes out with the first request.
            let is_last = session.protocol_version() != Some(ProtocolVersion::TLSv1_3);
            while session.wants_write() && (session.is_handshaking() || is_last) {
                session.write_tls(io)?;
            }
            if !session.is_handshaking() {
                return Ok(());
            }
            if session.read_tls(io)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Err(problem) = session.process_new_packets() {
                // The alert that says why, as far as the socket takes it.
                let _ = session.write_tls(io);
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
        }
    })();
    match outcome {
        Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        outcome => Poll::Ready(outcome),
    }
}
