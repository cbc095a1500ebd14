//! What all threads of one edge process share. It holds state and makes no choices.
//! Tests: `tests/it/control.rs`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use havre_api::route_table::UpstreamRole;

use crate::config::EdgeLimits;
use crate::metrics::Metrics;
use crate::policy::Hasher;
use crate::site::Sites;
use crate::table::Table;

/// Shared by every thread of one edge process; one per process, in an `Arc`.
#[derive(Debug)]
pub struct Shared {
    /// The table in use. Workers load it, find and pick in one synchronous section and keep no guard across an
    /// await.
    pub table: ArcSwap<Table>,
    /// Counters of the process.
    pub metrics: Metrics,
    /// Files of static sites.
    pub sites: Sites,
    /// Limits of the data path.
    pub limits: EdgeLimits,
    /// The thread that checks passwords.
    pub(crate) hasher: Hasher,
    start: Instant,
}

impl Shared {
    /// Starts with the empty table.
    pub fn new(limits: EdgeLimits, sites_dir: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            table: ArcSwap::from_pointee(Table::empty()),
            metrics: Metrics::default(),
            sites: Sites::new(sites_dir),
            limits,
            hasher: Hasher::default(),
            start: Instant::now(),
        })
    }

    /// Time since the process started, the same on every thread.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Swaps the table. Workers that loaded the older one a moment ago may still pick from it until each has
    /// acknowledged (`worker::Workers::acknowledge`). One caller at a time.
    pub fn publish(&self, table: Table) -> Arc<Table> {
        let table = Arc::new(table);
        for site in table.sites() {
            self.sites.prepare(site);
        }
        self.table.store(Arc::clone(&table));
        for member in table.members() {
            member.upstream.set_draining(member.role == UpstreamRole::Draining);
        }
        let digests: HashSet<&str> = table
            .sites()
            .flat_map(|site| {
                std::iter::once(&site.digest).chain(site.earlier.iter().map(|earlier| &earlier.digest))
            })
            .map(String::as_str)
            .collect();
        self.sites.retain(|digest| digests.contains(digest));
        table.signals.probe.notify_one();
        table
    }
}
