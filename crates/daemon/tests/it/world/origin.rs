//! An application inside the test, for an edge without control: it answers by path and counts what it is asked.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::wire::{Wire, length_of};

/// What the edge asks to see whether it is well; not counted.
pub(crate) const HEALTH: &str = "/health";
/// Answered after a moment.
pub(crate) const SLOW: &str = "/slow";
/// Answered for as long as somebody reads.
pub(crate) const ENDLESS: &str = "/endless";
/// Answered with the number of bytes that came.
pub(crate) const COUNT: &str = "/count";

/// The application. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// How often each target was asked for.
    asked: Mutex<BTreeMap<String, usize>>,
    /// Endless answers under way.
    endless: AtomicUsize,
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound socket");
        let seen: Arc<Seen> = Arc::default();
        let server = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut connections = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.expect("it listens");
                    let seen = Arc::clone(&seen);
                    connections.spawn(async move {
                        // The edge leaves when it likes.
                        let _ = serve(stream, &seen).await;
                    });
                    while connections.try_join_next().is_some() {}
                }
            }
        });
        Self { address, seen, server }
    }

    /// How often each target was asked for.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        self.seen.asked.lock().expect("no holder panics").clone()
    }

    /// Endless answers under way.
    pub(crate) fn endless(&self) -> usize {
        self.seen.endless.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(stream: TcpStream, seen: &Seen) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wire = Wire::over(stream);
    while let Some(head) = wire.through("\r\n\r\n").await? {
        let target = head.split(' ').nth(1).unwrap_or_default();
        if target != HEALTH {
            *seen.asked.lock().expect("no holder panics").entry(target.to_owned()).or_default() += 1;
        }
        let body = match target.split('?').next().unwrap_or_default() {
            ENDLESS => return endless(&mut wire, seen).await,
            COUNT => match length_of(&head) {
                Some(length) => {
                    wire.skip(length).await?;
                    length.to_string()
                }
                None => chunks(&mut wire).await?.to_string(),
            },
            SLOW => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                "ok".to_owned()
            }
            _ => "ok".to_owned(),
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        wire.send(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Chunks until the edge has gone.
async fn endless(wire: &mut Wire, seen: &Seen) -> io::Result<()> {
    const PIECE: usize = 64 * 1024;
    let piece = [format!("{PIECE:x}\r\n").into_bytes(), vec![b'x'; PIECE], b"\r\n".to_vec()].concat();
    wire.narrow()?;
    seen.endless.fetch_add(1, Ordering::SeqCst);
    let begun = wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let ended = loop {
        if let Err(problem) = wire.send(&piece).await {
            break problem;
        }
    };
    seen.endless.fetch_sub(1, Ordering::SeqCst);
    begun.and(Err(ended))
}

/// Reads chunks to the last one: bytes of data in them.
async fn chunks(wire: &mut Wire) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let line = wire.through("\r\n").await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = u64::from_str_radix(line.trim_end(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        // The end of a line stands behind each, the last included.
        wire.skip(size + 2).await?;
        if size == 0 {
            return Ok(total);
        }
        total += size;
    }
}
