//! HTTP/2 by clients that agree on it in a TLS handshake: the same tests, another rig.

pub(crate) type H2Rig = crate::rig::RigOver<crate::h2_raw::H2OverTls>;

/// What applications are told.
const SCHEME: &str = "https";

#[expect(clippy::duplicate_mod, reason = "each side has its own rig")]
#[path = "h2_answers.rs"]
mod answers;
