//! A forge as far as Havre knows one: it keeps what it is told of commits, and lets everything else through to where the repository
//! really is.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Where statuses of the repository `git/upstream` go, at a GitHub of one's own.
const STATUSES: &str = "POST /api/v3/repos/git/upstream/statuses/";

/// The forge. Ends when dropped.
pub(crate) struct FakeForge {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    server: JoinHandle<()>,
}

/// One status.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// The request's head.
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl FakeForge {
    /// In front of the repository at this address.
    pub(crate) async fn start(behind: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound socket");
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let kept = Arc::clone(&told);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("it listens");
                let (behind, kept) = (behind.clone(), Arc::clone(&kept));
                connections.spawn(async move {
                    // Git leaves when it likes.
                    let _ = serve(stream, &behind, &kept).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, told, server }
    }

    /// What it was told of a commit, oldest first.
    pub(crate) fn told(&self, commit: &str) -> Vec<Told> {
        let start = format!("{STATUSES}{commit} ");
        let told = self.told.lock().expect("no holder panics");
        told.iter().filter(|one| one.head.starts_with(&start)).cloned().collect()
    }
}

impl Drop for FakeForge {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut stream: TcpStream, behind: &str, told: &Mutex<Vec<Told>>) -> io::Result<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    if !head.starts_with(STATUSES) {
        let mut there = TcpStream::connect(behind).await?;
        there.write_all(&read).await?;
        tokio::io::copy_bidirectional(&mut stream, &mut there).await?;
        return Ok(());
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    });
    while read.len() < end + length.unwrap_or(0) {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    let body = serde_json::from_slice(&read[end..]).expect("a status is JSON");
    told.lock().expect("no holder panics").push(Told { head, body });
    stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await
}
