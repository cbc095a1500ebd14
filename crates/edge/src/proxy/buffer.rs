//! Memory of the data path: blocks that connections borrow while they have bytes in hand and give back before
//! they wait. It knows nothing of HTTP. Tests at the end of the file.

use std::cell::RefCell;

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
        self.block = block;
        true
    }
}

/// Unused memory of one worker.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
    heads: RefCell<Vec<Vec<u8>>>,
}

impl Memory {
    /// An empty buffer of [`SMALL`] bytes.
    pub(crate) fn small(&self) -> Buffer {
        let block = self.small.borrow_mut().pop();
        Buffer { block: block.unwrap_or_else(|| vec![0; SMALL].into_boxed_slice()), start: 0, end: 0 }
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
        Buffer { block: block.unwrap_or_else(|| vec![0; LARGE].into_boxed_slice()), start: 0, end: 0 }
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
