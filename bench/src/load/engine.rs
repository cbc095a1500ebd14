//! The loop that begins requests and takes answers, on one thread with epoll. Tests: the self-test.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use super::connection::{Connection, State, connect, connect_failure};
use super::stream::Stream;
use super::tally::{Failure, Tally};
use super::{Pace, Plan, Sample};
use crate::http::answer::{Reader, Wanted};

/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_millis(20);
const SCRATCH: usize = 64 * 1024;
const EVENTS: usize = 256;
/// In place of a connection, the timer that wakes us for the next request of an open loop.
const TIMER: u64 = u64::MAX;

/// Runs `plan` until `is_over` says so, then waits for what is in flight. `sink` sees every request that has ended.
///
/// # Errors
/// This machine is at fault (no ports, no descriptors): nothing was proven.
pub(crate) fn run(
    plan: &Plan,
    is_over: impl Fn(Instant) -> bool,
    sink: impl FnMut(Sample<'_>),
) -> anyhow::Result<Tally> {
    let mut engine = Engine::new(plan, sink)?;
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    let mut scratch = vec![0; SCRATCH];
    let mut next_sweep = engine.began + SWEEP;
    loop {
        let now = Instant::now();
        if engine.stopped.is_none() && is_over(now) {
            engine.stop(now);
        }
        if engine.stopped.is_none() {
            engine.start_due()?;
        } else if engine.in_flight == 0 {
            engine.tally.elapsed = engine.last_end.saturating_duration_since(engine.began);
            return Ok(engine.tally);
        }
        if now >= next_sweep {
            engine.sweep(now);
            next_sweep = now + SWEEP;
        }
        engine.wait(&mut events)?;
        for event in events.drain(..) {
            engine.handle(event, &mut scratch)?;
        }
    }
}

struct Engine<'a, S> {
    plan: &'a Plan,
    sink: S,
    tally: Tally,
    epoll: OwnedFd,
    timer: OwnedFd,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Slots that were idle when they entered, oldest first; some may not be any more.
    idle: VecDeque<(usize, u32)>,
    in_flight: usize,
    /// Requests that were due or begun, for the rhythm of an open loop.
    begun: u64,
    fresh_debt: f64,
    /// State of a small generator, the same in every run.
    random: u64,
    began: Instant,
    last_end: Instant,
    stopped: Option<Instant>,
}

#[derive(Default)]
struct Slot {
    /// Grows whenever the connection changes, so that an event for the one before is known as such.
    generation: u32,
    connection: Option<Connection>,
}

