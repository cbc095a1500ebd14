//! A forge as far as Havre knows one: it keeps what it is told of commits, the comments on pull requests and contents of Git LFS, and lets
//! everything else through to where the repository really is.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Where statuses of the repository `git/upstream` go, at a GitHub of one's own.
const STATUSES: &str = "POST /api/v3/repos/git/upstream/statuses/";

/// Where comments on its pull request 7 are listed and made, and where they are changed.
const COMMENTS: &str = "/api/v3/repos/git/upstream/issues/7/comments";
const COMMENT: &str = "PATCH /api/v3/repos/git/upstream/issues/comments/";

/// Where contents of Git LFS are asked for, and where they are.
const BATCH: &str = "POST /git/upstream.git/info/lfs/objects/batch ";
const CONTENTS: &str = "GET /contents/";

/// The forge. Ends when dropped.
pub(crate) struct FakeForge {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    server: JoinHandle<()>,
}

/// What it keeps.
#[derive(Debug, Default)]
struct Kept {
    told: Vec<Told>,
    /// Comments on the pull request; the number of each is its place.
    comments: Vec<String>,
    /// Contents of Git LFS by their SHA-256.
    contents: BTreeMap<String, Vec<u8>>,
    /// Heads of requests for them.
    asked: Vec<String>,
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
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let shared = Arc::clone(&kept);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("it listens");
                let (behind, kept) = (behind.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    // Git leaves when it likes.
                    let _ = serve(stream, &behind, &kept).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, kept, server }
    }

    /// What it was told of a commit, oldest first.
    pub(crate) fn told(&self, commit: &str) -> Vec<Told> {
        let start = format!("{STATUSES}{commit} ");
        let kept = self.kept.lock().expect("no holder panics");
        kept.told.iter().filter(|one| one.head.starts_with(&start)).cloned().collect()
    }

    /// Keeps a content as `git lfs push` would; what stands in a commit in its place.
    pub(crate) fn keep_content(&self, content: &[u8]) -> String {
        let oid = format!("{:x}", Sha256::digest(content));
        let size = content.len();
        self.kept.lock().expect("no holder panics").contents.insert(oid.clone(), content.to_vec());
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
    }

    /// From now on one bit of each content is another one.
    pub(crate) fn damage_contents(&self) {
        for content in self.kept.lock().expect("no holder panics").contents.values_mut() {
            content[0] ^= 1;
        }
    }

    /// Heads of all requests for contents.
    pub(crate) fn asked_for_contents(&self) -> Vec<String> {
        self.kept.lock().expect("no holder panics").asked.clone()
    }

    /// The comments on the pull request.
    pub(crate) fn comments(&self) -> Vec<String> {
        self.kept.lock().expect("no holder panics").comments.clone()
    }
}

impl Drop for FakeForge {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut stream: TcpStream, behind: &str, kept: &Mutex<Kept>) -> io::Result<()> {
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
    let is_ours = head.starts_with(STATUSES)
        || head.starts_with(COMMENT)
        || head.starts_with(BATCH)
        || head.starts_with(CONTENTS)
        || ["GET", "POST"].iter().any(|method| head.starts_with(&format!("{method} {COMMENTS}")));
    if !is_ours {
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
    let body: Value = serde_json::from_slice(&read[end..]).unwrap_or_default();
    let here = stream.local_addr()?;
    let (status, answer) = {
        let kept = &mut kept.lock().expect("no holder panics");
        match find_content(kept, here, &head, &body) {
            Some(found) => ("200 OK", found),
            None => ("201 Created", keep(kept, head, body).to_string().into_bytes()),
        }
    };
    let length = answer.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), &answer].concat()).await
}

/// The answer to a request of Git LFS, if it is one.
fn find_content(kept: &mut Kept, here: SocketAddr, head: &str, body: &Value) -> Option<Vec<u8>> {
    if let Some(rest) = head.strip_prefix(CONTENTS) {
        kept.asked.push(head.to_owned());
        let oid = rest.split(' ').next().unwrap_or_default();
        return Some(kept.contents.get(oid).cloned().unwrap_or_default());
    }
    if !head.starts_with(BATCH) {
        return None;
    }
    kept.asked.push(head.to_owned());
    let offers = body["objects"].as_array()?.iter().map(|object| {
        let href = format!("http://{here}/contents/{}", object["oid"].as_str().unwrap_or_default());
        let action = json!({ "href": href, "header": { "X-For": "this content" } });
        json!({ "oid": object["oid"], "size": object["size"], "authenticated": true, "actions": { "download": action } })
    });
    let objects: Vec<Value> = offers.collect();
    Some(json!({ "transfer": "basic", "objects": objects }).to_string().into_bytes())
}

/// Keeps what it is told; what it answers.
fn keep(kept: &mut Kept, head: String, body: Value) -> Value {
    let text = body["body"].as_str().unwrap_or_default().to_owned();
    if head.starts_with("GET") {
        let list = kept.comments.iter().enumerate();
        return list.map(|(id, text)| json!({ "id": id, "body": text })).collect();
    }
    if head.starts_with(&format!("POST {COMMENTS}")) {
        kept.comments.push(text);
        return json!({ "id": kept.comments.len() - 1 });
    }
    if let Some(rest) = head.strip_prefix(COMMENT) {
        let id: usize = rest.split(' ').next().and_then(|id| id.parse().ok()).expect("a number");
        kept.comments[id] = text;
        return json!({ "id": id });
    }
    kept.told.push(Told { head, body });
    json!({})
}
