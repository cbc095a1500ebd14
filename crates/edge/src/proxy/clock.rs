//! Deadlines that cost nothing until they pass. A worker's clock moves in coarse ticks; each connection writes its
//! deadlines into two cells, and once a tick the worker looks at all of them and wakes the late ones. So a request
//! sets no timer and reads no clock, and a deadline passes up to two ticks late, never early.
//! Tests at the end of the file and in `tests/it/slow.rs`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// No deadline.
const NEVER: u64 = u64::MAX;

/// Time of one worker, in milliseconds since its start.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    now: Cell<u64>,
    tick: u64,
}

impl Clock {
    /// A clock that is moved once in each `tick`.
    pub(crate) fn new(tick: Duration) -> Self {
        Self { start: Instant::now(), now: Cell::new(1), tick: u64::try_from(tick.as_millis()).unwrap_or(1) }
    }

    /// Time of the last tick.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Reads the system's clock.
    pub(crate) fn advance(&self) {
        self.now.set(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NEVER - 1).max(1));
    }

    /// A deadline at least `wait` from now. The tick makes up for the time since the last one.
    pub(crate) fn after(&self, wait: Duration) -> u64 {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(NEVER);
        self.now.get().saturating_add(wait).saturating_add(self.tick)
    }
}

/// Which of the waits of a connection a deadline belongs to: bodies go both ways at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Waiting for the client's next bytes.
    Inward = 0,
    /// Waiting for everything else: the upstream, and the client to take the answer.
    Outward = 1,
    /// The end of the time a route gives a request as a whole.
    Whole = 2,
}

/// The deadlines of one connection and how to wake it.
#[derive(Debug)]
pub(crate) struct Watch {
    lanes: [Cell<u64>; 3],
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    fn new() -> Self {
        Self { lanes: [const { Cell::new(NEVER) }; 3], waker: RefCell::new(None) }
    }

    pub(crate) fn set(&self, lane: Lane, deadline: u64) {
        self.lanes[lane as usize].set(deadline);
    }

    pub(crate) fn clear(&self, lane: Lane) {
        self.lanes[lane as usize].set(NEVER);
    }

    /// Remembers the task of the connection; a task has one waker for its whole life.
    pub(crate) fn belongs_to(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// The watches of all connections of a worker.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    slots: RefCell<Vec<Option<Rc<Watch>>>>,
    free: RefCell<Vec<usize>>,
}

impl Watches {
    /// Adds a connection; the number is its ticket for [`Watches::leave`].
    pub(crate) fn join(&self) -> (usize, Rc<Watch>) {
        let watch = Rc::new(Watch::new());
        let mut slots = self.slots.borrow_mut();
        let ticket = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        slots[ticket] = Some(Rc::clone(&watch));
        (ticket, watch)
    }

    /// Removes a connection.
    pub(crate) fn leave(&self, ticket: usize) {
        self.slots.borrow_mut()[ticket] = None;
        self.free.borrow_mut().push(ticket);
    }

    /// Wakes every connection with a deadline at or before `now`.
    pub(crate) fn wake_late(&self, now: u64) {
        for watch in self.slots.borrow().iter().flatten() {
            if watch.lanes.iter().any(|deadline| deadline.get() <= now) {
                watch.wake();
            }
        }
    }

    /// Wakes every connection.
    pub(crate) fn wake_all(&self) {
        self.slots.borrow().iter().flatten().for_each(|watch| watch.wake());
    }
}

/// A pace to keep while waiting: at least `least` bytes in each `period`, or, with `least` 0, one event before
/// the period ends.
#[derive(Debug)]
pub(crate) struct Pace {
    period: Duration,
    least: u64,
    moved: u64,
    /// End of the running period; 0 when none runs.
    until: u64,
}

impl Pace {
    /// Something must happen within `period`.
    pub(crate) fn within(period: Duration) -> Self {
        Self { period, least: 0, moved: 0, until: 0 }
    }

    /// At least `least` bytes in each `period`, and at least one.
    pub(crate) fn of(period: Duration, least: u64) -> Self {
        Self { period, least: least.max(1), moved: 0, until: 0 }
    }

    /// Whether it asks for one event in each period and not for a number of bytes.
    pub(crate) fn is_about_silence(&self) -> bool {
        self.least == 0
    }

    /// Starts the running period afresh at the next wait.
    pub(crate) fn restart(&mut self) {
        (self.moved, self.until) = (0, 0);
    }

    /// Whether it had to wait since it was made or restarted.
    pub(crate) fn has_waited(&self) -> bool {
        self.until > 0
    }

    /// Counts bytes that have moved, and hands their number on.
    pub(crate) fn count(&mut self, count: usize) -> usize {
        self.moved += count as u64;
        count
    }

    /// Must wait: sets the deadline; false when it has passed.
    pub(crate) fn may_wait(&mut self, clock: &Clock, watch: &Watch, lane: Lane) -> bool {
        if self.until == 0 {
            self.until = clock.after(self.period);
        } else if clock.now() >= self.until {
            if self.least == 0 || self.moved < self.least {
                watch.clear(lane);
                return false;
            }
            self.moved = 0;
            self.until = clock.after(self.period);
        }
        watch.set(lane, self.until);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64) -> (Clock, Watch) {
        let clock = Clock::new(Duration::from_millis(10));
        clock.now.set(now);
        (clock, Watch::new())
    }

    #[test]
    fn a_drip_below_the_pace_is_cut_and_one_above_it_is_not() {
        for (bytes_each_second, survives) in [(50, false), (100, true)] {
            let (clock, watch) = at(1000);
            let mut pace = Pace::of(Duration::from_secs(10), 1000);
            let mut alive = true;
            for second in 0..100 {
                clock.now.set(1000 + second * 1000);
                alive = alive && pace.may_wait(&clock, &watch, Lane::Inward);
                pace.count(bytes_each_second);
            }
            assert_eq!(alive, survives, "{bytes_each_second} bytes a second");
        }
    }

    #[test]
    fn a_plain_deadline_never_passes_early() {
        let (clock, watch) = at(1000);
        let mut pace = Pace::within(Duration::from_millis(100));
        assert!(pace.may_wait(&clock, &watch, Lane::Outward));
        clock.now.set(1109);
        assert!(pace.may_wait(&clock, &watch, Lane::Outward));
        clock.now.set(1110);
        assert!(!pace.may_wait(&clock, &watch, Lane::Outward));
    }

    #[test]
    fn a_left_slot_is_used_again() {
        let watches = Watches::default();
        let (first, _watch) = watches.join();
        let (second, _watch) = watches.join();
        watches.leave(first);
        assert_ne!(first, second);
        assert_eq!(watches.join().0, first);
    }
}
