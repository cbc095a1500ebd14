//! Four long requests that begin before a deploy and must end well after the switch: a slow answer, a slow upload, a
//! WebSocket and server-sent events, as `examples/faults` serves them under `streams`. Tests at the end of the file.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest, Sha256};

use super::websocket::{self, ACCEPT, CLOSE, KEY, PING, PONG, TEXT};
use crate::http::answer::{Answer, Wanted};
use crate::http::exchange::{Exchange, get};

/// Longest silence; all streams say something every second.
const QUIET: Duration = Duration::from_secs(10);
/// All four must have begun in this time.
const BEGIN: Duration = Duration::from_secs(15);
const PIECE: [u8; 4096] = [b'u'; 4096];
const PIECE_PAUSE: Duration = Duration::from_millis(250);
const MESSAGE_PAUSE: Duration = Duration::from_millis(500);
const MAX_BODY: usize = 1024 * 1024;

/// Where the streams go and how long they last.
#[derive(Debug, Clone)]
pub(super) struct StreamPlan {
    pub(super) target: SocketAddr,
    pub(super) host: String,
    /// Of the slow answer, the WebSocket and the events.
    pub(super) seconds: u32,
    pub(super) upload_seconds: u32,
}

/// One stream that is over.
#[derive(Debug)]
pub(super) struct StreamEnd {
    pub(super) kind: &'static str,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// Text for people when it was cut or its content is wrong.
    pub(super) outcome: Result<(), String>,
}

type Stream = fn(&StreamPlan, &mpsc::Sender<()>) -> anyhow::Result<()>;

const STREAMS: [(&str, Stream); 4] =
    [("slow", slow), ("upload", upload), ("websocket", websocket), ("events", events)];

/// Begins all four and waits until each really has.
///
/// # Errors
/// One does not begin.
pub(super) fn start(plan: &StreamPlan) -> anyhow::Result<Vec<JoinHandle<StreamEnd>>> {
    let mut handles = Vec::new();
    for (kind, stream) in STREAMS {
        let (begun, has_begun) = mpsc::channel();
        let plan = plan.clone();
        let handle = std::thread::spawn(move || {
            let began = Instant::now();
            let outcome = stream(&plan, &begun).map_err(|error| format!("{error:#}"));
            StreamEnd { kind, began, ended: Instant::now(), outcome }
        });
        match has_begun.recv_timeout(BEGIN) {
            Ok(()) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("the stream {kind} did not begin in time"),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let end = handle.join().map_err(|_| anyhow::anyhow!("the stream {kind} panicked"))?;
                bail!("the stream {kind} did not begin: {}", end.outcome.err().unwrap_or_default());
            }
        }
        handles.push(handle);
    }
    Ok(handles)
}

/// A chunked answer whose lines are spread over the time.
fn slow(plan: &StreamPlan, begun: &mpsc::Sender<()>) -> anyhow::Result<()> {
    let path = format!("/slow?ms={}&chunks={}", u64::from(plan.seconds) * 1000, plan.seconds);
    let answer = stream_answer(plan, &path, begun)?;
    check_slow(&String::from_utf8_lossy(&answer.body), plan.seconds)
}

/// Lines `1/25 r7`, `2/25 r7`... of one and the same release.
fn check_slow(body: &str, count: u32) -> anyhow::Result<()> {
    let release = body.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let wanted: String = (1..=count).map(|number| format!("{number}/{count} {release}\n")).collect();
    ensure!(!release.is_empty() && body == wanted, "the slow answer is not what was to be sent: {body:?}");
    Ok(())
}

/// Server-sent events, one a second.
fn events(plan: &StreamPlan, begun: &mpsc::Sender<()>) -> anyhow::Result<()> {
    let answer = stream_answer(plan, &format!("/events?count={}", plan.seconds), begun)?;
    check_events(&String::from_utf8_lossy(&answer.body), plan.seconds)
}

fn check_events(body: &str, count: u32) -> anyhow::Result<()> {
    let ids: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let wanted: Vec<String> = (1..=count).map(|id| id.to_string()).collect();
    ensure!(ids == wanted && body.ends_with("\n\n"), "events {ids:?} of {count} came");
    Ok(())
}

fn stream_answer(plan: &StreamPlan, path: &str, begun: &mpsc::Sender<()>) -> anyhow::Result<Answer> {
    let mut exchange = Exchange::connect(plan.target, QUIET)?;
    let wanted = Wanted { body: MAX_BODY, ..Wanted::default() };
    let answer = exchange.ask(&get(&plan.host, path, ""), wanted, |reader| {
        if reader.has_head() {
            // Heard once; later ones are of no interest.
            let _ = begun.send(());
        }
    })?;
    ensure!(answer.status == 200, "status {}", answer.status);
    Ok(answer)
}

