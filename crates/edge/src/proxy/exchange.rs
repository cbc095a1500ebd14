//! One request through an upstream: a connection, the request and its body one way while the answer comes the
//! other way, and another try where nothing can have been done twice. Tests: `tests/it/upstreams.rs`,
//! `tests/it/bodies.rs`.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::answer::{Answer, End, Ends};
use super::buffer::Buffer;
use super::clock::Lane;
use super::receive::Request;
use super::upload::{Flow, Inward, Upload, Uploading, until_gone};
use super::wire::Wire;
use super::{After, Connection};
use crate::balance::{NoUpstream, Outcome, Place};
use crate::stream::Outgoing;
use crate::tls::upstream::connect;
use crate::upstream::Upstream;
use havre_http::page::Trouble;

/// Most connections one request is tried on.
const MOST_ATTEMPTS: usize = 3;

/// How a wait in line ended.
enum Waited {
    /// There is an upstream.
    Served,
    /// The client has left.
    Gone,
    /// There is none.
    InVain(Trouble),
}

/// How one attempt ended.
enum Attempt {
    Over(After),
    /// The upstream closed without a byte: a repeatable request may be tried on another connection.
    Stale,
    /// Nothing has gone to the client yet.
    Failed(Trouble),
}

impl Connection {
    /// Brings `request` to an upstream and its answer to the client.
    pub(super) async fn exchange(&mut self, request: &mut Request, buffer: &mut Buffer) -> After {
        let mut tried: Vec<Arc<Upstream>> = Vec::new();
        let mut may_reuse = true;
        let mut trouble = Trouble::NoAnswer;
        if let Some(place) = request.place.take() {
            // Boxed: most requests do not wait.
            match Box::pin(self.wait_in_line(request, place)).await {
                Waited::Served => {}
                Waited::Gone => {
                    self.because("client-gone");
                    return After::Close;
                }
                Waited::InVain(trouble) => {
                    if let Some(entry) = &mut self.entry {
                        entry.series = Some(Arc::clone(&request.service.own));
                    }
                    return self.turn_down(request, trouble, buffer).await;
                }
            }
        }
        for _ in 0..MOST_ATTEMPTS {
            let (upstream, is_kept) = match self.reach(request, may_reuse).await {
                Ok(reached) => reached,
                Err(unreached) => {
                    trouble = unreached;
                    tried.push(request.in_flight.share());
                    may_reuse = true;
                    if self.try_another(request, &tried) {
                        continue;
                    }
                    break;
                }
            };
            match self.converse(request, upstream, buffer).await {
                Attempt::Over(after) => {
                    self.worker.memory.give_back_head(std::mem::take(&mut request.head));
                    return after;
                }
                Attempt::Stale if is_kept && request.is_repeatable => {
                    may_reuse = false;
                    self.count_retry();
                }
                Attempt::Stale => {
                    trouble = Trouble::NoAnswer;
                    tried.push(request.in_flight.share());
                    may_reuse = true;
                    self.note(request, Outcome::Broken);
                    let may_repeat = request.is_repeatable && request.service.may_retry();
                    if !may_repeat || !self.try_another(request, &tried) {
                        break;
                    }
                }
                Attempt::Failed(failed) => {
                    trouble = failed;
                    self.note(request, Outcome::Broken);
                    break;
                }
            }
        }
        self.give_up(request, trouble, buffer).await
    }

    /// Picks another upstream for the request; false when there is none.
    fn try_another(&mut self, request: &mut Request, tried: &[Arc<Upstream>]) -> bool {
        if request.pick_again(&self.worker, tried).is_err() {
            return false;
        }
        if let Some(entry) = &mut self.entry {
            entry.answers(&request.in_flight);
        }
        self.count_retry();
        true
    }

    /// Tells the balance how it went with the upstream at hand.
    fn note(&self, request: &Request, outcome: Outcome) {
        request.service.note(request.in_flight.upstream(), outcome);
    }

    /// Waits until there is room for the request, and takes it.
    async fn wait_in_line(&mut self, request: &mut Request, place: Place) -> Waited {
        let worker = Rc::clone(&self.worker);
        let wait = Duration::from_millis(request.service.balancing.queue_wait_ms);
        let until = worker.clock.after(wait);
        let (mut from_client, _) = self.stream.split();
        let mut gone = pin!(until_gone(&mut from_client));
        let waited = poll_fn(|context| {
            if gone.as_mut().poll(context).is_ready() {
                return Poll::Ready(Waited::Gone);
            }
            if place.is_first(context.waker()) {
                match request.pick_again(&worker, &[]) {
                    Ok(()) => return Poll::Ready(Waited::Served),
                    Err(NoUpstream::NoneHealthy) => return Poll::Ready(Waited::InVain(Trouble::NoTask)),
                    Err(NoUpstream::AllFull) => {}
                }
            }
            if worker.clock.now() >= until {
                return Poll::Ready(Waited::InVain(Trouble::QueueTimeout));
            }
            // At every tick: health and the table change without telling the line.
            self.watch.set(Lane::Outward, until.min(worker.clock.after(Duration::ZERO)));
            Poll::Pending
        })
        .await;
        self.watch.clear(Lane::Outward);
        if matches!(waited, Waited::Served)
            && let Some(entry) = &mut self.entry
        {
            entry.answers(&request.in_flight);
        }
        waited
    }

