//! Deliveries of forges and registries: is the signature right, what does the payload say, and what follows from it.
//!
//! A crate of its own because it enforces a ban: no I/O, no async, no clock, no store. Bytes and headers in, a verdict out. In order:
//! [`verify::verify`], [`delivery::Delivery::read`] (who remembers ids is not here), [`payload::read`], [`judge::judge`] for each event.
//! What a verdict asks for is done, and a delivery answered, by `web`. Tests: `tests/it`, on a fixture for each kind of
//! delivery, and at the end of files.

pub mod delivery;
pub mod headers;
pub mod judge;
pub mod payload;
pub mod provider;
pub mod verify;