/// A body that comes in small pieces; the answer has its length and digest.
fn upload(plan: &StreamPlan, begun: &mpsc::Sender<()>) -> anyhow::Result<()> {
    let pieces = plan.upload_seconds * 4;
    let length = u64::from(pieces) * PIECE.len() as u64;
    let mut exchange = Exchange::connect(plan.target, QUIET)?;
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n",
        plan.host
    );
    exchange.stream.write_all(head.as_bytes()).context("write the request")?;
    let mut digest = Sha256::new();
    for piece in 0..pieces {
        exchange.stream.write_all(&PIECE).with_context(|| format!("write piece {piece} of {pieces}"))?;
        digest.update(PIECE);
        if piece == 1 {
            let _ = begun.send(());
        }
        std::thread::sleep(PIECE_PAUSE);
    }
    let answer = exchange.answer(Wanted { body: MAX_BODY, ..Wanted::default() }, |_| {})?;
    ensure!(answer.status == 200, "status {}", answer.status);
    let told: serde_json::Value = serde_json::from_slice(&answer.body).context("read the answer as JSON")?;
    let wanted: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(
        told["bytes"] == length && told["sha256"] == wanted.as_str(),
        "sent {length} bytes with digest {wanted}, the other side says {told}"
    );
    Ok(())
}

/// Messages that come back, for the whole time, and an orderly close by us.
fn websocket(plan: &StreamPlan, begun: &mpsc::Sender<()>) -> anyhow::Result<()> {
    let mut exchange = Exchange::connect(plan.target, QUIET)?;
    let extra = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    let wanted = Wanted { upgrade: true, ..Wanted::default() };
    let answer = exchange.ask(&get(&plan.host, "/ws?tick_ms=1000", &extra), wanted, |_| {})?;
    ensure!(answer.status == 101, "status {}", answer.status);
    ensure!(answer.websocket_accept.as_deref() == Some(ACCEPT), "the handshake was not understood");
    // Short, so that messages are sent on time while nothing comes.
    exchange.stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut talk = Talk { exchange, sent: 0, heard: 0, ticks: 0, last_heard: Instant::now() };
    let end = Instant::now() + Duration::from_secs(plan.seconds.into());
    let mut next = Instant::now();
    while Instant::now() < end {
        if Instant::now() >= next {
            talk.sent += 1;
            talk.send(TEXT, format!("message {}", talk.sent).as_bytes())?;
            next += MESSAGE_PAUSE;
        }
        if let Some(code) = talk.listen()? {
            bail!("closed by the other side with {code} after {} messages", talk.heard);
        }
        if talk.heard == 1 {
            let _ = begun.send(());
        }
    }
    talk.send(CLOSE, &1000_u16.to_be_bytes())?;
    let closing = Instant::now();
    while talk.listen()?.is_none() {
        ensure!(closing.elapsed() < QUIET, "no answer to our closing message");
    }
    ensure!(talk.heard == talk.sent, "{} of {} messages came back", talk.heard, talk.sent);
    ensure!(talk.ticks > 0, "no message of the server's own came");
    Ok(())
}

struct Talk {
    exchange: Exchange,
    sent: u64,
    /// Of those that came back in order.
    heard: u64,
    ticks: u64,
    last_heard: Instant,
}

impl Talk {
    fn send(&mut self, opcode: u8, payload: &[u8]) -> anyhow::Result<()> {
        let mask = (self.sent as u32).wrapping_mul(2_654_435_761).to_be_bytes();
        self.exchange.stream.write_all(&websocket::encode(opcode, payload, mask)).context("send a message")
    }

    /// Takes what has come; the code of a close when that came.
    fn listen(&mut self) -> anyhow::Result<Option<u16>> {
        let mut piece = [0; 4096];
        match self.exchange.stream.read(&mut piece) {
            Ok(0) => bail!("cut without a closing message after {} messages", self.heard),
            Ok(length) => {
                self.last_heard = Instant::now();
                self.exchange.left_over.extend_from_slice(&piece[..length]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("listen for messages"),
        }
        ensure!(self.last_heard.elapsed() < QUIET, "silent for too long");
        while let Some((frame, used)) =
            websocket::decode(&self.exchange.left_over).map_err(anyhow::Error::msg)?
        {
            self.exchange.left_over.drain(..used);
            match frame.opcode {
                CLOSE => {
                    let code =
                        frame.payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                    return Ok(Some(code));
                }
                PING => self.send(PONG, &frame.payload)?,
                TEXT if frame.payload.starts_with(b"tick ") => self.ticks += 1,
                TEXT => {
                    self.heard += 1;
                    let wanted = format!("message {}", self.heard);
                    ensure!(frame.payload == wanted.as_bytes(), "another message than {wanted:?} came back");
                }
                opcode => bail!("unexpected message of type {opcode}"),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_must_be_whole_in_order_and_of_one_release() {
        assert!(check_slow("1/2 r7\n2/2 r7\n", 2).is_ok());
        for body in ["1/2 r7\n", "2/2 r7\n1/2 r7\n", "1/2 r7\n2/2 r8\n", "", "1/2 r7\n2/2 r7"] {
            assert!(check_slow(body, 2).is_err(), "{body:?}");
        }
    }

    #[test]
    fn events_must_be_all_there() {
        let event = |id: u32| format!("id: {id}\nevent: tick\ndata: {{}}\n\n");
        assert!(check_events(&(event(1) + &event(2)), 2).is_ok());
        assert!(check_events(&event(1), 2).is_err());
        assert!(check_events(&(event(2) + &event(1)), 2).is_err());
        assert!(check_events((event(1) + &event(2)).trim_end(), 2).is_err());
    }
}
