//! Targets of backups: listed by whoever may read; set, removed and opened on the server's own machine only.

pub mod kit;
pub mod list;
pub mod remove;
pub mod set;
