//! What edges ask and tell, on a socket of their own. `wire` maps core's types to theirs, one to one.

pub(crate) mod board;
pub(crate) mod memory;
pub mod report;
pub mod table;
pub mod wire;
