//! Dockerfiles: reads them, reviews them, and writes one for a repository that has none.
//!
//! A crate of its own because it enforces a ban: no I/O, no async. Client and server call the same functions, so what
//! `havre build --print-dockerfile` shows is what a push builds.

pub mod file;
pub mod review;
pub mod stack;
