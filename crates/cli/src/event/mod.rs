//! Events: what happened.

pub(crate) mod list;
mod verify;