impl<'a, S: FnMut(Sample<'_>)> Engine<'a, S> {
    fn new(plan: &'a Plan, sink: S) -> anyhow::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("make an epoll")?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).context("make a timer")?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)
            .context("watch the timer")?;
        let now = Instant::now();
        Ok(Self {
            plan,
            sink,
            tally: Tally::default(),
            epoll,
            timer,
            slots: Vec::new(),
            free: Vec::new(),
            idle: VecDeque::new(),
            in_flight: 0,
            begun: 0,
            fresh_debt: 0.0,
            random: 0x9e37_79b9_7f4a_7c15,
            began: now,
            last_end: now,
            stopped: None,
        })
    }

    /// When request number `begun` should begin.
    fn intended(&self) -> Option<Instant> {
        match self.plan.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => {
                Some(self.began + Duration::from_secs_f64(self.begun as f64 / per_second))
            }
        }
    }

    fn stop(&mut self, now: Instant) {
        self.stopped = Some(now);
        if let Pace::Open { per_second } = self.plan.pace {
            let due = (now.duration_since(self.began).as_secs_f64() * per_second) as u64;
            self.tally.not_started = due.saturating_sub(self.begun);
        }
    }

    fn start_due(&mut self) -> anyhow::Result<()> {
        // Bounded, so that a target that refuses at once cannot keep us from the clock.
        for _ in 0..self.plan.connections {
            if self.in_flight >= self.plan.connections {
                return Ok(());
            }
            let now = Instant::now();
            let intended = self.intended().unwrap_or(now);
            if intended > now {
                return Ok(());
            }
            self.begun += 1;
            self.begin(intended, now)?;
        }
        Ok(())
    }

    fn begin(&mut self, intended: Instant, now: Instant) -> anyhow::Result<()> {
        self.tally.requests += 1;
        self.fresh_debt += self.plan.fresh_share;
        let is_fresh = self.fresh_debt >= 1.0;
        let chosen = self.choose();
        if is_fresh {
            self.fresh_debt -= 1.0;
        } else if let Some(index) = self.next_idle() {
            self.in_flight += 1;
            if let Some(connection) = &mut self.slots[index].connection {
                connection.state = State::Busy;
                connection.intended = intended;
                connection.started = now;
                connection.chosen = chosen;
                connection.written = 0;
                connection.reader.restart();
            }
            self.write(index);
            return Ok(());
        }
        self.tally.connections += 1;
        let stream = match connect(self.plan.target) {
            Ok(socket) => Stream::new(socket, self.plan.tls.as_ref()).context("prepare TLS")?,
            Err(error) => {
                let failure = connect_failure(error).context("open a connection")?;
                self.ended(now, now, Err(failure), None);
                return Ok(());
            }
        };
        let wanted = Wanted { release: self.plan.wants_release, ..Wanted::default() };
        let connection = Connection {
            stream,
            state: State::Connecting,
            is_fresh,
            is_used: false,
            intended,
            started: now,
            chosen,
            written: 0,
            reader: Reader::new(wanted),
        };
        self.in_flight += 1;
        self.insert(connection)
    }

    /// One of the requests for kept connections (xorshift: good enough to spread, and free).
    fn choose(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % self.plan.kept_requests.len() as u64).unwrap_or(0)
    }

    fn next_idle(&mut self) -> Option<usize> {
        while let Some((index, generation)) = self.idle.pop_front() {
            if self.slots[index].generation == generation {
                return Some(index);
            }
        }
        None
    }

    fn insert(&mut self, connection: Connection) -> anyhow::Result<()> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        let token = (u64::from(slot.generation) << 32) | index as u64;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, connection.stream.socket(), EventData::new_u64(token), flags)
            .context("watch a connection")?;
        slot.connection = Some(connection);
        Ok(())
    }

    /// Closes the connection; the kernel forgets it in epoll.
    fn remove(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.connection = None;
        // 31 bits, so that no token is ever that of the timer.
        slot.generation = (slot.generation + 1) & 0x7fff_ffff;
        self.free.push(index);
    }

    fn wait(&mut self, events: &mut Vec<Event>) -> anyhow::Result<()> {
        let may_start = self.stopped.is_none() && self.in_flight < self.plan.connections;
        if let Some(intended) = self.intended().filter(|_| may_start) {
            self.arm(intended.saturating_duration_since(Instant::now()))?;
        }
        let limit = Timespec { tv_sec: 0, tv_nsec: SWEEP.subsec_nanos().into() };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("wait for events"),
        }
    }

    /// A timer, because waiting itself knows only whole milliseconds.
    fn arm(&self, after: Duration) -> anyhow::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would switch the timer off.
        let after = after.max(Duration::from_nanos(1));
        let value = Timespec::try_from(after).context("set the timer")?;
        let setting = Itimerspec { it_interval: zero, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)
            .context("set the timer")?;
        Ok(())
    }

    fn handle(&mut self, event: Event, scratch: &mut [u8]) -> anyhow::Result<()> {
        let (token, flags) = (event.data.u64(), event.flags);
        if token == TIMER {
            return Ok(());
        }
        let (index, generation) = ((token & 0xffff_ffff) as usize, (token >> 32) as u32);
        let slot = &mut self.slots[index];
        let Some(connection) = slot.connection.as_mut().filter(|_| slot.generation == generation) else {
            return Ok(());
        };
        if connection.state == State::Connecting {
            if let Some(error) =
                connection.stream.socket().take_error().context("ask for the state of a socket")?
            {
                let failure = connect_failure(error).context("open a connection")?;
                self.fail(index, failure);
                return Ok(());
            }
            if !flags.contains(EventFlags::OUT) {
                return Ok(());
            }
            connection.state = State::Busy;
        }
        // A handshake goes on with what arrives, and the request waits for it.
        if flags.contains(EventFlags::OUT) || connection.stream.reads_in_pieces() {
            self.write(index);
        }
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            let has_end = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            self.read(index, generation, (scratch, has_end));
        }
        Ok(())
    }

    fn write(&mut self, index: usize) {
        let Some(connection) = &mut self.slots[index].connection else { return };
        if connection.state != State::Busy {
            return;
        }
        let request = match connection.is_fresh {
            true => &self.plan.fresh_request,
            false => &self.plan.kept_requests[connection.chosen],
        };
        if connection.write(request).is_err() {
            // An answer may have come before the reset (503 and close); read it rather than guess.
            let mut scratch = vec![0; SCRATCH];
            let generation = self.slots[index].generation;
            self.read(index, generation, (&mut scratch, true));
        }
    }

    /// Reads until nothing is left. `has_end`: the other side has closed or reset, so read to that point.
    fn read(&mut self, index: usize, generation: u32, (scratch, has_end): (&mut [u8], bool)) {
        loop {
            let slot = &mut self.slots[index];
            let Some(connection) = slot.connection.as_mut().filter(|_| slot.generation == generation) else {
                return;
            };
            let in_pieces = connection.stream.reads_in_pieces();
            match connection.stream.read(scratch) {
                Ok(0) => return self.closed(index),
                Ok(length) => {
                    self.take(index, &scratch[..length]);
                    if length < scratch.len() && !has_end && !in_pieces {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.broken(index, &error),
            }
        }
    }

    fn take(&mut self, index: usize, bytes: &[u8]) {
        let Some(connection) = &mut self.slots[index].connection else { return };
        if connection.state != State::Busy {
            self.tally.idle_bytes += 1;
            self.remove(index);
            return;
        }
        match connection.reader.feed(bytes) {
            Ok(None) => {}
            Ok(Some(used)) if used == bytes.len() => self.complete(index),
            Ok(Some(_)) => self.malformed(index, "bytes after the answer"),
            Err(what) => self.malformed(index, what),
        }
    }

    fn complete(&mut self, index: usize) {
        let generation = self.slots[index].generation;
        let Some(connection) = &mut self.slots[index].connection else { return };
        let (started, intended) = (connection.started, connection.intended);
        let answer = connection.reader.answer().clone();
        if !connection.is_used && connection.stream.is_resumed() == Some(true) {
            self.tally.resumed += 1;
        }
        connection.is_used = true;
        connection.state = State::Idle;
        if connection.is_fresh || answer.is_last {
            self.remove(index);
        } else {
            self.idle.push_back((index, generation));
        }
        self.in_flight -= 1;
        let outcome = if (200..300).contains(&answer.status) {
            self.tally.body_bytes += answer.body_bytes;
            Ok(())
        } else {
            *self.tally.statuses.entry(answer.status).or_default() += 1;
            Err(Failure::Status)
        };
        self.ended(started, intended, outcome, answer.release.as_deref());
    }

    fn closed(&mut self, index: usize) {
        let Some(connection) = &self.slots[index].connection else { return };
        match connection.state {
            State::Idle => {
                self.tally.idle_closed += 1;
                self.remove(index);
            }
            State::Connecting => self.fail(index, Failure::NotConnected),
            State::Busy => self.fail(index, connection.closed()),
        }
    }

    fn broken(&mut self, index: usize, error: &io::Error) {
        let Some(connection) = &self.slots[index].connection else { return };
        match connection.state {
            State::Idle => {
                self.tally.idle_resets += 1;
                self.remove(index);
            }
            // A reset that arrived before the first write is told as such; what else breaks a connection
            // (a time limit of the kernel) is told as a time limit.
            _ if error.kind() == ErrorKind::TimedOut => self.fail(index, Failure::Timeout),
            _ => self.fail(index, connection.reset()),
        }
    }

    fn malformed(&mut self, index: usize, what: &'static str) {
        *self.tally.malformed.entry(what).or_default() += 1;
        self.fail(index, Failure::Malformed);
    }

    fn fail(&mut self, index: usize, failure: Failure) {
        let Some(connection) = &self.slots[index].connection else { return };
        let (started, intended) = (connection.started, connection.intended);
        self.remove(index);
        self.in_flight -= 1;
        self.ended(started, intended, Err(failure), None);
    }

    fn ended(
        &mut self,
        started: Instant,
        intended: Instant,
        outcome: Result<(), Failure>,
        release: Option<&str>,
    ) {
        let ended = Instant::now();
        self.last_end = ended;
        match outcome {
            Ok(()) => {
                self.tally.ok += 1;
                let latency = ended.saturating_duration_since(intended);
                self.tally.latency.record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
            }
            Err(failure) => self.tally.fail(failure),
        }
        (self.sink)(Sample { started, ended, release, failure: outcome.err() });
    }

    fn sweep(&mut self, now: Instant) {
        for index in 0..self.slots.len() {
            let Some(connection) = &self.slots[index].connection else { continue };
            let is_late = now.saturating_duration_since(connection.started) >= self.plan.timeout;
            match connection.state {
                State::Connecting if is_late => self.fail(index, Failure::ConnectTimeout),
                State::Busy if is_late => self.fail(index, Failure::Timeout),
                _ => {}
            }
        }
    }
}

/// Refuses plans that cannot be run.
pub(crate) fn check(plan: &Plan) -> anyhow::Result<()> {
    if plan.kept_requests.is_empty() {
        bail!("there is no request to send");
    }
    if plan.connections == 0 || plan.connections > 20_000 {
        bail!("connections must be 1 to 20000");
    }
    if !(0.0..=1.0).contains(&plan.fresh_share) {
        bail!("the share of fresh connections must be 0 to 1");
    }
    match plan.pace {
        Pace::Open { per_second } if !(0.01..=1_000_000.0).contains(&per_second) => {
            bail!("the rate must be 0.01 to 1000000 a second")
        }
        _ => Ok(()),
    }
}
