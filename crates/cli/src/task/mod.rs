//! Tasks: their logs, and commands inside or beside them.

pub(crate) mod command;
pub(crate) mod exec;
pub(crate) mod logs;
pub(crate) mod run;
pub(crate) mod terminal;
