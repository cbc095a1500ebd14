//! Hand-driven stand-ins for the tests of the loops: an issuer in memory ([`FakeAuthority`]) and a world of names in memory
//! ([`FakeDns`]). Nothing happens by itself; tests turn the knobs. Tests: the contracts in `tests/it`, which the real ones pass too.

mod authority;
mod dns;

pub use authority::{FakeAuthority, Operation, Verdict};
pub use dns::FakeDns;
