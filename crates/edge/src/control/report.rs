//! What this edge tells control, gathered from a table. It sends nothing. Tests: `tests/it/control.rs`.

use std::net::SocketAddr;

use havre_api::edge_report::{EdgeReport, UpstreamReport};
use havre_api::traffic::Traffic;

use crate::table::{Member, Table};

/// Who reports: the part of a report that never changes while a process lives.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Name of the edge, stable over restarts.
    pub edge: String,
    /// Random name of this process.
    pub instance: String,
    /// Addresses it listens on for users.
    pub listeners: Vec<SocketAddr>,
}

/// The report for `table`, which every worker uses by now.
pub(crate) fn gather(identity: &Identity, table: &Table, traffic: Option<&Traffic>) -> EdgeReport {
    EdgeReport {
        edge: identity.edge.clone(),
        instance: identity.instance.clone(),
        generation: table.generation,
        listeners: identity.listeners.clone(),
        upstreams: table.members().map(upstream).collect(),
        traffic: traffic.cloned(),
    }
}

fn upstream(member: &Member) -> UpstreamReport {
    let upstream = &member.upstream;
    UpstreamReport {
        task: upstream.task.clone(),
        health: upstream.health(),
        checks: upstream.checks(&member.checks),
        in_flight: upstream.in_flight(),
        requests: upstream.requests(),
        errors: upstream.errors(),
    }
}
