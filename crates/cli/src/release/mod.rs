//! Releases: what can be gone back to.

pub(crate) mod list;
