//! Tests of the data path again, by clients that speak TLS: the same files, another rig.

pub(crate) type Rig = crate::rig::RigOver<crate::rig::Tls>;

/// What applications are told.
const SCHEME: &str = "https";

#[expect(clippy::duplicate_mod, reason = "each side has its own rig")]
#[path = "bodies.rs"]
mod bodies;
#[expect(clippy::duplicate_mod, reason = "each side has its own rig")]
#[path = "raw_requests.rs"]
mod raw_requests;
