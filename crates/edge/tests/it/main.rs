//! Integration tests of the edge: one binary, one file for each subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod control;
mod metrics;
mod probe;
mod role;
mod site;
mod world;
