//! What all threads of one edge process share. It holds state and makes no choices.
//! Tests: `tests/it/control.rs`.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use havre_api::route_table::UpstreamRole;

use crate::account::Account;
use crate::certificate::Certificates;
use crate::config::EdgeLimits;
use crate::metrics::Metrics;
use crate::site::Sites;
use crate::table::{Member, Table};
use crate::tls::settings::Settings;
use crate::tls::ticket::Tickets;
use havre_http::policy::Hasher;
use havre_http::trust::Networks;

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
    /// Certificates by digest.
    pub certificates: Certificates,
    /// Who speaks for others.
    pub proxies: Proxies,
    /// Port of HTTPS for users; none where there is no HTTPS, and then nobody is sent there.
    pub https_port: Option<u16>,
    /// The thread that checks passwords.
    pub(crate) hasher: Hasher,
    start: Instant,
    /// What becomes of requests: counters and the access log.
    pub account: Arc<Account>,
}

/// Who speaks for others.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// Load balancers that open every connection with the PROXY protocol.
    pub proxy_protocol: Networks,
    /// Proxies whose `X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded` are believed.
    pub trusted: Networks,
}

impl Proxies {
    /// Whether `address` has many clients, so that limits for one client are not for it.
    pub fn has(&self, address: IpAddr) -> bool {
        self.proxy_protocol.has(address) || self.trusted.has(address)
    }
}

impl Shared {
    /// Starts with the empty table, without an access log and without HTTPS.
    pub fn new(limits: EdgeLimits, sites_dir: PathBuf) -> Arc<Self> {
        Self::with(limits, sites_dir, Account::silent())
    }

    /// Starts with the empty table and without HTTPS.
    ///
    /// # Panics
    /// The system has no randomness for session tickets.
    pub fn with(limits: EdgeLimits, sites_dir: PathBuf, account: Account) -> Arc<Self> {
        let tickets = Arc::new(Tickets::new().expect("the system has randomness"));
        let settings = Settings::new(tickets).expect("these settings are constants that a test has tried");
        Arc::new(Self::secured(limits, sites_dir, account, Certificates::new(None, settings)))
    }

    /// Starts with the empty table and these certificates.
    pub fn secured(
        limits: EdgeLimits,
        sites_dir: PathBuf,
        account: Account,
        certificates: Certificates,
    ) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::empty()),
            metrics: Metrics::default(),
            sites: Sites::new(sites_dir),
            limits,
            account: Arc::new(account),
            hasher: Hasher::default(),
            start: Instant::now(),
            certificates,
            proxies: Proxies::default(),
            https_port: None,
        }
    }

    /// Time since the process started, the same on every thread.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Moves the time of balancing on without waiting: for tests of what happens after minutes.
    pub fn skip_time(&self, millis: u64) {
        self.table.load().signals.skip(millis);
    }

    /// Swaps the table. Workers that loaded the older one a moment ago may still pick from it until each has
    /// acknowledged (`worker::Workers::acknowledge`). One caller at a time; a table made by [`Table::change`] follows the
    /// one it was made from.
    pub fn publish(&self, table: Table) -> Arc<Table> {
        let table = Arc::new(table);
        for site in table.touched_sites() {
            self.sites.prepare(site);
        }
        table.signals.advance();
        let before = self.table.swap(Arc::clone(&table));
        spare_fresh(&before, &table);
        for member in changed_members(&before, &table) {
            member.upstream.set_draining(member.role == UpstreamRole::Draining);
        }
        table.forget_releases(&before);
        if table.has_other_sites(&before) {
            let digests: HashSet<&str> = table
                .sites()
                .flat_map(|site| {
                    std::iter::once(&site.digest).chain(site.earlier.iter().map(|earlier| &earlier.digest))
                })
                .map(String::as_str)
                .collect();
            self.sites.retain(|digest| digests.contains(digest));
        }
        table.signals.probe.notify_one();
        table
    }
}

/// Members of services that were built anew.
fn changed_members<'t>(before: &'t Table, table: &'t Table) -> impl Iterator<Item = &'t Member> {
    table.changes_since(before).filter_map(|(_, now)| now).flat_map(|service| &service.upstreams)
}

/// Upstreams that become live beside others begin with few requests.
fn spare_fresh(before: &Table, table: &Table) {
    let services_before = table.changes_since(before).filter_map(|(before, _)| before);
    let were_live: HashSet<&str> =
        services_before.flat_map(|service| &service.live).map(|upstream| upstream.task.as_str()).collect();
    for member in changed_members(before, table) {
        if member.role == UpstreamRole::Live && !were_live.contains(member.upstream.task.as_str()) {
            member.upstream.restart_ramp(table.signals.now());
        }
    }
}