    fn count_retry(&mut self) {
        self.worker.shared.metrics.retries.up();
        if let Some(entry) = &mut self.entry {
            entry.retries = entry.retries.saturating_add(1);
        }
    }

    /// A connection to the picked upstream, and whether it was used before.
    async fn reach(&self, request: &Request, may_reuse: bool) -> Result<(Outgoing, bool), Trouble> {
        let upstream = request.in_flight.upstream();
        let wait = Duration::from_millis(request.limits().connect_timeout_ms);
        if upstream.protocol.is_h2() {
            let wire = self.wire(Lane::Outward);
            let reached = self.worker.links.reach(&self.worker, wire, (upstream, wait), may_reuse).await;
            let reached = reached.map(|(upward, is_kept)| (Outgoing::H2(Box::new(upward)), is_kept));
            return reached.map_err(|problem| self.unreached(request, &problem));
        }
        if may_reuse {
            let oldest = self.worker.oldest_idle();
            let must_ask = !request.is_repeatable;
            let kept = self.worker.pool.borrow_mut().take(upstream, must_ask, oldest);
            if let Some(stream) = kept {
                return Ok((Outgoing::Own(stream), true));
            }
        }
        match connect(self.wire(Lane::Outward), upstream, wait).await {
            Ok(stream) => Ok((Outgoing::Own(stream), false)),
            Err(problem) => Err(self.unreached(request, &problem)),
        }
    }

