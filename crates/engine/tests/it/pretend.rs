//! Things that pretend: a Docker of another version, a registry that refuses, and a wire to Docker that can be cut.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Answers every request at a Unix socket with one JSON text.
pub(crate) fn pretend_docker(path: &Path, body: &'static str) {
    let listener = UnixListener::bind(path).expect("a free path");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, "200 OK", "", body).await;
        }
    });
}

/// A registry on this machine that answers everything but its ping with one status; its port.
pub(crate) async fn pretend_registry(status: &'static str, headers: &'static str, body: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let path = read_head(&mut stream).await;
            let is_ping = path == "/v2/";
            if is_ping {
                write_answer(&mut stream, "200 OK", "", "{}").await;
            } else {
                write_answer(&mut stream, status, headers, body).await;
            }
        }
    });
    port
}

/// Heads of requests that somebody kept.
pub(crate) type Heads = Arc<std::sync::Mutex<Vec<String>>>;

/// A registry on this machine that wants a user and a password, is content with none, and keeps every head it reads; its port.
pub(crate) async fn recording_registry() -> (u16, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let heads = Heads::default();
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = read_whole_head(&mut stream).await;
            if head.contains(" HTTP/1.") {
                kept.lock().expect("not poisoned").push(head);
            }
            let challenge = "WWW-Authenticate: Basic realm=\"test\"\r\n";
            let body = "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"m\"}]}";
            write_answer(&mut stream, "401 Unauthorized", challenge, body).await;
        }
    });
    (port, heads)
}

/// A Docker that answers nothing of use and keeps every head it reads.
pub(crate) fn recording_docker(path: &Path) -> Heads {
    let listener = UnixListener::bind(path).expect("a free path");
    let heads = Heads::default();
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = read_whole_head(&mut stream).await;
            kept.lock().expect("not poisoned").push(head);
            write_answer(&mut stream, "500 Internal Server Error", "", "{\"message\":\"m\"}").await;
        }
    });
    heads
}

async fn answer(mut stream: UnixStream, status: &str, headers: &str, body: &str) {
    read_head(&mut stream).await;
    write_answer(&mut stream, status, headers, body).await;
}

async fn write_answer<S: AsyncWriteExt + Unpin>(stream: &mut S, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    // The other side may hang up when it has read enough.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Path of a request.
async fn read_head<S: AsyncReadExt + Unpin>(stream: &mut S) -> String {
    let head = read_whole_head(stream).await;
    head.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

async fn read_whole_head<S: AsyncReadExt + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            // Docker tries TLS first; hanging up makes it go on without.
            Ok(_) if piece[0] == 0x16 => break,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A socket in front of another; [`Wire::cut`] closes all connections and the socket.
pub(crate) struct Wire {
    path: PathBuf,
    target: PathBuf,
    connections: Arc<std::sync::Mutex<JoinSet<()>>>,
}

impl Wire {
    pub(crate) fn new(path: PathBuf, target: PathBuf) -> Self {
        let wire = Self { path, target, connections: Arc::default() };
        wire.mend();
        wire
    }

    pub(crate) fn mend(&self) {
        let listener = UnixListener::bind(&self.path).expect("a free path");
        let (connections, target) = (Arc::clone(&self.connections), self.target.clone());
        let accept = async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = target.clone();
                connections.lock().expect("not poisoned").spawn(async move {
                    if let Ok(mut far) = UnixStream::connect(&target).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        };
        self.connections.lock().expect("not poisoned").spawn(accept);
    }

    pub(crate) fn cut(&self) {
        self.connections.lock().expect("not poisoned").abort_all();
        std::fs::remove_file(&self.path).expect("it is there");
    }
}
