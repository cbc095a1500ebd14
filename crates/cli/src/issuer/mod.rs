//! Issuers: who is asked for certificates.

pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod set;
