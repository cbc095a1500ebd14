//! From bytes to a routed request, in one step that never waits: parse, judge, load the table, find, pick, write
//! the head for the upstream. What a worker acknowledges after a swap is that no such step is half-done.
//! Tests: `tests/it/raw_requests.rs`.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use havre_api::route_table::{Limits, Protocol};

use super::buffer::Buffer;
use super::reply::Own;
use super::text::{self, Ask};
use super::upload::Flow;
use super::wait::{Wait, Waited};
use super::{ClientName, Connection, RequestId};
use crate::account::record::{Entry, Words};
use crate::balance::{Choice, NoUpstream, Place};
use crate::site::SiteRequest;
use crate::table::{Found, Hit, Host, Service, Table};
use crate::upstream::{InFlight, Upstream};
use crate::worker::Worker;
use havre_http::h1::body::{Sink, Source};
use havre_http::h1::request::{self, RequestHead};
use havre_http::h1::{Framing, Refusal, Scratch, head_end};
use havre_http::page::Trouble;
use havre_http::policy::{Policy, Reply, Verdict, View, is_same};
use havre_http::trace;
use havre_http::trust::{Forwarded, client_key};

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
    /// A request that must wait; its head is still in the buffer, to be looked at once more.
    Wait(Wait),
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
    /// What the upstream speaks, for which the head and the body are written.
    pub(super) protocol: Protocol,
    /// Body bytes counted so far, for the limit of the service.
    pub(super) body_seen: u64,
    /// It may be sent twice: idempotent and without a body.
    pub(super) is_repeatable: bool,
    /// It asks for a WebSocket.
    pub(super) upgrade: bool,
    /// Generation of the table the upstream was picked from.
    pub(super) generation: u64,
    pub(super) service: Arc<Service>,
    pub(super) client: IpAddr,
    pub(super) in_flight: InFlight,
    /// Where it waits for room, while `in_flight` stands for nobody yet.
    pub(super) place: Option<Place>,
}

impl Connection {
    /// Looks at the bytes in hand. `scanned` belongs to the head at their front.
    pub(super) fn receive(&mut self, buffer: &mut Buffer, scanned: &mut usize, waited: &Waited) -> Received {
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
        let received = self.receive_head(&buffer.bytes()[..end], waited);
        if let Ok(received @ Received::Wait(_)) = received {
            *scanned = 0;
            return received;
        }
        buffer.consume(end);
        let mut request = match received {
            Ok(Received::Request(request)) => request,
            Ok(received) => return received,
            Err(refusal) => return Received::Refused(refusal),
        };
        match request.take_body(buffer) {
            Ok(()) => Received::Request(request),
            // Nobody was asked, so it is not the upstream's failure.
            Err(refusal) => {
                if let Some(entry) = &mut self.entry {
                    entry.series = Some(Arc::clone(&request.service.own));
                    entry.upstream = None;
                }
                Received::Refused(refusal)
            }
        }
    }

    /// Judges and routes a whole head, and keeps its record.
    pub(super) fn receive_head(&mut self, head: &[u8], waited: &Waited) -> Result<Received, Refusal> {
        #[cfg(test)]
        crate::worker::tests::strike(&crate::worker::tests::CONNECTION);
        // One that waited for something keeps its record.
        let mut entry = match self.entry.take() {
            Some(entry) => entry,
            None => self.worker.desk.open(self.protocol(), self.client.address),
        };
        let most_lines = self.worker.shared.limits.head_lines;
        let received = match request::parse(head, most_lines, &mut Scratch::new()) {
            Ok(head) => self.route(&head, waited, &mut entry),
            Err(refusal) => Err(refusal),
        };
        self.entry = Some(entry);
        received
    }

