//! Turns an uploaded context into an artifact: an image pinned by its id, or a site named by the digest of its files.
//!
//! A crate of its own because it quarantines a heavy dependency (BuildKit's protocol) and enforces a ban: nothing
//! here decides what to build or when, it sees neither the store nor the network API. Resolving and pulling named
//! images is the engine's work. [`builder`] is the seam, [`docker`] the real thing, [`fake`] the one for tests,
//! [`context`] takes uploads in, [`site`] publishes folders, [`limit`] keeps builds within their limits, [`mod@line`] makes lines
//! fit for a log.

pub mod builder;
pub mod context;
pub mod docker;
mod entry;
pub mod fake;
pub mod limit;
pub mod line;
mod redact;
pub mod room;
pub mod site;
