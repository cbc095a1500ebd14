//! Tunnels: holds one open for its session, and carries the bytes of each connection between its session and the server of the database. The
//! server listens on the private network of its environment only, which this machine is on; no port is published for it. Who may connect, to
//! what and until when, is `havre_reconcile::tunnel`'s. Tests at the end of the file; from end to end: `tests/it/tunnel.rs`.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use havre_api::tunnel::{TunnelGrant, TunnelRequest};
use havre_core::event::Actor;
use havre_core::id::{DatabaseId, TunnelId};
use havre_core::quantity::Span;
use havre_decide::tunnel::{CONNECTIONS_MAX, End, IDLE_MAX, LASTS, LASTS_MAX, role};
use havre_reconcile::tunnel::{self, Held, TunnelError};
use havre_store::StoreError;
use havre_web::task::streams::{ExecInput, ExecOutput, ExecSession, TaskStreamError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

use crate::streams::{EngineStreams, refuse, store_failed};

/// Pieces on their way in each direction: a slow side slows the other, and no more than this is held for it.
const QUEUE: usize = 8;
/// Longest piece of what a server sends.
const PIECE: usize = 32 * 1024;
/// Longest wait for a server on this machine to take a connection.
const DIAL: Duration = Duration::from_secs(5);

/// Opens a tunnel; it lasts for as long as the session does.
pub(crate) async fn open(
    streams: &EngineStreams,
    database: DatabaseId,
    actor: Actor,
    request: TunnelRequest,
) -> Result<ExecSession, TaskStreamError> {
    let lasts = request.hours.map_or(LASTS, |hours| Span::seconds(u64::from(hours.max(1)) * 3600));
    let lasts = lasts.min(LASTS_MAX);
    let held = tunnel::open(&streams.world, database, actor, lasts).await.map_err(refused)?;
    let (input, from_client) = mpsc::channel(1);
    let (to_client, output) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        // Kept open: there is nothing to say to a tunnel, and its end is that of the session.
        let _from_client = from_client;
        hold(held, &to_client).await;
    });
    Ok(ExecSession { task: None, input, output })
}

async fn hold(held: Held, to_client: &mpsc::Sender<ExecOutput>) {
    let Some(line) = grant(&held) else { return };
    if to_client.send(ExecOutput::Stdout(line)).await.is_err() {
        return;
    }
    let why = tokio::select! {
        why = held.ended() => why,
        () = to_client.closed() => return,
    };
    // Whether the client still hears it changes nothing.
    let _ = to_client.send(ExecOutput::Stderr(Bytes::from(format!("the tunnel ends: {why}\n")))).await;
    let _ = to_client.send(ExecOutput::Exit(0)).await;
}

fn grant(held: &Held) -> Option<Bytes> {
    let grant = TunnelGrant {
        id: held.tunnel.id,
        database: held.database.spec.name.clone(),
        engine: held.database.spec.engine,
        role: role(held.tunnel.id),
        password: held.password.expose_text()?.to_owned(),
        until: held.tunnel.until,
        connections_max: u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX),
    };
    let mut line = serde_json::to_vec(&grant).expect("wire types are always JSON");
    line.push(b'\n');
    Some(Bytes::from(line))
}