    /// Why there is no connection; the upstream is suspected unless it is this machine's own trouble.
    fn unreached(&self, request: &Request, problem: &io::Error) -> Trouble {
        // Out of descriptors or ports is this machine's trouble, not the upstream's.
        if !matches!(problem.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL)) {
            request.in_flight.upstream().suspect();
            self.note(request, Outcome::Broken);
        }
        match problem.kind() {
            io::ErrorKind::TimedOut => Trouble::ConnectTimeout,
            // Only a handshake reads anything yet. What is wrong with it is told by the probe.
            io::ErrorKind::InvalidData => Trouble::UpstreamTls,
            _ => Trouble::Unreachable,
        }
    }

    async fn give_up(&mut self, request: &mut Request, trouble: Trouble, buffer: &mut Buffer) -> After {
        request.in_flight.record_error();
        self.turn_down(request, trouble, buffer).await
    }

    /// Answers with a page in place of an upstream.
    async fn turn_down(&mut self, request: &Request, trouble: Trouble, buffer: &mut Buffer) -> After {
        let is_whole = request.source.is_done();
        let keep_alive = request.ask.keep_alive && is_whole && !self.worker.stopping.get();
        if !self.send_page(&request.ask, trouble, keep_alive).await {
            return After::Close;
        }
        match keep_alive {
            true => After::Next,
            false if is_whole && buffer.is_empty() => After::Close,
            false => After::Linger,
        }
    }

    /// One attempt on one connection.
    async fn converse(
        &mut self,
        request: &mut Request,
        mut upstream: Outgoing,
        buffer: &mut Buffer,
    ) -> Attempt {
        let flow = Flow::of(&request.source);
        let address = request.in_flight.upstream().address;
        let generation = request.generation;
        let ended = self.both_ways(request, &mut upstream, buffer, &flow).await;
        match ended {
            Ok(End::Complete { keep_alive, is_reusable }) => {
                self.count(request, &flow);
                self.note(request, if flow.status.get() >= 500 { Outcome::Failed } else { Outcome::Good });
                if let Outgoing::Own(upstream) = upstream
                    && is_reusable
                    && flow.upload.get() == Upload::Done
                {
                    let now = self.worker.clock.now();
                    self.worker.pool.borrow_mut().put(address, upstream, generation, now);
                }
                Attempt::Over(self.after_answer(&flow, keep_alive, buffer).await)
            }
            Ok(End::Upgraded { early }) => {
                self.count(request, &flow);
                self.note(request, Outcome::Good);
                self.tunnel(upstream, early, buffer).await;
                Attempt::Over(After::Close)
            }
            Ok(End::Replaced) => {
                self.count(request, &flow);
                self.note(request, if flow.status.get() >= 500 { Outcome::Failed } else { Outcome::Good });
                drop(upstream);
                let status = flow.status.get();
                let is_done = flow.upload.get() == Upload::Done;
                let keep_alive = request.ask.keep_alive && is_done && !self.worker.stopping.get();
                if !self.send_instead(&request.ask, status, keep_alive).await {
                    return Attempt::Over(After::Close);
                }
                Attempt::Over(self.after_answer(&flow, keep_alive, buffer).await)
            }
            Ok(End::Silent) => Attempt::Stale,
            Ok(End::Failed(trouble)) => Attempt::Failed(trouble),
            Ok(End::Cut) => {
                self.count(request, &flow);
                self.because("answer-cut");
                self.note(request, Outcome::Broken);
                request.in_flight.record_error();
                Attempt::Over(After::Reset)
            }
            Ok(End::ClientGone) | Err(Inward::Gone) => {
                self.count(request, &flow);
                self.because("client-gone");
                Attempt::Over(if flow.began.get() { After::Reset } else { After::Close })
            }
            Err(Inward::Refused(refusal)) => {
                drop(upstream);
                if flow.began.get() {
                    self.count(request, &flow);
                    self.because(refusal.code());
                    return Attempt::Over(After::Reset);
                }
                self.worker.shared.metrics.refused.up();
                self.send_page(&request.ask, Trouble::Refused(refusal), false).await;
                Attempt::Over(After::Linger)
            }
        }
    }

    fn count(&mut self, request: &Request, flow: &Flow) {
        let status = flow.status.get();
        if let Some(entry) = &mut self.entry {
            entry.status = status;
            entry.sent = flow.sent.get();
            entry.received = request.received(flow);
        }
        if status >= 500 {
            request.in_flight.record_error();
        }
    }

    /// The answer has gone out whole; what of the request was not read decides about the connection.
    async fn after_answer(&mut self, flow: &Flow, keep_alive: bool, buffer: &mut Buffer) -> After {
        match flow.left() {
            Some(0) if keep_alive => After::Next,
            Some(0) if buffer.is_empty() => After::Close,
            Some(left) if keep_alive && self.drain(left, buffer).await => After::Next,
            Some(_) if keep_alive => After::Close,
            _ => After::Linger,
        }
    }

    /// Sends the request and its body, and brings the answer back, both at the same time: an upstream may answer
    /// before it has the whole body.
    async fn both_ways(
        &mut self,
        request: &mut Request,
        upstream: &mut Outgoing,
        buffer: &mut Buffer,
        flow: &Flow,
    ) -> Result<End, Inward> {
        let worker = &*self.worker;
        let inward_wire = Wire { clock: &worker.clock, watch: &self.watch, lane: Lane::Inward };
        let outward_wire = Wire { lane: Lane::Outward, ..inward_wire };
        let (mut from_client, mut to_client) = self.stream.split();
        let (mut from_upstream, mut to_upstream) = upstream.split();
        let wait = Duration::from_millis(request.limits().first_byte_timeout_ms);
        let total = request.ask.pass.as_ref().and_then(|pass| pass.policy().total());
        let uploading = Uploading { worker, wire: inward_wire, flow };
        uploading.begin(request, &mut to_upstream, buffer).await;
        if flow.upload.get() == Upload::Done {
            worker.memory.reclaim(buffer);
        }
        let ask = request.ask.clone();
        let mut answer = pin!(
            Answer {
                worker,
                wire: outward_wire,
                ask,
                upgrade: request.upgrade,
                release: request.in_flight.share(),
                wait,
                flow,
            }
            .bring(Ends { from: &mut from_upstream, to: &mut to_client })
        );
        let mut inward = pin!(async {
            if flow.upload.get() == Upload::Running {
                // Boxed: most requests have no body to come.
                Box::pin(uploading.bring(request, &mut from_client, &mut to_upstream, buffer)).await?;
            }
            until_gone(&mut from_client).await;
            Err::<(), Inward>(Inward::Gone)
        });
        let mut is_over = None;
        let ends_at = total.map(|total| worker.clock.after(total));
        let ended = poll_fn(|context| {
            if let Some(ends_at) = ends_at {
                if worker.clock.now() >= ends_at {
                    let late = if flow.began.get() { End::Cut } else { End::Failed(Trouble::AnswerTimeout) };
                    return Poll::Ready(Ok(late));
                }
                self.watch.set(Lane::Whole, ends_at);
            }
            if is_over.is_none()
                && let Poll::Ready(Err(ended)) = inward.as_mut().poll(context)
            {
                is_over = Some(ended);
            }
            match answer.as_mut().poll(context) {
                Poll::Ready(end) => Poll::Ready(Ok(end)),
                Poll::Pending => is_over.take().map_or(Poll::Pending, |ended| Poll::Ready(Err(ended))),
            }
        })
        .await;
        if total.is_some() {
            self.watch.clear(Lane::Whole);
            self.watch.clear(Lane::Inward);
            self.watch.clear(Lane::Outward);
        }
        ended
    }
}
