//! The crate as client and server use it.

mod stack;
