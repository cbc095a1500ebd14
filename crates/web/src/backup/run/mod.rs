//! Runs of backups: listed, asked for and cancelled here.

pub mod cancel;
pub mod create;
pub mod get;
pub mod list;
