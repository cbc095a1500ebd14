//! A server of Git LFS as far as Havre knows one: it offers what it keeps by the batch API, and gives it, as well or as badly as a test wants.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use havre_backup::Tally;
use havre_decide::source::lfs::Pointer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What it does wrong.
#[derive(Debug, Clone, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The batch API answers so.
    Batch(String),
    /// Each content is at this address.
    Href(String),
    /// Downloads answer so.
    Download(String),
    /// Downloads begin so, and then nothing comes.
    Hang(String),
    /// One bit of each content is another one.
    Flipped,
    /// Downloads answer with a redirect to this, followed by the name of the content.
    Redirect(String),
}

/// The server.
#[derive(Debug, Clone)]
pub(crate) struct FakeLfs {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    contents: BTreeMap<String, Vec<u8>>,
    requests: Vec<String>,
    fault: Fault,
}

/// What stands in a commit in place of a content.
pub(crate) fn pointer_of(content: &[u8]) -> Pointer {
    let mut tally = Tally::default();
    tally.add(content);
    let oid = tally.content().sha256;
    let text = format!("version https://git-lfs.github.com/spec/v1\noid {oid}\nsize {}\n", content.len());
    Pointer::parse(text.as_bytes()).unwrap()
}

impl FakeLfs {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let shared = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move { shared.serve(stream).await });
            }
        });
        server
    }

    /// Keeps a content; what stands in a commit in its place.
    pub(crate) fn keep(&self, content: &[u8]) -> Pointer {
        let pointer = pointer_of(content);
        let mut state = self.state.lock().unwrap();
        state.contents.insert(pointer.oid().hex().to_owned(), content.to_vec());
        pointer
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    /// The requests since the last time this was asked, with their first lines and names of headers in lower case.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some((head, body)) = read(&mut stream).await else { return };
        let first = head.lines().next().unwrap().to_owned();
        let target = first.split(' ').nth(1).unwrap().to_owned();
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(format!("{head}\r\n\r\n{body}"));
            state.fault.clone()
        };
        let answer = if target.ends_with("/info/lfs/objects/batch") {
            match &fault {
                Fault::Batch(answer) => answer.clone().into_bytes(),
                _ => whole("200 OK", "", self.offer(&fault, &body).to_string().as_bytes()),
            }
        } else {
            self.give(&fault, &target)
        };
        let _ = stream.write_all(&answer).await;
        if matches!(fault, Fault::Hang(_)) && target.starts_with("/store/") {
            std::future::pending::<()>().await;
        }
        let _ = stream.shutdown().await;
    }

    /// What the batch API says.
    fn offer(&self, fault: &Fault, body: &str) -> Value {
        let asked: Value = serde_json::from_str(body).unwrap();
        let state = self.state.lock().unwrap();
        let offers = asked["objects"].as_array().unwrap().iter().map(|object| {
            let oid = object["oid"].as_str().unwrap();
            if !state.contents.contains_key(oid) {
                return json!({ "oid": oid, "error": { "code": 404, "message": "Object does not exist" } });
            }
            let href = match fault {
                Fault::Href(href) => href.clone(),
                _ => format!("http://{}/store/{oid}?signature=planted", self.address),
            };
            let header = json!({ "Authorization": "Bearer planted-bearer" });
            let download = json!({ "href": href, "header": header, "expires_in": 60 });
            json!({ "oid": oid, "size": object["size"], "authenticated": true, "actions": { "download": download } })
        });
        json!({ "transfer": "basic", "objects": offers.collect::<Vec<Value>>() })
    }

    /// A download.
    fn give(&self, fault: &Fault, target: &str) -> Vec<u8> {
        let path = target.split('?').next().unwrap();
        let oid = path.rsplit('/').next().unwrap();
        let kept = self.state.lock().unwrap().contents.get(oid).cloned();
        let is_moved = path.starts_with("/moved/");
        match (fault, kept) {
            (Fault::Download(answer) | Fault::Hang(answer), _) => answer.clone().into_bytes(),
            (Fault::Redirect(to), _) if !is_moved => {
                whole("302 Found", &format!("location: {to}{oid}\r\n"), b"")
            }
            (Fault::Flipped, Some(mut content)) => {
                content[0] ^= 1;
                whole("200 OK", "", &content)
            }
            (_, Some(content)) => whole("200 OK", "", &content),
            (_, None) => whole("404 Not Found", "", b"none"),
        }
    }
}

/// An answer with its length.
fn whole(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Head and body of a request.
async fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let first = lines.next().unwrap().to_owned();
            let lines = lines.map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                format!("{}: {}", name.to_ascii_lowercase(), value.trim())
            });
            let head: Vec<String> = std::iter::once(first).chain(lines).collect();
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some((head.join("\r\n"), body.to_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
