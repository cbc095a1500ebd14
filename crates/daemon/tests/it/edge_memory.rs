//! Clients that want the edge to hold much: its memory stays below a bound that follows from its limits, and others are
//! served meanwhile and afterwards.

use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::version::TLS13;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::world::alone::Alone;
use crate::world::origin::ENDLESS;
use crate::world::spec::HOST;
use crate::world::wire::Wire;
use crate::world::{secure, until};

const KB: u64 = 1024;
const MB: u64 = 1024 * KB;

/// Clients that never end the head of their request.
const BEGUN: usize = 500;
/// What each of them has said of it: more than the edge keeps room for at first, less than it refuses.
const HEAD: usize = 20 * 1024;
/// Clients that do not read their long answer.
const READERS: usize = 200;
/// Streams of each client of HTTP/2, as many as the edge lets be open.
const STREAMS: u32 = 100;
/// How often all of that happens.
const ROUNDS: usize = 2;

/// Nobody is cut for being slow while memory is looked at.
const PATIENT: &str =
    "head_timeout = \"10m\"\nbody_period = \"10m\"\nidle_timeout = \"10m\"\nbuffer_memory = \"64MB\"";

/// `buffer_memory`: blocks for heads and bodies of all connections together.
const BLOCKS: u64 = 64 * MB;
/// What two clients of HTTP/2 can hold besides (`docs/havred-toml.md`): 64 KB of an answer on each stream, what they have
/// sent and nobody has read, and what is encrypted already.
const SENDING: u64 = 2 * (STREAMS as u64 * 64 + 512 + 192 + 16) * KB;
/// What each request costs besides: its task, its sockets' places, its session. There is one more connection for each
/// that is answered.
const TASKS: u64 = (BEGUN + 2 * READERS + 4 * STREAMS as usize) as u64 * 24 * KB;
/// What the allocator keeps for later.
const SPARE: u64 = 24 * MB;
/// Most memory that the edge may need for all of them. Their answers have no end, so an edge that took what it cannot
/// pass on would need far more.
const BOUND: u64 = BLOCKS + SENDING + TASKS + SPARE;
/// Least that what the clients say takes; with less, they were not there.
const LEAST: u64 = (BEGUN * HEAD / 2) as u64;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [head.as_slice(), payload].concat()
}

/// A GET for `path` in HPACK without its tables of names.
fn fields(path: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("a short text");
    // `:method: GET` and `:scheme: https` by number, `:path` and `:authority` by the number of their names.
    let mut block = vec![0x82, 0x87, 0x04, length(path)];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x01, length(HOST)]);
    block.extend_from_slice(HOST.as_bytes());
    block
}

/// A connection of HTTP/2 behind its greeting; `window` is what its client takes on each stream.
async fn greet(edge: &Alone, window: u32) -> TlsStream<TcpStream> {
    let client = secure::client(&[&TLS13], "h2");
    let mut stream = secure::connect(edge.secure, &client).await.expect("a handshake");
    let settings = [&[0_u8, 4][..], &window.to_be_bytes()].concat();
    let greeting = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &settings),
        // The window of the connection as a whole is no obstacle.
        frame(8, 0, 0, &[0x7f, 0, 0, 0]),
    ];
    stream.write_all(&greeting.concat()).await.expect("it is taken");
    stream
}

/// A client of HTTP/2 that asks for as much as it may and reads nothing.
async fn ask_and_read_nothing(edge: &Alone, window: u32) -> TlsStream<TcpStream> {
    let mut stream = greet(edge, window).await;
    let block = fields(ENDLESS);
    let asked: Vec<_> =
        (0..STREAMS).map(|number| frame(1, END_STREAM | END_HEADERS, 2 * number + 1, &block)).collect();
    stream.write_all(&asked.concat()).await.expect("it is taken");
    stream.flush().await.expect("it is taken");
    stream
}

/// Fields that go on until the edge has had enough.
async fn flood(edge: &Alone) {
    const ENOUGH: usize = 32 * 1024 * 1024;
    let mut stream = greet(edge, 0).await;
    let line = [&[0, 1, b'x', 100][..], &[b'a'; 100]].concat();
    let more = frame(9, 0, 1, &line.repeat(150));
    let mut said = frame(1, END_STREAM, 1, &fields("/"));
    let mut sent = 0;
    while stream.write_all(&said).await.is_ok() && stream.flush().await.is_ok() {
        sent += said.len();
        assert!(sent < ENOUGH, "fields without an end are taken for ever");
        said.clone_from(&more);
    }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

/// Somebody who wants nothing special.
async fn visit(edge: &Alone) {
    let answer = Wire::connect(edge.plain).await.ask(&request("/")).await.expect("an answer");
    assert_eq!((answer.0.as_str(), answer.1.as_str()), ("HTTP/1.1 200 OK", "ok"));
}

/// What the edge needs beyond `before`, which is less than it may.
fn grown(edge: &Alone, before: u64) -> u64 {
    let grown = edge.memory().saturating_sub(before);
    assert!(grown <= BOUND, "{} KB more, at most {} KB", grown / KB, BOUND / KB);
    grown
}

/// Everything at once, and somebody else in between.
async fn abuse(edge: &Alone, before: u64) {
    let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {}", "y".repeat(HEAD));
    let mut begun = Vec::new();
    for _ in 0..BEGUN {
        let mut wire = Wire::connect(edge.plain).await;
        wire.send(head.as_bytes()).await.expect("it is taken");
        begun.push(wire);
    }
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut wire = Wire::connect_narrowly(edge.plain).await;
        wire.send(request(ENDLESS).as_bytes()).await.expect("it is taken");
        let head = wire.through("\r\n\r\n").await.expect("an answer").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        readers.push(wire);
    }
    // One says that it takes nothing, the other that it takes all.
    let shut = ask_and_read_nothing(edge, 0).await;
    let open = ask_and_read_nothing(edge, 0x7fff_ffff).await;
    let asked = READERS + 2 * usize::try_from(STREAMS).expect("a small number");
    let begin = async || (edge.origin.endless() == asked).then_some(());
    until("every answer has begun", begin).await;
    let connections = u64::try_from(BEGUN + READERS + 2).expect("a small number");
    let all = async || (edge.metric("connections").await == connections).then_some(());
    until("every client is there", all).await;
    for _ in 0..20 {
        flood(edge).await;
        visit(edge).await;
        grown(edge, before);
    }
    assert!(grown(edge, before) >= LEAST, "so little is held that nothing is proved");
    assert!(edge.metric("connections").await >= connections, "the clients are still there");
    drop((begun, readers, shut, open));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_make_the_edge_hold_much_cost_it_no_more_than_its_limits_say() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("as many open files as the system lets us have");
    // One worker, so that each limit holds for all clients together.
    let edge = Alone::start(1, PATIENT).await;
    // What is made once is there.
    drop(greet(&edge, 0).await);
    for _ in 0..50 {
        visit(&edge).await;
    }
    let before = edge.memory();
    for _ in 0..ROUNDS {
        abuse(&edge, before).await;
        let left =
            async || (edge.origin.endless() == 0 && edge.metric("connections").await == 0).then_some(());
        until("all of them have gone", left).await;
        visit(&edge).await;
        grown(&edge, before);
    }
    assert_eq!(edge.metric("panics_total").await, 0);
}
