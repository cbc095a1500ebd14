//! Deliveries of forges and registries: is the signature right, what does the payload say, and what follows from it.
//!
//! A crate of its own because it enforces a ban: no I/O, no async, no store. Bytes and headers in, a verdict out.
