//! A storage that speaks as much of S3 as a repository needs, keeps everything in memory, and fails as it is told to: what a real one does
//! once a year. It checks no signature; `s3_server.rs` has one that does. Threads and blocking sockets, so that it can stop at any byte.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// Objects on one page of a list: few, so that every list has several.
const PAGE: usize = 3;

/// A request, as whoever plans failures sees it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Requests since the plan was made, this one not counted.
    pub(crate) number: usize,
    pub(crate) method: String,
    /// Name of the object; empty for a list.
    pub(crate) key: String,
    /// Whether it is a further page of a list.
    pub(crate) is_further: bool,
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fail {
    /// Refused, with these header lines.
    Say(u16, &'static str, Vec<(&'static str, String)>),
    /// The connection ends after this share of the body, and nothing was done.
    CutRequest(usize),
    /// It was done, and the connection ends after this share of the answer.
    CutAnswer(usize),
    /// The same, of an answer that does not say how long it is.
    CutSilently(usize),
    /// This status and this body, whatever was asked.
    Instead(u16, String),
    /// What is stored is not what was sent, and nobody says so.
    Spoil,
    /// No answer, for so long.
    Wait(Duration),
}

type Plan = Box<dyn FnMut(&Asked) -> Option<Fail> + Send>;

#[derive(Default)]
struct State {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    plan: Mutex<Option<(usize, Plan)>>,
    /// Whether tags are no sums.
    has_odd_tags: AtomicBool,
    /// Whether parts are not known.
    gives_all: AtomicBool,
    is_over: AtomicBool,
}

/// The storage, until it is dropped.
pub(crate) struct MemoryStorage {
    address: SocketAddr,
    state: Arc<State>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStorage {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("has a port");
        let address = listener.local_addr().expect("has an address");
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if shared.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve(&shared, &stream));
            }
        });
        Self { address, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, requests fail as `plan` says.
    pub(crate) fn fail(&self, plan: impl FnMut(&Asked) -> Option<Fail> + Send + 'static) {
        *locked(&self.state.plan) = Some((0, Box::new(plan)));
    }

    /// Nothing fails any more. Says how many requests there were since it was told to fail.
    pub(crate) fn behave(&self) -> usize {
        locked(&self.state.plan).take().map_or(0, |(number, _)| number)
    }

    pub(crate) fn tag_oddly(&self) {
        self.state.has_odd_tags.store(true, Ordering::Relaxed);
    }

    pub(crate) fn give_all(&self) {
        self.state.gives_all.store(true, Ordering::Relaxed);
    }

    /// Names of all objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        locked(&self.state.objects).keys().cloned().collect()
    }

    /// The pack with the most bytes in it.
    pub(crate) fn largest_pack(&self) -> String {
        let objects = locked(&self.state.objects);
        let packs = objects.iter().filter(|(key, _)| key.contains("/data/"));
        packs.max_by_key(|(_, bytes)| bytes.len()).expect("there is a pack").0.clone()
    }

    /// Changes the bytes of an object.
    pub(crate) fn change(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(locked(&self.state.objects).get_mut(key).expect("is there"));
    }

    pub(crate) fn remove(&self, key: &str) {
        locked(&self.state.objects).remove(key).expect("was there");
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        locked(&self.state.objects).contains_key(key)
    }

    /// Takes everything out.
    pub(crate) fn empty(&self) {
        locked(&self.state.objects).clear();
    }
}

