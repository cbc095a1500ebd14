//! DNS providers: at whom records of a zone are written, which wildcards need.

pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod set;
