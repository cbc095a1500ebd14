//! Tests of the seams to issuers and to DNS: one contract each for fake and real, and what only the real ones can show.
//!
//! They start Pebble and BIND themselves, on free ports of the loopback; `script/test` puts the programs on the machine, and a
//! test that misses one fails and says so.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod abuse;
mod authority;
mod bind;
mod dns;
mod dns_abuse;
mod https;
mod issuer;
mod pebble;
mod program;
