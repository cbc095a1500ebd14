//! Integration tests of the edge: one binary, one file for each subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod access_log;
mod answers;
mod balance;
mod bodies;
mod control;
mod deploy;
mod differential;
mod h2_abuse;
mod h2_answers;
mod h2_client;
mod h2_conformance;
mod h2_over_tls;
mod h2_raw;
mod h2_upstream;
mod material;
mod metrics;
mod over_tls;
mod own_answers;
mod policy;
mod probe;
mod proxy_protocol;
mod raw_requests;
mod rig;
mod role;
mod site;
mod site_rules;
mod slow;
mod strict;
mod tls;
mod tls_relay;
mod tls_upstream;
mod tunnels;
mod upstreams;
mod workers;
mod world;

use h2_raw::H2Rig;
use rig::Rig;

/// What applications are told of plain clients.
const SCHEME: &str = "http";
