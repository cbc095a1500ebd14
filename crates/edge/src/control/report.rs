//! What this edge tells control, gathered from a table. It sends nothing. Tests: `tests/it/control.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use havre_api::edge_report::{EdgeReport, UpstreamReport};
use havre_api::traffic::Traffic;
use havre_core::route::retired_name;

use crate::table::{Member, Table};

/// Who reports.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Name of the edge, stable over restarts.
    pub edge: String,
    /// Random name of this process.
    pub instance: String,
    /// Addresses it listens on for users of plain HTTP.
    pub listeners: Vec<SocketAddr>,
    /// Addresses it listens on for users of HTTPS.
    pub https: Vec<SocketAddr>,
    /// Set once a successor serves under the same name; then this process drains under a name of its own, so that
    /// what is still in flight here is not hidden by the successor's reports.
    pub is_retired: Arc<AtomicBool>,
}

impl Identity {
    /// Name in reports now.
    fn name(&self) -> String {
        match self.is_retired.load(Ordering::SeqCst) {
            false => self.edge.clone(),
            true => retired_name(&self.edge, &self.instance),
        }
    }
}

/// The report for `table`, which every worker uses by now; partial where `reported` is the table of the last one.
pub(crate) fn gather(
    identity: &Identity,
    table: &Table,
    reported: Option<&Table>,
    traffic: Option<&Traffic>,
) -> EdgeReport {
    let upstreams = match reported {
        None => table.members().map(upstream).collect(),
        Some(reported) => {
            let services = table.changes_since(reported).filter_map(|(_, now)| now);
            services.flat_map(|service| &service.upstreams).map(upstream).collect()
        }
    };
    EdgeReport {
        edge: identity.name(),
        instance: identity.instance.clone(),
        generation: table.generation,
        listeners: identity.listeners.clone(),
        https: identity.https.clone(),
        upstreams,
        is_partial: reported.is_some(),
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
