//! Memory of the data path: blocks that connections borrow while they have bytes in hand and give back before
//! they wait. It knows nothing of HTTP. Tests at the end of the file.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Size of a block for heads and small bodies.
pub(crate) const SMALL: usize = 16 * 1024;
/// Size of a block for streamed bodies.
pub(crate) const LARGE: usize = 64 * 1024;
/// Most unused blocks of each size a worker keeps.
const SPARE: usize = 32;
/// Most unused head buffers a worker keeps, and the largest capacity worth keeping.
const SPARE_HEADS: usize = 64;
const HEAD_CAPACITY: usize = 16 * 1024;

/// A block with the bytes `start..end` in use.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    block: Box<[u8]>,
    start: usize,
    end: usize,
    /// What its memory counts for, until it is given back or dropped.
    loan: Option<Loan>,
}

/// Bytes of blocks that are lent out.
#[derive(Debug)]
struct Loan {
    level: Rc<Cell<usize>>,
    size: usize,
}

impl Loan {
    fn new(level: &Rc<Cell<usize>>, size: usize) -> Self {
        level.set(level.get() + size);
        Self { level: Rc::clone(level), size }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.level.set(self.level.get() - self.size);
    }
}

impl Buffer {
    /// Bytes in hand.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.block[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for further bytes behind those in hand; may be empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.block[self.end..]
    }

    /// Says that `count` bytes were put at the start of the room.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.block.len());
    }

    /// Moves the bytes in hand to the front; if there is still no room, grows up to `most` bytes. Returns
    /// whether there is room.
    pub(crate) fn make_room(&mut self, most: usize) -> bool {
        if self.end < self.block.len() {
            return true;
        }
        if self.start > 0 {
            self.block.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            return true;
        }
        if self.block.len() >= most {
            return false;
        }
        let mut block = vec![0; (self.block.len() * 2).clamp(SMALL, most.max(SMALL))].into_boxed_slice();
        block[..self.end].copy_from_slice(&self.block[..self.end]);
        if let Some(loan) = &mut self.loan {
            loan.level.set(loan.level.get() + block.len() - loan.size);
            loan.size = block.len();
        }
        self.block = block;
        true
    }
}

/// Unused memory of one worker.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Bytes lent out, and how many may be before requests are turned away.
    level: Rc<Cell<usize>>,
    most: usize,
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
    heads: RefCell<Vec<Vec<u8>>>,
}

impl Memory {
    /// Memory that counts as full when more than `most` bytes are lent out.
    pub(crate) fn within(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Whether so much is lent out that no further request should be taken on.
    pub(crate) fn is_full(&self) -> bool {
        self.level.get() > self.most
    }

    fn lend(&self, block: Option<Box<[u8]>>, size: usize) -> Buffer {
        let block = block.unwrap_or_else(|| vec![0; size].into_boxed_slice());
        Buffer { block, start: 0, end: 0, loan: Some(Loan::new(&self.level, size)) }
    }

    /// An empty buffer of [`SMALL`] bytes.
    pub(crate) fn small(&self) -> Buffer {
        let block = self.small.borrow_mut().pop();
        self.lend(block, SMALL)
    }

    /// Gives `buffer` a block if it has none.
    pub(crate) fn provide(&self, buffer: &mut Buffer) {
        if buffer.block.is_empty() {
            *buffer = self.small();
        }
    }

    /// Takes the block back from a buffer without bytes; called before a long wait.
    pub(crate) fn reclaim(&self, buffer: &mut Buffer) {
        if buffer.is_empty() && !buffer.block.is_empty() {
            self.give_back(std::mem::take(buffer));
        }
    }

    /// An empty buffer of [`LARGE`] bytes.
    pub(crate) fn large(&self) -> Buffer {
        let block = self.large.borrow_mut().pop();
        self.lend(block, LARGE)
    }

    /// Takes a buffer back. The bytes stay in it and are overwritten by the next user of this worker.
    pub(crate) fn give_back(&self, buffer: Buffer) {
        let list = match buffer.block.len() {
            SMALL => &self.small,
            LARGE => &self.large,
            _ => return,
        };
        let mut list = list.borrow_mut();
        if list.len() < SPARE {
            list.push(buffer.block);
        }
    }

    /// An empty vector to write a head into.
    pub(crate) fn head(&self) -> Vec<u8> {
        self.heads.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(2048))
    }

    /// Takes a head vector back.
    pub(crate) fn give_back_head(&self, mut head: Vec<u8>) {
        let mut heads = self.heads.borrow_mut();
        if head.capacity() > 0 && head.capacity() <= HEAD_CAPACITY && heads.len() < SPARE_HEADS {
            head.clear();
            heads.push(head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_moves_up_before_it_grows_and_stops_at_its_limit() {
        let memory = Memory::default();
        let mut buffer = memory.small();
        let room = buffer.room().len();
        buffer.filled(room);
        buffer.consume(10);
        assert!(buffer.make_room(SMALL));
        assert_eq!((buffer.len(), buffer.room().len()), (SMALL - 10, 10));
        buffer.filled(10);
        assert!(!buffer.make_room(SMALL));
        assert!(buffer.make_room(2 * SMALL));
        assert_eq!((buffer.len(), buffer.room().len()), (SMALL, SMALL));
    }

    #[test]
    fn what_is_lent_is_counted_until_it_is_back_or_lost() {
        let memory = Memory::within(2 * SMALL);
        let (first, mut second) = (memory.small(), memory.small());
        assert!(!memory.is_full());
        second.filled(SMALL);
        assert!(second.make_room(2 * SMALL));
        assert!(memory.is_full());
        drop(first);
        assert!(!memory.is_full());
        let third = memory.large();
        assert!(memory.is_full());
        memory.give_back(third);
        memory.give_back(second);
        assert_eq!(memory.level.get(), 0);
    }

    #[test]
    fn grown_buffers_are_not_kept() {
        let memory = Memory::default();
        let mut buffer = memory.small();
        buffer.filled(SMALL);
        assert!(buffer.make_room(3 * SMALL));
        memory.give_back(buffer);
        assert_eq!(memory.small.borrow().len(), 0);
        memory.give_back(memory.small());
        assert_eq!(memory.small.borrow().len(), 1);
    }
}
