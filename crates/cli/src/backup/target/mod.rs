//! `havre backup target`: places where backups go.

pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod set;
