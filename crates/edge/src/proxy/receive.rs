//! From bytes to a routed request, in one step that never waits: parse, judge, load the table, find, pick, write
//! the head for the upstream. What a worker acknowledges after a swap is that no such step is half-done.
//! Tests: `tests/it/raw_requests.rs`.

use std::sync::Arc;

use super::body::{Sink, Source};
use super::buffer::Buffer;
use super::reply::Own;
use super::text::{self, Ask};
use super::{Connection, RequestId};
use crate::h1::request::{self, RequestHead};
use crate::h1::{Framing, Refusal, Scratch, head_end};
use crate::page::Trouble;
use crate::site::SiteRequest;
use crate::table::{Found, Service, Table};
use crate::upstream::{InFlight, Upstream};
use crate::worker::Worker;

/// Bodies up to this size are copied behind the head; larger ones are a second piece of one write.
pub(super) const COPY_MOST: usize = 4 * 1024;

/// What the bytes in hand are.
#[derive(Debug)]
pub(super) enum Received {
    /// Not a whole head yet.
    More,
    /// Nothing that may be served.
    Refused(Refusal),
    /// A request the edge answers itself.
    Own(Ask, Box<Own>),
    /// A request for an upstream.
    Request(Request),
}

/// A request on its way to an upstream.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) ask: Ask,
    /// The head for the upstream, with as much of the body as was copied behind it.
    pub(super) head: Vec<u8>,
    /// What of the body is still to come: from the buffer first, then from the client.
    pub(super) source: Source,
    /// Framing of the body towards the upstream.
    pub(super) sink: Sink,
    /// Body bytes counted so far, for the limit of the service.
    pub(super) body_seen: u64,
    /// It may be sent twice: idempotent and without a body.
    pub(super) is_repeatable: bool,
    /// It asks for a WebSocket.
    pub(super) upgrade: bool,
    /// Generation of the table the upstream was picked from.
    pub(super) generation: u64,
    pub(super) service: Arc<Service>,
    pub(super) in_flight: InFlight,
}

impl Connection {
    /// Looks at the bytes in hand. `scanned` belongs to the head at their front.
    pub(super) fn receive(&self, buffer: &mut Buffer, scanned: &mut usize) -> Received {
        if *scanned == 0 && buffer.bytes().starts_with(b"\r\n") {
            // RFC 9112, 2.2: one empty line before a request is forgiven.
            buffer.consume(2);
        }
        let end = match head_end(buffer.bytes(), scanned) {
            Ok(Some(end)) => end,
            Ok(None) => return Received::More,
            Err(refusal) => return Received::Refused(refusal),
        };
        let limits = &self.worker.shared.limits;
        if end as u64 > limits.head_size.as_bytes() {
            return Received::Refused(Refusal::LongHead);
        }
        let received = match request::parse(&buffer.bytes()[..end], limits.head_lines, &mut Scratch::new()) {
            Ok(head) => self.route(&head),
            Err(refusal) => Err(refusal),
        };
        buffer.consume(end);
        let mut request = match received {
            Ok(Received::Request(request)) => request,
            Ok(received) => return received,
            Err(refusal) => return Received::Refused(refusal),
        };
        match request.take_body(buffer) {
            Ok(()) => Received::Request(request),
            Err(refusal) => {
                // Nobody was asked, so it is not the upstream's failure.
                request.service.counters.record(refusal.status());
                Received::Refused(refusal)
            }
        }
    }

    fn route(&self, head: &RequestHead<'_, '_>) -> Result<Received, Refusal> {
        let worker = &*self.worker;
        let table = worker.shared.table.load();
        let mut ask = ask_of(head, worker, &table);
        let mut name = [0; 256];
        let host = host_name(head.host, &mut name);
        if let Some(answer) = challenge(&table, head, host) {
            return Ok(Received::Own(ask, Box::new(Own::Challenge(answer))));
        }
        match table.find(host, head.path()) {
            Found::Service(service) => {
                ask.show_release |= service.expose_release;
                let most = service.limits.max_body_bytes;
                if let Framing::Length(length) = head.framing
                    && most > 0
                    && length > most
                {
                    service.counters.record(413);
                    return Err(Refusal::BodyTooLarge);
                }
                let Some(in_flight) = pick(worker, service, &[]) else {
                    service.counters.record(503);
                    return Ok(Received::Own(ask, Box::new(Own::Page(Trouble::NoTask))));
                };
                let mut out = worker.memory.head();
                text::request(&mut out, head, &ask, &self.client);
                Ok(Received::Request(Request {
                    ask,
                    head: out,
                    source: Source::of(head.framing),
                    sink: if head.framing == Framing::Chunked { Sink::Chunks } else { Sink::Plain },
                    body_seen: 0,
                    is_repeatable: head.is_idempotent() && head.framing == Framing::Empty && !head.upgrade,
                    upgrade: head.upgrade,
                    generation: table.generation,
                    service: Arc::clone(service),
                    in_flight,
                }))
            }
            Found::Site(site) => {
                ask.show_release |= site.expose_release;
                let answer = worker.shared.sites.answer(
                    site,
                    &SiteRequest {
                        method: head.method,
                        target: head.origin_form(),
                        if_none_match: head.if_none_match,
                        range: head.range,
                        if_range: head.if_range,
                    },
                );
                Ok(Received::Own(ask, Box::new(Own::Site(Arc::clone(site), answer))))
            }
            Found::UnknownHost => Ok(unrouted(worker, ask, Trouble::UnknownHost)),
            Found::UnknownPath => Ok(unrouted(worker, ask, Trouble::UnknownPath)),
        }
    }
}