    fn route(
        &self,
        head: &RequestHead<'_, '_>,
        waited: &Waited,
        entry: &mut Entry,
    ) -> Result<Received, Refusal> {
        let worker = &*self.worker;
        let table = worker.shared.table.load();
        let mut ask = ask_of(head, worker, &table);
        ask.is_h2 = self.stream.is_h2();
        ask.keep_alive &= !ask.is_h2;
        entry.set_id(ask.id);
        entry.name(Words { method: head.method, host: head.host, target: head.origin_form() });
        if worker.memory.is_full() {
            worker.shared.metrics.shed.up();
            return Ok(Received::Own(ask, Box::new(Own::Page(Trouble::Busy))));
        }
        let mut name = [0; 256];
        let host = host_name(head.host, &mut name);
        let behind = self.behind(head);
        let client = behind.as_ref().unwrap_or(&self.client);
        let known = table.host(host);
        if let Some(own) = self.before_routes(&table, head, (host, known), client) {
            return Ok(Received::Own(ask, Box::new(own)));
        }
        if client.is_https() {
            ask.hsts = known.and_then(|known| known.https.hsts);
        }
        let Hit { found, policy, counters } =
            known.map_or_else(|| Hit::none(Found::UnknownHost), |known| known.route(head.path()));
        entry.route = counters.cloned();
        entry.series = match &found {
            Found::Service(service) => Some(Arc::clone(&service.own)),
            Found::Site(site) => Some(Arc::clone(&site.series)),
            Found::UnknownHost | Found::UnknownPath => None,
        };
        // Control asks whether a release is there, not whether a user may see it.
        if let Some(policy) = policy.filter(|_| !ask.is_probe)
            && let Some(received) = self.judge(head, (policy, client), &mut ask, waited)
        {
            return Ok(received);
        }
        match found {
            Found::Service(service) => {
                ask.show_release |= service.expose_release;
                self.send_on(head, (ask, waited), (service, table.generation), (entry, client))
            }
            Found::Site(site) => {
                ask.show_release |= site.expose_release;
                let answer = worker.shared.sites.answer(
                    site,
                    &SiteRequest {
                        method: head.method,
                        target: head.origin_form(),
                        accept_encoding: head.accept_encoding,
                        if_modified_since: head.if_modified_since,
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

impl Connection {
    /// To a task of `service`, if one can take it.
    fn send_on(
        &self,
        head: &RequestHead<'_, '_>,
        (ask, waited): (Ask, &Waited),
        (service, generation): (&Arc<Service>, u64),
        (entry, client): (&mut Entry, &ClientName),
    ) -> Result<Received, Refusal> {
        let worker = &*self.worker;
        let most = ask.limits(service).max_body_bytes;
        if let Framing::Length(length) = head.framing
            && most > 0
            && length > most
        {
            return Err(Refusal::BodyTooLarge);
        }
        let admitted = admit(worker, service, choice(&ask, service, client.address));
        let (in_flight, place) = match admitted {
            Ok(admitted) => admitted,
            Err(trouble) => {
                if trouble == Trouble::NoTask
                    && service.is_paused
                    && let Some(wait) = Wait::for_task(worker, &ask, waited)
                {
                    return Ok(Received::Wait(wait));
                }
                return Ok(Received::Own(ask, Box::new(Own::Page(trouble))));
            }
        };
        if place.is_none() {
            entry.answers(&in_flight);
            if let Some(pass) = &ask.pass {
                pass.picked(&in_flight.upstream().task);
            }
        }
        let trace =
            (!head.has_trace && worker.shared.account.starts_traces).then(|| trace_of(&ask.id, worker));
        let protocol = match place {
            None => in_flight.upstream().protocol,
            Some(_) => service.protocol(),
        };
        let mut out = worker.memory.head();
        text::request(&mut out, head, &ask, client, trace.as_ref());
        Ok(Received::Request(Request {
            ask,
            head: out,
            source: match head.framing {
                Framing::Chunked if self.stream.is_h2() => Source::UntilClose,
                framing => Source::of(framing),
            },
            sink: match head.framing {
                Framing::Chunked if !protocol.is_h2() => Sink::Chunks,
                _ => Sink::Plain,
            },
            protocol,
            body_seen: 0,
            is_repeatable: head.is_idempotent() && head.framing == Framing::Empty && !head.upgrade,
            upgrade: head.upgrade,
            generation,
            service: Arc::clone(service),
            client: client.address,
            in_flight,
            place,
        }))
    }
}

impl Connection {
    /// The client behind a proxy whose word counts.
    fn behind(&self, head: &RequestHead<'_, '_>) -> Option<ClientName> {
        let trusted = &self.worker.shared.proxies.trusted;
        if !trusted.has(self.client.address) {
            return None;
        }
        let forwarded = Forwarded {
            chain: head.values("x-forwarded-for").collect(),
            scheme: head.values("x-forwarded-proto").collect(),
            standard: head.values("forwarded").collect(),
        };
        let is_https = forwarded.is_https().unwrap_or(self.client.is_https());
        Some(ClientName::of(forwarded.client(self.client.address, trusted), is_https))
    }

    /// What HTTPS asks for before any route: challenges answered (RFC 8555, 8.3), requests on the wrong connection
    /// refused (RFC 9110, 7.4), plain requests sent to HTTPS.
    fn before_routes(
        &self,
        table: &Table,
        head: &RequestHead<'_, '_>,
        (host, known): (&str, Option<&Host>),
        client: &ClientName,
    ) -> Option<Own> {
        if let Some(token) = head.path().strip_prefix("/.well-known/acme-challenge/")
            && let Some(answer) = table.https.answer(host, token)
        {
            return Some(Own::Challenge(answer.into()));
        }
        if let Some(name) = self.stream.name()
            && name != host
            && !table.https.find(name).is_some_and(|certificate| certificate.covers(host))
        {
            return Some(Own::Page(Trouble::Misdirected));
        }
        let port = self.worker.shared.https_port.filter(|_| !client.is_https())?;
        let is_wanted = known.is_some_and(|known| known.https.redirect_to_https);
        // Control asks the plain listener whether a release is there.
        (is_wanted && head.origin_form().starts_with('/') && !is_probe(head, table))
            .then(|| Own::Redirect(https_location(host, port, head.origin_form())))
    }
}

/// The same address over HTTPS.
fn https_location(host: &str, port: u16, target: &str) -> Box<str> {
    match port {
        443 => format!("https://{host}{target}").into(),
        port => format!("https://{host}:{port}{target}").into(),
    }
}

impl Connection {
    /// Asks the policy of the route; none when the request goes on.
    fn judge(
        &self,
        head: &RequestHead<'_, '_>,
        (policy, client): (&Arc<Policy>, &ClientName),
        ask: &mut Ask,
        waited: &Waited,
    ) -> Option<Received> {
        let view = View {
            method: head.method,
            target: head.origin_form(),
            client: client.address,
            is_tls: client.is_https(),
            head_size: head.size(),
            now: self.worker.shared.now(),
            is_again: waited.is_again,
            header: &|name| head.line(name),
        };
        match policy.judge(&view) {
            Verdict::Pass(pass) => {
                ask.pass = Some(Rc::new(pass));
                None
            }
            Verdict::Answer(reply, pass) => {
                ask.pass = Some(Rc::new(pass));
                Some(Received::Own(ask.clone(), Box::new(Own::Policy(reply))))
            }
            Verdict::Wait(check) => Some(match check.begin(&self.worker.shared.hasher) {
                Some(end) => Received::Wait(Wait::Password(end)),
                None => Received::Own(ask.clone(), Box::new(Own::Policy(Reply::busy()))),
            }),
        }
    }
}

/// Which upstream this client should get.
fn choice<'c>(ask: &'c Ask, service: &Service, client: IpAddr) -> Choice<'c> {
    let task = ask.pass.as_ref().and_then(|pass| pass.task());
    let draw = if service.canary.is_some() { draw(client) } else { 0 };
    Choice { task, draw }
}

/// The same number for the same client on every worker and after every restart (FNV-1a).
fn draw(client: IpAddr) -> u64 {
    let octets = match client_key(client) {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn unrouted(worker: &Worker, ask: Ask, trouble: Trouble) -> Received {
    worker.shared.metrics.unrouted.up();
    Received::Own(ask, Box::new(Own::Page(trouble)))
}

/// Control asks, with its key.
fn is_probe(head: &RequestHead<'_, '_>, table: &Table) -> bool {
    head.probe.is_some_and(|probe| is_key(probe, table.probe_key.as_bytes()))
}

fn ask_of(head: &RequestHead<'_, '_>, worker: &Worker, table: &Table) -> Ask {
    let is_probe = is_probe(head, table);
    Ask {
        is_head: head.method == "HEAD",
        is_http10: head.is_http10,
        is_h2: false,
        keep_alive: head.keep_alive,
        as_page: head.accept.is_some_and(|accept| accept.windows(9).any(|part| part == b"text/html")),
        expects_continue: head.expects_continue,
        show_release: is_probe,
        is_probe,
        framing: head.framing,
        id: head.request_id.and_then(RequestId::kept).unwrap_or_else(|| worker.next_id()),
        pass: None,
        hsts: None,
    }
}

/// A trace with the number of the request where that is one, so that one leads to the other.
fn trace_of(id: &RequestId, worker: &Worker) -> [u8; trace::LENGTH] {
    let number = id.number().unwrap_or_else(|| worker.next_id().number().unwrap_or(1));
    trace::fresh(number.max(1))
}

/// No key means no access.
fn is_key(sent: &[u8], key: &[u8]) -> bool {
    !key.is_empty() && is_same(sent, key)
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

fn pick(
    worker: &Worker,
    service: &Service,
    avoid: &[Arc<Upstream>],
    choice: Choice<'_>,
) -> Result<InFlight, NoUpstream> {
    let mut turn = worker.turn.get();
    let picked = if choice.task.is_some() || service.canary.is_some() {
        service.try_pick_for(choice, avoid, &mut turn)
    } else {
        service.try_pick(avoid, &mut turn)
    };
    worker.turn.set(turn);
    picked
}

/// An upstream for a new request, or a place in line.
fn admit(
    worker: &Worker,
    service: &Service,
    choice: Choice<'_>,
) -> Result<(InFlight, Option<Place>), Trouble> {
    if !service.has_queue() {
        match pick(worker, service, &[], choice) {
            Ok(in_flight) => return Ok((in_flight, None)),
            Err(NoUpstream::NoneHealthy) => return Err(Trouble::NoTask),
            Err(NoUpstream::AllFull) => {}
        }
    }
    let stand_in = service.live.first().ok_or(Trouble::NoTask)?;
    let place = service.queue().ok_or(Trouble::QueueFull)?;
    Ok((InFlight::waiting(Arc::clone(stand_in)), Some(place)))
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

    /// Bytes of its body that were taken from the client.
    pub(super) fn received(&self, flow: &Flow) -> u64 {
        match self.ask.framing {
            Framing::Length(length) => length - flow.left().unwrap_or(0).min(length),
            _ => self.body_seen,
        }
    }

    /// Counts bytes of a chunked body.
    pub(super) fn count_body(&mut self, count: usize) -> Result<(), Refusal> {
        let most = self.limits().max_body_bytes;
        self.body_seen += count as u64;
        if most > 0 && self.body_seen > most { Err(Refusal::BodyTooLarge) } else { Ok(()) }
    }

    /// Sizes and times that hold for it.
    pub(super) fn limits(&self) -> &Limits {
        self.ask.limits(&self.service)
    }

    /// Picks another upstream of the same service, from the table in use now.
    pub(super) fn pick_again(&mut self, worker: &Worker, tried: &[Arc<Upstream>]) -> Result<(), NoUpstream> {
        let table = worker.shared.table.load();
        let service = table.service(&self.service.key).ok_or(NoUpstream::NoneHealthy)?;
        let in_flight = pick(worker, service, tried, choice(&self.ask, service, self.client))?;
        // What was written is framed for the other version; a release that changes it loses one retry.
        if in_flight.upstream().protocol.is_h2() != self.protocol.is_h2() {
            return Err(NoUpstream::NoneHealthy);
        }
        if let Some(pass) = &self.ask.pass {
            pass.picked(&in_flight.upstream().task);
        }
        self.in_flight = in_flight;
        self.service = Arc::clone(service);
        self.generation = table.generation;
        Ok(())
    }
}
