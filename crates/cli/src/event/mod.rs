//! Events: what happened.

pub(crate) mod list;