/// The answer to a question of a certificate authority (RFC 8555, 8.3), whatever routes say of its path.
fn challenge(table: &Table, head: &RequestHead<'_, '_>, host: &str) -> Option<Box<str>> {
    let token = head.path().strip_prefix("/.well-known/acme-challenge/")?;
    table.https.answer(host, token).map(Into::into)
}

fn unrouted(worker: &Worker, ask: Ask, trouble: Trouble) -> Received {
    worker.shared.metrics.unrouted.up();
    Received::Own(ask, Box::new(Own::Page(trouble)))
}

fn ask_of(head: &RequestHead<'_, '_>, worker: &Worker, table: &Table) -> Ask {
    Ask {
        is_head: head.method == "HEAD",
        is_http10: head.is_http10,
        keep_alive: head.keep_alive,
        as_page: head.accept.is_some_and(|accept| accept.windows(9).any(|part| part == b"text/html")),
        expects_continue: head.expects_continue,
        show_release: head.probe.is_some_and(|probe| is_key(probe, table.probe_key.as_bytes())),
        framing: head.framing,
        id: head.request_id.and_then(RequestId::kept).unwrap_or_else(|| worker.next_id()),
    }
}

/// Compares in a time that depends on the lengths only. No key means no access.
fn is_key(sent: &[u8], key: &[u8]) -> bool {
    if key.is_empty() || sent.len() != key.len() {
        return false;
    }
    let difference = sent.iter().zip(key).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// Lower case, without a dot at its end.
fn host_name<'n>(host: &'n str, name: &'n mut [u8; 256]) -> &'n str {
    let host = host.strip_suffix('.').unwrap_or(host);
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return host;
    }
    let Some(name) = name.get_mut(..host.len()) else { return "" };
    name.copy_from_slice(host.as_bytes());
    name.make_ascii_lowercase();
    std::str::from_utf8(name).unwrap_or("")
}

fn pick(worker: &Worker, service: &Service, avoid: &[Arc<Upstream>]) -> Option<InFlight> {
    let mut turn = worker.turn.get();
    let picked = service.pick(avoid, &mut turn);
    worker.turn.set(turn);
    picked
}

impl Request {
    /// Takes what the buffer already has of the body, so that a body that is wrong from the start reaches nobody.
    fn take_body(&mut self, buffer: &mut Buffer) -> Result<(), Refusal> {
        match self.source {
            Source::Chunked(_) => {
                let taken = self.source.take(buffer.bytes_mut())?;
                self.count_body(taken.data)?;
                let mut line = [0; 18];
                for part in self.sink.frame(&buffer.bytes()[..taken.data], taken.is_done, &mut line) {
                    self.head.extend_from_slice(part);
                }
                buffer.consume(taken.consumed);
            }
            Source::Length(left) if buffer.len() <= COPY_MOST || left <= COPY_MOST as u64 => {
                let taken = self.source.take(buffer.bytes_mut())?;
                self.head.extend_from_slice(&buffer.bytes()[..taken.data]);
                buffer.consume(taken.consumed);
            }
            Source::Length(_) | Source::UntilClose | Source::Done => {}
        }
        Ok(())
    }

    /// Counts bytes of a chunked body.
    pub(super) fn count_body(&mut self, count: usize) -> Result<(), Refusal> {
        let most = self.service.limits.max_body_bytes;
        self.body_seen += count as u64;
        if most > 0 && self.body_seen > most { Err(Refusal::BodyTooLarge) } else { Ok(()) }
    }

    /// Picks another upstream, from the table in use now; false when there is none. Routes by the head that was
    /// written, which starts with `METHOD target HTTP/1.1` and `Host: authority`.
    pub(super) fn pick_again(&mut self, worker: &Worker, tried: &[Arc<Upstream>]) -> bool {
        let Ok(head) = std::str::from_utf8(self.head.split(|byte| *byte == b'\n').next().unwrap_or(b""))
        else {
            return false;
        };
        let target = head.split(' ').nth(1).unwrap_or("/");
        let path = target.split('?').next().unwrap_or(target);
        let host = self.head.split(|byte| *byte == b'\n').nth(1).unwrap_or(b"");
        let host = std::str::from_utf8(host).unwrap_or("").trim_start_matches("Host: ").trim_end();
        let host = match host.rfind(':') {
            Some(colon) if !host.ends_with(']') => &host[..colon],
            _ => host,
        };
        let table = worker.shared.table.load();
        let Found::Service(service) = table.find(host_name(host, &mut [0; 256]), path) else { return false };
        let Some(in_flight) = pick(worker, service, tried) else { return false };
        self.in_flight = in_flight;
        self.service = Arc::clone(service);
        self.generation = table.generation;
        true
    }
}
