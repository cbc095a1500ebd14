//! A world of names in memory: one authoritative server and two resolvers that agree with it unless a test says otherwise.
//! Writing goes to the same world, and is seen at once or when the test lets it out ([`FakeDns::hold_back`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use havre_core::dns::provider::Provider;
use havre_core::dns::{CaaRecord, CaaSet, LookupFailure, Server, TxtPlace, TxtRecord, View};
use havre_core::name::{CertificateName, DnsName, HostName};

use crate::dns::Dns;
use crate::error::DnsError;

/// The fake. Clones share one world. A host nobody has set does not exist.
#[derive(Debug, Clone, Default)]
pub struct FakeDns {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    addresses: BTreeMap<HostName, Vec<IpAddr>>,
    /// What resolvers still say instead.
    cached: BTreeMap<HostName, Vec<IpAddr>>,
    failures: BTreeMap<HostName, LookupFailure>,
    caa: BTreeMap<DnsName, Vec<CaaRecord>>,
    delegated: BTreeMap<DnsName, TxtPlace>,
    written: BTreeMap<DnsName, BTreeSet<String>>,
    shown: BTreeMap<DnsName, BTreeSet<String>>,
    is_held_back: bool,
    planned: VecDeque<DnsError>,
    writes: Vec<(bool, TxtRecord)>,
    tries: usize,
}

impl FakeDns {
    /// An empty world.
    pub fn new() -> Self {
        Self::default()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics while it holds the world")
    }

    /// A host and its addresses; none: it exists without an address.
    pub fn set_host(&self, host: &HostName, addresses: &[IpAddr]) {
        self.world().addresses.insert(host.clone(), addresses.to_vec());
    }

    /// The host is gone.
    pub fn remove_host(&self, host: &HostName) {
        self.world().addresses.remove(host);
    }

    /// Resolvers say this of the host, whatever its zone says; `None`: they follow again.
    pub fn set_cached(&self, host: &HostName, addresses: Option<&[IpAddr]>) {
        match addresses {
            Some(addresses) => self.world().cached.insert(host.clone(), addresses.to_vec()),
            None => self.world().cached.remove(host),
        };
    }

    /// Every server fails like this for the host; `None`: no more.
    pub fn set_failure(&self, host: &HostName, failure: Option<LookupFailure>) {
        match failure {
            Some(failure) => self.world().failures.insert(host.clone(), failure),
            None => self.world().failures.remove(host),
        };
    }

    /// CAA records at a name.
    pub fn set_caa(&self, name: &DnsName, records: &[CaaRecord]) {
        self.world().caa.insert(name.clone(), records.to_vec());
    }

    /// The record at `_acme-challenge` is a CNAME to a place elsewhere.
    pub fn delegate(&self, record: &DnsName, place: &TxtPlace) {
        self.world().delegated.insert(record.clone(), place.clone());
    }

    /// Whether what is written stays unseen; letting it out shows all of it.
    pub fn hold_back(&self, is_held_back: bool) {
        let mut world = self.world();
        world.is_held_back = is_held_back;
        world.show();
    }

    /// The next write fails with `error`; several are used up in order.
    pub fn fail_next(&self, error: DnsError) {
        self.world().planned.push_back(error);
    }

    /// A value somebody else has written.
    pub fn put_txt(&self, name: &DnsName, value: &str) {
        let mut world = self.world();
        world.written.entry(name.clone()).or_default().insert(value.to_owned());
        world.show();
    }

    /// The values at a name at the provider, shown or not.
    pub fn values(&self, name: &DnsName) -> Vec<String> {
        self.world().written.get(name).into_iter().flatten().cloned().collect()
    }

    /// All writes that succeeded, `true` for those that added.
    pub fn writes(&self) -> Vec<(bool, TxtRecord)> {
        self.world().writes.clone()
    }

    /// How many writes were asked for, those that failed included.
    pub fn tries(&self) -> usize {
        self.world().tries
    }

    fn write(&self, record: &TxtRecord, adds: bool) -> Result<(), DnsError> {
        let mut world = self.world();
        world.tries += 1;
        if let Some(error) = world.planned.pop_front() {
            return Err(error);
        }
        let values = world.written.entry(record.place.name.clone()).or_default();
        if adds {
            values.insert(record.value.clone());
        } else {
            values.remove(&record.value);
        }
        world.writes.push((adds, record.clone()));
        world.show();
        Ok(())
    }
}

impl World {
    fn show(&mut self) {
        if !self.is_held_back {
            self.shown.clone_from(&self.written);
        }
    }

    fn answer(&self, host: &HostName) -> Result<Vec<IpAddr>, LookupFailure> {
        match (self.failures.get(host), self.addresses.get(host)) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(addresses)) => Ok(addresses.clone()),
            (None, None) => Err(LookupFailure::NoSuchName),
        }
    }
}

fn own() -> Server {
    Server::Authoritative { name: "ns.pretended.test".to_owned(), address: ([192, 0, 2, 53], 53).into() }
}

#[async_trait]
impl Dns for FakeDns {
    async fn addresses(&self, host: &HostName) -> Vec<View<IpAddr>> {
        let world = self.world();
        let answer = world.answer(host);
        let cached = world.cached.get(host).map_or_else(|| answer.clone(), |cached| Ok(cached.clone()));
        let resolver = |last| View {
            server: Server::Resolver { address: ([198, 51, 100, last], 53).into() },
            answer: cached.clone(),
        };
        vec![View { server: own(), answer }, resolver(1), resolver(2)]
    }

    async fn caa(&self, host: &HostName) -> Result<Option<CaaSet>, LookupFailure> {
        let world = self.world();
        if let Some(failure) = world.failures.get(host) {
            return Err(failure.clone());
        }
        let mut name = Some(DnsName::from(host.clone()));
        while let Some(at) = name {
            if let Some(records) = world.caa.get(&at).filter(|records| !records.is_empty()) {
                return Ok(Some(CaaSet { at, records: records.clone() }));
            }
            name = at.parent();
        }
        Ok(None)
    }

    async fn txt(&self, name: &DnsName) -> Vec<View<String>> {
        let values = self.world().shown.get(name).into_iter().flatten().cloned().collect();
        vec![View { server: own(), answer: Ok(values) }]
    }

    async fn challenge_place(&self, name: &CertificateName) -> Result<TxtPlace, DnsError> {
        let record = name.challenge_record().ok_or_else(|| DnsError::NoZone {
            name: name.to_string(),
            message: "the name is too long to have a challenge record".to_owned(),
        })?;
        let zone = name.host().into();
        Ok(self.world().delegated.get(&record).cloned().unwrap_or(TxtPlace { name: record, zone }))
    }

    async fn set_txt(&self, _provider: &Provider, record: &TxtRecord) -> Result<(), DnsError> {
        self.write(record, true)
    }

    async fn clear_txt(&self, _provider: &Provider, record: &TxtRecord) -> Result<(), DnsError> {
        self.write(record, false)
    }
}
