//! Tasks: their logs, and commands inside or beside them. `streams` is what the daemon hands over.

pub mod exec;
pub mod logs;
pub mod run;
pub mod streams;

pub(crate) mod session;
