//! Derives the route table from rows. Pure; the same rows always give the same table. Tests:
//! `tests/it/settings.rs`, and all that walk through the simulated world (`tests/it/sim.rs`).

mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use crate::certificate::serve;
use havre_core::artifact::{Artifact, Digest};
use havre_core::certificate::Certificate;
use havre_core::deployment::Deployment;
use havre_core::deployment::state::State;
use havre_core::id::ReleaseId;
use havre_core::quantity::Span;
use havre_core::release::Release;
use havre_core::route::{Canary, EarlierSite, Role, ServiceUpstreams, SiteCdn, Table, Target, Upstream};
use havre_core::service::Service;
use havre_core::service::spec::{RouteSpec, Strategy, TaskWork};
use havre_core::service::tls::TlsSpec;
use havre_core::site::purge::site_tag;
use havre_core::site::settings::{CdnSpec, EARLIER_MAX};
use havre_core::task::Task;
use havre_core::time::Timestamp;

/// The rows of one service.
#[derive(Debug, Clone)]
pub struct ServiceRows {
    /// The service.
    pub service: Service,
    /// Its open deployments.
    pub open: Vec<Deployment>,
    /// Releases that its tasks, its live pointer or `left` name.
    pub releases: BTreeMap<ReleaseId, Release>,
    /// Its tasks.
    pub tasks: Vec<Task>,
    /// Releases of a site that were live and whose time since then is not over yet, and when they stopped being live.
    pub left: Vec<(ReleaseId, Timestamp)>,
}

/// Makes the table. Where two services claim one address (a rollback may bring an old claim back), the one that
/// claims it in its current specification wins, then the older service.
/// Certificates are those of the rows; `now` says which of them clients accept.
pub fn derive(rows: &[ServiceRows], certificates: &[Certificate], now: Timestamp) -> Table {
    let mut table = Table::default();
    let mut claims: Vec<(&RouteSpec, bool, &ServiceRows)> = Vec::new();
    for row in rows.iter().filter(|row| row.service.destroyed_at.is_none()) {
        let current: BTreeSet<&RouteSpec> = row.service.spec.routes.iter().collect();
        let spec = row.live().map_or(&row.service.spec, |release| &release.spec);
        claims.extend(spec.routes.iter().map(|route| (route, !current.contains(route), row)));
    }
    claims.sort_by_key(|(route, is_old_claim, row)| (*route, *is_old_claim, row.service.id));
    claims.dedup_by(|later, first| later.0 == first.0);
    let owners: Vec<(&RouteSpec, &ServiceRows)> =
        claims.into_iter().map(|(route, _, row)| (route, row)).collect();
    for (route, row) in &owners {
        let Some(target) = row.target() else { continue };
        policy::add_route(&mut table, row, route, &target);
        for section in row.spec_now().edge.paths.keys() {
            if policy::is_section_of(section, route, &owners) {
                let below = RouteSpec { host: route.host.clone(), path: section.clone() };
                let mut target = target.clone();
                if let Target::Site { base, .. } = &mut target {
                    *base = Some(route.path.clone());
                }
                policy::add_route(&mut table, row, &below, &target);
            }
        }
    }
    table.routes.sort_by(|a, b| (&a.host, &a.path).cmp(&(&b.host, &b.path)));
    let https = owners.iter().filter(|(_, row)| row.target().is_some());
    let https = https.map(|(route, row)| (&route.host, row.spec_now().https));
    table.hosts = serve::policies(https, certificates, now);
    table.certificates = serve::certificates(certificates, now);
    table.challenges = serve::challenges(certificates);
    for row in rows {
        let upstreams = row.upstreams();
        let is_routed = table
            .routes
            .iter()
            .any(|route| matches!(&route.target, Target::Service { service } if *service == row.service.id));
        if is_routed || !upstreams.is_empty() {
            let expose_release = row.spec_now().expose_release;
            let name = row.service.place.to_string();
            let is_paused = row.is_paused(&upstreams);
            let balance = row.spec_now().tasks().map(|work| work.balance.clone()).unwrap_or_default();
            let canary = row.canary();
            let tls = row.tls(&upstreams);
            let service =
                ServiceUpstreams { name, expose_release, upstreams, is_paused, canary, balance, tls };
            table.services.insert(row.service.id, service);
        }
    }
    table
}

impl ServiceRows {
    fn live(&self) -> Option<&Release> {
        self.releases.get(&self.service.live?)
    }

    fn spec_now(&self) -> &havre_core::service::spec::ServiceSpec {
        self.live().map_or(&self.service.spec, |release| &release.spec)
    }

    fn target(&self) -> Option<Target> {
        if self.spec_now().tasks().is_some() {
            return Some(Target::Service { service: self.service.id });
        }
        let release = self.live()?;
        let Artifact::Site { digest } = &release.artifact else { return None };
        let havre_core::service::spec::Work::Site(site) = &release.spec.work else { return None };
        Some(Target::Site {
            digest: digest.clone(),
            release: release.id,
            spa: site.spa,
            expose_release: release.spec.expose_release,
            base: None,
            clean_urls: site.settings.clean_urls,
            trailing_slash: site.settings.trailing_slash,
            cdn: site.settings.cdn.as_ref().map(|spec| self.cdn(spec)),
            earlier: self.earlier(digest, site.settings.keep_assets),
        })
    }

