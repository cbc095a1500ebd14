//! Two seams to the world of certificates: [`Authority`] talks to issuers (ACME, RFC 8555), [`Dns`] asks servers of names and
//! writes the TXT records of DNS challenges. Each is a trait, the real thing, and a hand-driven [`fake`].
//!
//! A crate of its own because it isolates heavy dependencies (instant-acme, dns-update, hickory). It decides nothing: when to
//! order, from whom, how often to try again is `havre_core::certificate`. It stores nothing: every call can be made again
//! from what its caller has stored. Tests: `tests/it`, one contract for each fake and its real servers.

pub mod authority;
pub mod client;
pub mod dns;
pub mod error;
pub mod fake;

pub use authority::Authority;
pub use dns::Dns;
