//! Two seams to the world of certificates: [`Authority`] talks to issuers (ACME, RFC 8555), [`Dns`] asks servers of names and
//! writes the TXT records of DNS challenges. So far each is a trait and a hand-driven [`fake`]; the real things and the loop
//! that uses them are not here yet.
//!
//! A crate of its own because it will isolate the dependencies that talk to issuers and DNS providers. It decides nothing and
//! stores nothing: every call can be made again from what its caller has stored. Tests: at the end of files.

pub mod authority;
pub mod dns;
pub mod error;
pub mod fake;

pub use authority::Authority;
pub use dns::Dns;