    fn canary(&self) -> Option<Canary> {
        self.open.iter().find_map(|deployment| {
            let State::Canary { .. } = deployment.state else { return None };
            let release = self.releases.get(&deployment.release)?;
            let percent = release.spec.tasks()?.canary.as_ref()?.percent;
            Some(Canary { release: release.id, percent })
        })
    }

    /// Old tasks have stopped and new ones are not live yet, as a stop-first update wants it.
    fn is_paused(&self, upstreams: &[Upstream]) -> bool {
        let is_open = self.open.iter().any(|deployment| {
            let strategy = self.releases.get(&deployment.release).map(|release| release.spec.strategy());
            !deployment.state.is_final()
                && strategy.unwrap_or_else(|| self.service.spec.strategy()) == Strategy::Recreate
        });
        is_open
            && self.service.live.is_some()
            && !upstreams.iter().any(|upstream| upstream.role == Role::Live)
    }

    /// Files open pages may ask for, the release that was left last first. An edge compares the times with its own clock,
    /// so nothing here changes when they pass; the row goes a little later, and with it the entry.
    fn earlier(&self, live: &Digest, keep: Span) -> Vec<EarlierSite> {
        let mut left = self.left.clone();
        left.sort_by_key(|(release, at)| std::cmp::Reverse((*at, *release)));
        let mut earlier: Vec<EarlierSite> = Vec::new();
        for (release, at) in left.into_iter().filter(|_| keep > Span::seconds(0)) {
            let Some(Artifact::Site { digest }) =
                self.releases.get(&release).map(|release| &release.artifact)
            else {
                continue;
            };
            if digest != live && !earlier.iter().any(|other| other.digest == *digest) {
                earlier.push(EarlierSite { digest: digest.clone(), until: at.after(keep.duration()) });
            }
        }
        earlier.truncate(EARLIER_MAX);
        earlier
    }

    /// Without the address that is called after a switch: control calls it, and no edge needs to know it.
    fn cdn(&self, spec: &CdnSpec) -> SiteCdn {
        let spec = CdnSpec { purge: None, ..spec.clone() };
        SiteCdn { spec, tag: site_tag(&self.service.place) }
    }

    fn upstreams(&self) -> Vec<Upstream> {
        let mut upstreams: Vec<Upstream> = self.tasks.iter().filter_map(|task| self.upstream(task)).collect();
        upstreams.sort_by_key(|upstream| upstream.task);
        upstreams
    }

    fn tls(&self, upstreams: &[Upstream]) -> BTreeMap<ReleaseId, TlsSpec> {
        let of_release = |upstream: &Upstream| {
            let work = self.releases.get(&upstream.release)?.spec.tasks()?;
            Some((upstream.release, work.tls.clone()?))
        };
        upstreams.iter().filter_map(of_release).collect()
    }

    fn upstream(&self, task: &Task) -> Option<Upstream> {
        let release = self.releases.get(&task.release)?;
        let work = release.spec.tasks()?;
        let role = self.role(task);
        Some(Upstream {
            task: task.id,
            release: task.release,
            address: SocketAddrV4::new(task.address?, work.port?.get()),
            protocol: work.protocol,
            role,
            probe_path: work.health.path.clone(),
            probe_host: probe_host(release),
            probe_timeout: work.health.timeout,
            probe_interval: work.health.interval,
            checks: checks(work, role),
        })
    }

    fn role(&self, task: &Task) -> Role {
        let is_live = self.service.live == Some(task.release);
        let is_candidate = self.open.iter().any(|deployment| match deployment.state {
            State::Starting { .. }
            | State::Verifying { .. }
            | State::Canary { .. }
            | State::Switching { .. } => deployment.release == task.release,
            // Tasks that were started again to go back to.
            State::Reverting { .. } => deployment.previous == Some(task.release) && task.proven_at.is_none(),
            _ => false,
        });
        if !task.wanted.is_run() || self.service.destroyed_at.is_some() {
            return Role::Draining;
        }
        match (is_live, task.proven_at.is_some()) {
            (true, true) => Role::Live,
            (true, false) => Role::Standby,
            (false, _) if is_candidate => Role::Standby,
            (false, _) => Role::Draining,
        }
    }
}

/// The host users ask for, because some frameworks refuse others.
fn probe_host(release: &Release) -> String {
    release.spec.routes.first().map_or_else(|| release.spec.name.to_string(), |route| route.host.to_string())
}

fn checks(work: &TaskWork, role: Role) -> Vec<havre_core::service::spec::CheckSpec> {
    if role == Role::Standby { work.checks.clone() } else { Vec::new() }
}
