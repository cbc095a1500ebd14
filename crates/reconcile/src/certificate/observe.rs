//! What plans for certificates are made from: rows in one snapshot, edges, and the looks kept in memory. Chooses nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use havre_core::certificate::budget::Placed;
use havre_core::certificate::issuer::Issuer;
use havre_core::certificate::{Certificate, Phase, State};
use havre_core::name::{CertificateName, DnsName, HostName};
use havre_core::route::https::CertificatePurpose;
use havre_core::route::{EdgeView, Table};
use havre_core::service::spec::{HttpsMode, ServiceSpec};
use havre_core::time::Timestamp;
use havre_decide::certificate::seen::{EdgesSeen, Seen, Wanted};
use havre_decide::certificate::{serve, wanted};
use havre_store::certificate::week_before;
use havre_store::{StoreError, View};

use super::sight::{Published, Sight};
use crate::certificate::address::public_addresses;
use crate::world::World;

/// One snapshot.
pub(super) struct Observed {
    pub(super) rows: Vec<Certificate>,
    issuers: Vec<Issuer>,
    zones: Vec<DnsName>,
    history: Vec<Placed>,
    generation: u64,
    table: Table,
    edges: Vec<EdgeView>,
    here: Vec<IpAddr>,
    newcomers: usize,
}

impl Observed {
    pub(super) async fn new(world: &World) -> Result<Self, StoreError> {
        let now = world.now();
        let edges = world.store.edges().into_iter().filter(|edge| edge.is_fresh(now)).collect();
        let here = public_addresses(&world.settings.public_addresses);
        let mut observed = world
            .store
            .read(move |view| {
                let (generation, table) = view.route_table()?;
                Ok(Self {
                    rows: view.list_certificates()?,
                    issuers: view.list_issuers()?,
                    zones: zones(view)?,
                    history: view.list_orders(week_before(now))?,
                    generation,
                    table,
                    edges,
                    here,
                    newcomers: 0,
                })
            })
            .await?;
        observed.newcomers = observed.rows.iter().filter(|row| is_newcomer(row)).count();
        Ok(observed)
    }

    pub(super) fn wanted(&self, row: &Certificate) -> Wanted {
        Wanted {
            issuers: self.issuers.clone(),
            has_provider: row.names.iter().all(|name| wanted::zone_of(name, &self.zones).is_some()),
            here: self.here.clone(),
        }
    }

    pub(super) fn seen(&self, sight: &Sight) -> Seen {
        Seen {
            names: sight.names.clone(),
            edges: EdgesSeen {
                count: self.edges.len(),
                lack_https: self.edges.iter().any(|edge| edge.https.is_empty()),
                know: sight
                    .published
                    .as_ref()
                    .is_some_and(|known| self.edges.iter().all(|edge| edge.generation >= known.generation)),
                gave: sight.gave.clone(),
            },
            zone: sight.zone.clone(),
            asked_issuer_at: sight.asked_issuer_at,
            tidied_at: sight.tidied_at,
            history: self.history.clone(),
            newcomers: self.newcomers,
        }
    }

    /// What this row wants answered and since which generation it is in the table; `None` while it is not.
    pub(super) fn published(&self, row: &Certificate, sight: &Sight) -> Option<Published> {
        let files = serve::answers(row);
        let mut handshakes = serve::certificates(std::slice::from_ref(row), Timestamp::default());
        handshakes.retain(|entry| entry.purpose == CertificatePurpose::TlsAlpn01);
        let is_there = files.iter().all(|file| self.table.challenges.contains(file))
            && handshakes.iter().all(|entry| self.table.certificates.contains(entry));
        if !is_there {
            return None;
        }
        let known = sight.published.as_ref();
        let known = known.filter(|known| known.files == files && known.handshakes == handshakes);
        let generation = known.map_or(self.generation, |known| known.generation.min(self.generation));
        Some(Published { files, handshakes, generation })
    }
}

/// One that is about to get its first certificate.
fn is_newcomer(row: &Certificate) -> bool {
    let is_on_its_way = match &row.state {
        State::Asking { .. } => true,
        // One that waits for its DNS provider asks no issuer for anything.
        State::Ordering { phase, .. } => !matches!(phase, Phase::Stalled { .. }),
        State::Resting { .. } | State::BackingOff { .. } => false,
    };
    row.current.is_none() && row.is_wanted && is_on_its_way
}

fn zones(view: &View<'_>) -> Result<Vec<DnsName>, StoreError> {
    Ok(view.list_dns_providers()?.into_iter().map(|(zone, _)| zone).collect())
}

/// Sets of names that services want: those of the release users get, and of the next one, so that its certificate is there
/// when it goes live.
pub(super) fn wanted_sets(view: &View<'_>, now: Timestamp) -> Result<Vec<Vec<CertificateName>>, StoreError> {
    let mut hosts: BTreeSet<HostName> = BTreeSet::new();
    let mut add = |spec: &ServiceSpec| {
        if spec.https.mode != HttpsMode::Off {
            hosts.extend(spec.routes.iter().map(|route| route.host.clone()));
        }
    };
    for service in view.list_services()?.iter().filter(|service| service.destroyed_at.is_none()) {
        add(&service.spec);
        if let Some(live) = service.live {
            add(&view.get_release(live)?.spec);
        }
    }
    let rows = view.list_certificates()?;
    Ok(wanted::derive(&hosts, &zones(view)?, &rows, now).into_keys().collect())
}