/// One connection through a tunnel.
pub(crate) async fn connect(
    streams: &EngineStreams,
    id: TunnelId,
    actor: Actor,
) -> Result<ExecSession, TaskStreamError> {
    let world = streams.world.clone();
    let way = tunnel::connect(&world, id, &actor).await.map_err(refused)?;
    let away = |why: String| TaskStreamError::NotRunning(format!("could not reach the server: {why}"));
    let stream = match tokio::time::timeout(DIAL, TcpStream::connect(way.address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(away(error.to_string())),
        Err(_) => return Err(away(format!("it took no connection within {} s", DIAL.as_secs()))),
    };
    // Between the question and the answer the address may have become another one's.
    if !tunnel::is_there(&world, &way).await.map_err(refused)? {
        return Err(away("it was stopped meanwhile".to_owned()));
    }
    // A connection that is a little slower is one all the same.
    let _ = stream.set_nodelay(true);
    // `way` lives in the future, and so for as long as the connection does.
    Ok(carry(stream, async move { way.ended().await }, IDLE_MAX.duration()))
}

/// Carries bytes both ways until either side ends, the tunnel does, or nothing has moved for too long.
fn carry(
    stream: TcpStream,
    ended: impl Future<Output = End> + Send + 'static,
    idle_max: Duration,
) -> ExecSession {
    let (input, from_client) = mpsc::channel(QUEUE);
    let (to_client, output) = mpsc::channel(QUEUE);
    let (read, write) = stream.into_split();
    tokio::spawn(async move {
        let moved = Notify::new();
        tokio::select! {
            _why = ended => {}
            () = to_client.closed() => return,
            () = idle(&moved, idle_max) => {}
            () = down(read, &to_client, &moved) => {}
            never = up(from_client, write, &moved) => match never {},
        }
        // Whether the client still hears it changes nothing.
        let _ = to_client.send(ExecOutput::Exit(0)).await;
    });
    ExecSession { task: None, input, output }
}

/// Returns once nothing has moved for so long.
async fn idle(moved: &Notify, idle_max: Duration) {
    while tokio::time::timeout(idle_max, moved.notified()).await.is_ok() {}
}

/// From the server to the client, until the server ends or the client is gone.
async fn down(mut read: OwnedReadHalf, to_client: &mpsc::Sender<ExecOutput>, moved: &Notify) {
    let mut piece = vec![0; PIECE];
    loop {
        let count = match read.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        moved.notify_one();
        let bytes = Bytes::copy_from_slice(&piece[..count]);
        if to_client.send(ExecOutput::Stdout(bytes)).await.is_err() {
            return;
        }
    }
}

/// From the client to the server. Never ends: how a connection ends is the server's to say, also when this half is closed.
async fn up(
    mut from_client: mpsc::Receiver<ExecInput>,
    mut write: OwnedWriteHalf,
    moved: &Notify,
) -> Infallible {
    while let Some(input) = from_client.recv().await {
        let written = match input {
            ExecInput::Stdin(bytes) => write.write_all(&bytes).await,
            ExecInput::End => write.shutdown().await,
            ExecInput::Resize(_) => Ok(()),
        };
        if written.is_err() {
            break;
        }
        moved.notify_one();
    }
    std::future::pending().await
}

fn refused(error: TunnelError) -> TaskStreamError {
    let text = error.to_string();
    match error {
        TunnelError::Unknown(_) => TaskStreamError::NotFound(text),
        TunnelError::NotReady(_) | TunnelError::TooMany => TaskStreamError::NotRunning(text),
        TunnelError::Engine(error) => refuse(error),
        TunnelError::Store(
            error @ (StoreError::TooManyTunnels { .. }
            | StoreError::SwapRunning { .. }
            | StoreError::BeingDestroyed { .. }),
        ) => TaskStreamError::NotRunning(error.to_string()),
        TunnelError::Store(error) => store_failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    const LONG: Duration = Duration::from_secs(600);

    /// A session, what ends its tunnel, and the server's side of the connection.
    async fn connected(idle_max: Duration) -> (ExecSession, oneshot::Sender<End>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream =
            TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it listens");
        let (server, _) = listener.accept().await.expect("a connection");
        let (end, ended) = oneshot::channel();
        let ended = async move { ended.await.unwrap_or(End::Left) };
        (carry(stream, ended, idle_max), end, server)
    }

    #[tokio::test]
    async fn bytes_go_both_ways_until_the_server_ends() {
        let (mut session, _end, mut server) = connected(LONG).await;
        session.input.send(ExecInput::Stdin(Bytes::from_static(b"hello"))).await.expect("it reads");
        session.input.send(ExecInput::End).await.expect("it reads");
        let mut said = Vec::new();
        server.read_to_end(&mut said).await.expect("the end comes through");
        assert_eq!(said, b"hello");
        server.write_all(b"bye").await.expect("it is read");
        drop(server);
        assert_eq!(session.output.recv().await, Some(ExecOutput::Stdout(Bytes::from_static(b"bye"))));
        assert_eq!(session.output.recv().await, Some(ExecOutput::Exit(0)));
    }

    #[tokio::test]
    async fn the_end_of_the_tunnel_is_that_of_its_connections() {
        let (mut session, end, mut server) = connected(LONG).await;
        end.send(End::Expired).expect("somebody waits");
        assert_eq!(session.output.recv().await, Some(ExecOutput::Exit(0)));
        assert_eq!(server.read(&mut [0; 1]).await.expect("it is closed"), 0);
    }

    #[tokio::test]
    async fn one_in_which_nothing_moves_is_given_up() {
        let (mut session, _end, _server) = connected(Duration::from_millis(50)).await;
        assert_eq!(session.output.recv().await, Some(ExecOutput::Exit(0)));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_stops_the_server() {
        let (session, _end, server) = connected(LONG).await;
        // Far more than the pieces and the buffers of the kernel hold.
        let mut server = server;
        let write = async {
            let piece = vec![7; PIECE];
            for _ in 0..4096 {
                server.write_all(&piece).await.expect("it is read");
            }
        };
        let all = tokio::time::timeout(Duration::from_millis(500), write).await;
        assert!(all.is_err(), "128 MB were held for somebody who reads nothing");
        drop(session);
    }

    #[tokio::test]
    async fn a_client_that_goes_closes_the_connection() {
        let (session, _end, mut server) = connected(LONG).await;
        drop(session);
        let gone = tokio::time::timeout(Duration::from_secs(20), server.read(&mut [0; 1])).await;
        assert!(matches!(gone.expect("it is closed"), Ok(0) | Err(_)));
    }
}
