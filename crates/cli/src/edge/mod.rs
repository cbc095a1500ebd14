//! The front door: what goes through it, and how it is.

pub(crate) mod status;
pub(crate) mod top;
