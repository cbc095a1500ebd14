//! DNS providers: at whom records of a zone are written, which wildcards need. Credentials go in and never come out.

pub mod list;
pub mod remove;
pub mod set;
