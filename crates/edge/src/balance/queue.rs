//! A line of requests that wait for room in a service whose upstreams are all at their limit: first come, first
//! served over all workers, bounded in length. How long one waits is up to the waiting side. It is touched only when
//! a service is full. Tests at the end of the file.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The line of one service; survives a swap of the table.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Length of the list, so that nobody takes the lock to find it empty.
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    list: VecDeque<(u64, Option<Waker>)>,
}

impl Queue {
    /// Whether anybody waits: then newcomers do not pass them.
    pub(crate) fn is_in_use(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Number of those who wait.
    pub(crate) fn length(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A place at the end, or none when `most` wait already.
    pub(crate) fn join(self: &Arc<Self>, most: usize) -> Option<Place> {
        let mut line = self.lock();
        if line.list.len() >= most {
            return None;
        }
        let number = line.next;
        line.next += 1;
        line.list.push_back((number, None));
        self.waiting.store(line.list.len(), Ordering::SeqCst);
        Some(Place { queue: Arc::clone(self), number })
    }

    /// There may be room: the first in line looks.
    pub(crate) fn wake_first(&self) {
        if self.is_in_use() {
            wake_first(&mut self.lock());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        // Nothing panics while it holds this lock.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake_first(line: &mut Line) {
    if let Some((_, waker)) = line.list.front_mut()
        && let Some(waker) = waker.take()
    {
        waker.wake();
    }
}

/// One place in line; given up when dropped, served or not.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<Queue>,
    number: u64,
}

impl Place {
    /// Whether it is the first, and may try. Leaves `waker` for the moment when it may try again: called before
    /// each try, so that room made in between is not missed.
    pub(crate) fn is_first(&self, waker: &Waker) -> bool {
        let mut line = self.queue.lock();
        let first = line.list.front().map(|(number, _)| *number);
        if let Some((_, place)) = line.list.iter_mut().find(|(number, _)| *number == self.number) {
            *place = Some(waker.clone());
        }
        first == Some(self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.queue.lock();
        line.list.retain(|(number, _)| *number != self.number);
        self.queue.waiting.store(line.list.len(), Ordering::SeqCst);
        // The next one may find room too.
        wake_first(&mut line);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicBool);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl Bell {
        fn has_rung(&self) -> bool {
            self.0.swap(false, Ordering::SeqCst)
        }
    }

    #[test]
    fn first_come_first_served_and_no_more_than_the_bound() {
        let queue = Arc::new(Queue::default());
        let bells: [Arc<Bell>; 3] = Default::default();
        let wakers = bells.each_ref().map(|bell| Waker::from(Arc::clone(bell)));
        let mut places: Vec<_> = (0..3).map(|_| queue.join(3).unwrap()).collect();
        assert!(queue.join(3).is_none());
        assert_eq!(queue.length(), 3);
        let firsts: Vec<_> = places.iter().zip(&wakers).map(|(place, waker)| place.is_first(waker)).collect();
        assert_eq!(firsts, [true, false, false]);
        queue.wake_first();
        assert_eq!(bells.each_ref().map(|bell| bell.has_rung()), [true, false, false]);
        // One in the middle gives up: nobody else moves up to the front, the first may look once more.
        drop(places.remove(1));
        assert_eq!(bells.each_ref().map(|bell| bell.has_rung()), [false, false, false]);
        drop(places.remove(0));
        assert_eq!(bells.each_ref().map(|bell| bell.has_rung()), [false, false, true]);
        assert!(places[0].is_first(&wakers[2]));
        places.clear();
        assert!(!queue.is_in_use());
    }
}
