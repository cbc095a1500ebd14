//! Decisions of this room; written next.