impl Drop for MemoryStorage {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        // Wakes whoever waits for the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

struct Request {
    asked: Asked,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn serve(state: &State, stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = head(&mut reader) {
        let fail = {
            let mut plan = locked(&state.plan);
            plan.as_mut().and_then(|(number, plan)| {
                request.asked.number = *number;
                *number += 1;
                plan(&request.asked)
            })
        };
        let length = request.headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if let Some(Fail::CutRequest(percent)) = fail {
            let mut part = vec![0; length * percent / 100];
            let _ = reader.read_exact(&mut part);
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        if !answer(state, stream, &request, body, fail) {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// Whether the connection goes on.
fn answer(state: &State, stream: &TcpStream, request: &Request, body: Vec<u8>, fail: Option<Fail>) -> bool {
    let reply = match &fail {
        Some(Fail::Say(status, code, headers)) => refusal(*status, code, headers.clone()),
        Some(Fail::Instead(status, text)) => {
            Reply { status: *status, headers: Vec::new(), body: text.clone().into_bytes() }
        }
        Some(Fail::Wait(time)) => {
            std::thread::sleep(*time);
            return false;
        }
        _ => done(state, request, body, matches!(fail, Some(Fail::Spoil))),
    };
    let says_length = !matches!(fail, Some(Fail::CutSilently(_)));
    let bytes = written(&reply, says_length);
    let head = bytes.len() - reply.body.len();
    let (length, goes_on) = match fail {
        Some(Fail::CutAnswer(percent)) => (bytes.len() * percent / 100, false),
        Some(Fail::CutSilently(percent)) => (head + reply.body.len() * percent / 100, false),
        _ => (bytes.len(), true),
    };
    let mut stream = stream;
    stream.write_all(&bytes[..length]).is_ok() && goes_on
}

fn written(reply: &Reply, says_length: bool) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Whatever\r\n", reply.status);
    if says_length {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    } else {
        head.push_str("connection: close\r\n");
    }
    if !reply.headers.iter().any(|(name, _)| *name == "date") {
        head.push_str(&format!("date: {}\r\n", httpdate::fmt_http_date(SystemTime::now())));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&reply.body);
    bytes
}

fn refusal(status: u16, code: &str, headers: Vec<(&'static str, String)>) -> Reply {
    let body =
        format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>no: {code}</Message></Error>");
    Reply { status, headers, body: body.into_bytes() }
}

fn done(state: &State, request: &Request, body: Vec<u8>, spoil: bool) -> Reply {
    let mut objects = locked(&state.objects);
    let key = &request.asked.key;
    match request.asked.method.as_str() {
        "PUT" => {
            let sum = STANDARD.encode(&Md5::digest(&body)[..]);
            if request.headers.get("content-md5").is_some_and(|said| *said != sum) {
                return refusal(400, "BadDigest", Vec::new());
            }
            let mut kept = body;
            if spoil {
                let middle = kept.len() / 2;
                kept[middle] ^= 1;
            }
            let is_odd = state.has_odd_tags.load(Ordering::Relaxed);
            let tag = if is_odd { "0".repeat(32) } else { format!("{:x}", Md5::digest(&kept)) };
            objects.insert(key.clone(), kept);
            Reply { status: 200, headers: vec![("etag", format!("\"{tag}\""))], body: Vec::new() }
        }
        "DELETE" => {
            objects.remove(key);
            Reply { status: 204, headers: Vec::new(), body: Vec::new() }
        }
        _ if key.is_empty() => list(&objects, &request.query),
        _ => match objects.get(key) {
            None => refusal(404, "NoSuchKey", Vec::new()),
            Some(bytes) => part(state, request, bytes),
        },
    }
}

fn part(state: &State, request: &Request, bytes: &[u8]) -> Reply {
    let range = request.headers.get("range").filter(|_| !state.gives_all.load(Ordering::Relaxed));
    let Some((first, last)) = range.and_then(|text| text.strip_prefix("bytes=")?.split_once('-')) else {
        return Reply { status: 200, headers: Vec::new(), body: bytes.to_vec() };
    };
    let (first, last): (usize, usize) =
        (first.parse().expect("is a number"), last.parse().expect("is a number"));
    if first >= bytes.len() {
        return refusal(416, "InvalidRange", Vec::new());
    }
    let end = bytes.len().min(last + 1);
    let line = ("content-range", format!("bytes {first}-{}/{}", end - 1, bytes.len()));
    Reply { status: 206, headers: vec![line], body: bytes[first..end].to_vec() }
}

fn list(objects: &BTreeMap<String, Vec<u8>>, query: &BTreeMap<String, String>) -> Reply {
    let text = |name: &str| query.get(name).cloned().unwrap_or_default();
    let (prefix, after) = (text("prefix"), text("continuation-token"));
    let mut found = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after).peekable();
    let mut body = String::from(
        "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    let mut last = String::new();
    for (key, bytes) in found.by_ref().take(PAGE) {
        body.push_str(&format!("<Contents><Key>{key}</Key><Size>{}</Size></Contents>", bytes.len()));
        last.clone_from(key);
    }
    let is_truncated = found.peek().is_some();
    body.push_str(&format!("<IsTruncated>{is_truncated}</IsTruncated>"));
    if is_truncated {
        body.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
    }
    body.push_str("</ListBucketResult>");
    Reply { status: 200, headers: Vec::new(), body: body.into_bytes() }
}

fn line(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut text = String::new();
    match reader.read_line(&mut text) {
        Ok(1..) => Some(text.trim_end().to_owned()),
        _ => None,
    }
}

fn head(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let first = line(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = BTreeMap::new();
    loop {
        let text = line(reader)?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let query: BTreeMap<String, String> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (plain(k), plain(v))).collect();
    // The first part of the path is the bucket.
    let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
    let is_further = query.contains_key("continuation-token");
    Some(Request { asked: Asked { number: 0, method, key, is_further }, query, headers })
}

/// Text of a query.
fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
            let hex = std::str::from_utf8(&hex).expect("is ASCII");
            bytes.push(u8::from_str_radix(hex, 16).expect("is hex"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("is UTF-8")
}
