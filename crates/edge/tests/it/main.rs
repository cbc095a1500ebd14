//! Integration tests of the edge: one binary, one file for each subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod answers;
mod control;
mod deploy;
mod metrics;
mod probe;
mod raw_requests;
mod rig;
mod role;
mod site;
mod upstreams;
mod world;
