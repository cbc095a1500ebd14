//! A test world: real store in a temporary folder, fake engine and builder, a hand-driven clock, and an edge that
//! takes the table, probes and reports like the real one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use havre_acme::fake::{FakeAuthority, FakeDns};
use havre_build::fake::FakeBuilder;
use havre_core::artifact::{Digest, ImageRef};
use havre_core::deployment::event::Event as DeploymentEvent;
use havre_core::deployment::{Deployment, Kind};
use havre_core::event::{Actor, EventKind};
use havre_core::id::{BuildId, DeploymentId, ReleaseId, ServiceId, TaskId};
use havre_core::name::{AbsolutePath, HostName, ProbeTarget};
use havre_core::quantity::{ByteSize, Span};
use havre_core::route::https::CertificatePurpose;
use havre_core::route::{Checks, EdgeView, Health, Role, Table, Target, UpstreamView};
use havre_core::service::spec::{
    Argv, HealthSpec, ImageSource, RouteSpec, SPEC_VERSION, ServiceSpec, StopSignal, TaskWork, VolumeSpec,
    Work, defaults,
};
use havre_core::task::EngineState;
use havre_core::task::spec::Purpose;
use havre_core::time::Timestamp;
use havre_decide::build::admission::{DiskFloor, Floors};
use havre_engine::Engine;
use havre_engine::fake::FakeEngine;
use havre_engine::fake::script::Script;
use havre_engine::log::LogSource;
use havre_provider::fake::FakeProviders;
use havre_reconcile::clock::ManualClock;
use havre_reconcile::public::{PublicAnswer, PublicError, PublicProbe};
use havre_reconcile::world::{PlatformFiles, Seams, Settings, World as Common, edge_network};
use havre_reconcile::{build, route, service};
use havre_source::fake::FakeSource;
use havre_source::git::lfs::LfsFolder;
use havre_store::{OpenOptions, Store};
use havre_x509::inspect::leaf_der;

use crate::loops::{self, World};
use crate::outward::{FakeCdn, FakeForge, FakeHub, FakePlaces};

/// What must be free before a build starts.
pub(crate) const FLOORS: Floors =
    Floors { memory: ByteSize::mebibytes(256), disk: DiskFloor::Bytes(ByteSize::mebibytes(2048)) };

/// What outlives a control process: the disk, the engine, the edge, the clock.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    pub(crate) folder: Arc<tempfile::TempDir>,
    pub(crate) engine: FakeEngine,
    pub(crate) builder: Arc<FakeBuilder>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) edge: Arc<FakeEdge>,
    pub(crate) authority: FakeAuthority,
    pub(crate) dns: FakeDns,
    pub(crate) cdn: Arc<FakeCdn>,
    pub(crate) forge: Arc<FakeForge>,
    pub(crate) hub: Arc<FakeHub>,
    pub(crate) source: Arc<FakeSource>,
    pub(crate) places: Arc<FakePlaces>,
    pub(crate) providers: Arc<FakeProviders>,
    /// Exit code of release commands.
    pub(crate) command_exit: Arc<AtomicI64>,
}

/// An edge: its table, and which images answer how.
#[derive(Debug, Default)]
pub(crate) struct FakeEdge {
    pub(crate) state: Mutex<EdgeState>,
}

#[derive(Debug, Default)]
pub(crate) struct EdgeState {
    pub(crate) is_up: bool,
    pub(crate) generation: u64,
    pub(crate) table: Table,
    pub(crate) health: BTreeMap<TaskId, Health>,
    /// Releases whose tasks never answer well, with the reason.
    pub(crate) broken: BTreeMap<ReleaseId, String>,
    pub(crate) in_flight: BTreeMap<TaskId, u64>,
    /// Releases that answer every fifth user with an error, although their probes succeed.
    pub(crate) worse: BTreeSet<ReleaseId>,
    /// It does not take a table in which this release is live: it stays behind, and says so.
    pub(crate) refused: Option<ReleaseId>,
    /// It has no address for HTTPS.
    pub(crate) lacks_https: bool,
    /// Chains it has fetched, by digest: of certificates for challenges only.
    chains: BTreeMap<Digest, String>,
    /// What it presents to who asks like an issuer, whatever the table says, in DER.
    pub(crate) presented: Option<Vec<u8>>,
    /// What the public listener answers, whatever the table says; no answer is told by its message.
    pub(crate) public: Option<Result<PublicAnswer, String>>,
    /// Tasks whose checks have ended.
    checked: BTreeSet<TaskId>,
    /// Every release that a user could have been answered by, in order of first appearance.
    pub(crate) served: Vec<ReleaseId>,
    /// Moments at which a service with a live release had nobody to answer.
    pub(crate) outages: u32,
}

impl Outside {
    pub(crate) fn new() -> Self {
        let edge = FakeEdge::default();
        edge.state.lock().unwrap().is_up = true;
        let outside = Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            engine: FakeEngine::new(),
            builder: Arc::new(FakeBuilder::new()),
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000))),
            edge: Arc::new(edge),
            authority: FakeAuthority::new(),
            dns: FakeDns::new(),
            cdn: Arc::default(),
            forge: Arc::default(),
            hub: Arc::default(),
            source: Arc::default(),
            places: Arc::default(),
            providers: Arc::default(),
            command_exit: Arc::default(),
        };
        for folder in ["sites", "logs", "job-logs", "builds", "backup"] {
            std::fs::create_dir(outside.path(folder)).unwrap();
        }
        outside
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        Path::join(self.folder.path(), name)
    }

    /// Starts a control process.
    pub(crate) fn control(&self) -> Control {
        self.start(false)
    }

    /// The same, and repositories may be fetched from this machine.
    pub(crate) fn control_with_private_remotes(&self) -> Control {
        self.start(true)
    }

    fn start(&self, remote_private: bool) -> Control {
        let store = Store::open(OpenOptions {
            path: self.path("store.sqlite"),
            installation: "test".to_owned(),
            probe_key: "key".to_owned(),
            edge_pool: "10.213.0.0/16".parse().unwrap(),
            environment_pool: "10.214.0.0/16".parse().unwrap(),
            master_key: Some(havre_store::MasterKey::new([7; 32])),
        })
        .unwrap();
        let seams = Seams {
            engine: Arc::new(self.engine.clone()),
            builder: Arc::clone(&self.builder) as _,
            clock: Arc::clone(&self.clock) as _,
            public: Arc::clone(&self.edge) as _,
            authority: Arc::new(self.authority.clone()),
            dns: Arc::new(self.dns.clone()),
            purger: Arc::clone(&self.cdn) as _,
            forges: Arc::clone(&self.forge) as _,
            limits: Arc::clone(&self.hub) as _,
            source: Arc::clone(&self.source) as _,
            repositories: Arc::clone(&self.places) as _,
            providers: Arc::clone(&self.providers) as _,
        };
        let settings = Settings {
            edge_network: edge_network("10.213.0.0/16", "10.213.0.1".parse().unwrap()),
            sites_dir: self.path("sites"),
            task_log_dir: self.path("logs"),
            job_log_dir: self.path("job-logs"),
            build_dir: self.path("builds"),
            lfs: LfsFolder::open(self.path("lfs")).unwrap(),
            build_capacity: 1,
            build_floors: FLOORS,
            public_addresses: vec!["203.0.113.7".parse().unwrap()],
            remote_private,
            public_url: Some("https://havre.example.org".parse().unwrap()),
            backup_dir: self.path("backup"),
            platform: PlatformFiles {
                config: vec![self.path("havred.toml")],
                never: self.path("master.key"),
            },
        };
        let world = loops::world(Common::new(store, seams, settings));
        Control { world, outside: self.clone() }
    }
}

/// A control process.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) world: World,
    pub(crate) outside: Outside,
}

impl Control {
    pub(crate) async fn apply(&self, spec: ServiceSpec) -> ServiceId {
        let now = self.world.now();
        self.world
            .store
            .write(now, Actor::Local, move |tx| {
                let environment =
                    tx.ensure_environment("dropit".parse().unwrap(), "production".parse().unwrap())?;
                Ok(tx.apply_service(environment.id, spec)?.0.id)
            })
            .await
            .unwrap()
    }

    /// Asks for a build; the image it makes behaves as the fake engine is told.
    pub(crate) async fn build(&self, id: ServiceId) -> BuildId {
        let now = self.world.now();
        self.world
            .store
            .write(now, Actor::Local, move |tx| {
                let service = tx.get_service(id)?;
                Ok(tx.create_build(id, service.spec, service.revision, "abc123".to_owned())?.id)
            })
            .await
            .unwrap()
    }

    /// Asks for a release that is there already.
    pub(crate) async fn request(&self, id: ServiceId, release: ReleaseId, kind: Kind) -> Deployment {
        let now = self.world.now();
        self.world
            .store
            .write(now, Actor::Local, move |tx| tx.create_deployment(id, release, kind))
            .await
            .unwrap()
    }

    pub(crate) async fn deployments(&self, id: ServiceId) -> Vec<Deployment> {
        self.world.store.read(move |view| view.list_deployments(id, 100)).await.unwrap()
    }

    pub(crate) async fn last_deployment(&self, id: ServiceId) -> Deployment {
        self.deployments(id).await.remove(0)
    }

    pub(crate) async fn service(&self, id: ServiceId) -> havre_core::service::Service {
        self.world.store.read(move |view| view.get_service(id)).await.unwrap()
    }

    pub(crate) async fn deployment(&self, id: DeploymentId) -> Deployment {
        self.world.store.read(move |view| view.get_deployment(id)).await.unwrap()
    }

    /// States the newest deployment has entered, in this order.
    pub(crate) async fn states(&self, id: ServiceId) -> Vec<&'static str> {
        let last = self.last_deployment(id).await.id;
        let events = self.world.store.read(move |view| view.events(0, Some(id), u32::MAX)).await.unwrap();
        let entered = events.iter().filter_map(|event| match &event.kind {
            EventKind::Deployment(DeploymentEvent::StateChanged { deployment, to })
                if *deployment == last =>
            {
                Some(to.name())
            }
            _ => None,
        });
        entered.collect()
    }

    /// Goes on until the newest deployment is in a state it does not leave without time or help.
    pub(crate) async fn reach(&self, id: ServiceId, state: &str) {
        for _ in 0..50 {
            if self.last_deployment(id).await.state.name() == state {
                return;
            }
            self.activate().await;
            self.edge_catches_up().await;
        }
        panic!("never {state}: {:?}", self.last_deployment(id).await);
    }

    /// One activation of every loop; work in the background ends too.
    pub(crate) async fn activate(&self) {
        route::activate(&self.world).await.unwrap();
        build::activate(&self.world).await.unwrap();
        self.background().await;
        for service in self.world.store.read(|view| view.list_services()).await.unwrap() {
            if let Err(error) = service::advance(&self.world, service.id).await {
                // As the runner does: the next activation tries again.
                println!("advance: {error:?}");
            }
        }
        self.background().await;
    }

    pub(crate) async fn background(&self) {
        while !self.world.tracker.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.world.engine_changed();
    }

    /// The edge catches up, then the loops run, until nothing changes; waits for time where only time is missing.
    pub(crate) async fn settle(&self) {
        for _ in 0..300 {
            let before = self.fingerprint().await;
            self.outside.commands_end().await;
            self.activate().await;
            self.edge_catches_up().await;
            self.activate().await;
            if before == self.fingerprint().await {
                let open = self.world.store.read(|view| view.list_open_deployments()).await.unwrap();
                let builds = self.world.store.read(|view| view.list_open_builds()).await.unwrap();
                let tasks = self.world.store.read(|view| view.list_all_tasks()).await.unwrap();
                if open.is_empty() && builds.is_empty() && tasks.iter().all(|task| task.wanted.is_run()) {
                    return;
                }
                self.outside.clock.advance(Span::seconds(5).duration());
            }
        }
        let open = self.world.store.read(|view| view.list_open_deployments()).await.unwrap();
        panic!("the world does not settle; open: {open:?}; engine: {:?}", self.outside.engine.done());
    }

    async fn fingerprint(&self) -> (u64, usize, u64) {
        let last = self.world.store.read(|view| view.last_event()).await.unwrap();
        let generation = self.outside.edge.state.lock().unwrap().generation;
        (last, self.outside.engine.done().len(), generation)
    }

    /// What the real edge does: take the table, probe, report.
    pub(crate) async fn edge_catches_up(&self) {
        let (generation, table) = self.world.store.read(|view| view.route_table()).await.unwrap();
        let tasks = self.outside.engine.list_tasks().await.unwrap_or_default();
        let chains = self.challenge_chains(&table).await;
        let report = {
            let mut state = self.outside.edge.state.lock().unwrap();
            if !state.is_up {
                return;
            }
            if !state.refuses(&table) {
                state.take(generation, table, &tasks);
                state.chains = chains;
            }
            state.report(self.world.now())
        };
        self.world.store.record_edge_report(report);
    }

    /// Material by digest, as far as it is there.
    async fn challenge_chains(&self, table: &Table) -> BTreeMap<Digest, String> {
        let mut chains = BTreeMap::new();
        for entry in table.certificates.iter().filter(|one| one.purpose == CertificatePurpose::TlsAlpn01) {
            let digest = entry.digest.clone();
            let chain = self.world.store.read(move |view| view.find_chain(&digest)).await.unwrap();
            chains.extend(chain.map(|chain| (entry.digest.clone(), chain)));
        }
        chains
    }
}

impl EdgeState {
    fn refuses(&self, table: &Table) -> bool {
        let mut upstreams = table.services.values().flat_map(|service| &service.upstreams);
        upstreams.any(|one| one.role == Role::Live && Some(one.release) == self.refused)
    }

    fn take(&mut self, generation: u64, table: Table, tasks: &[havre_engine::task::EngineTask]) {
        self.generation = generation;
        self.table = table;
        self.health.clear();
        let upstreams: Vec<_> = self.table.services.values().flat_map(|s| s.upstreams.clone()).collect();
        for upstream in upstreams {
            let runs = tasks.iter().any(|task| {
                task.purpose == Purpose::Task { task: upstream.task }
                    && matches!(task.state, EngineState::Running { .. })
                    && task.edge_address() == Some(*upstream.address.ip())
            });
            let health = match (runs, self.broken.get(&upstream.release)) {
                (false, _) => Health::Unhealthy { reason: "connection refused".to_owned() },
                (true, Some(reason)) => Health::Unhealthy { reason: reason.clone() },
                (true, None) => Health::Healthy,
            };
            if upstream.role == Role::Live
                && health == Health::Healthy
                && !self.served.contains(&upstream.release)
            {
                self.served.push(upstream.release);
            }
            self.health.insert(upstream.task, health);
        }
        if !self.served.is_empty() && self.answering().is_empty() && !self.table.routes.is_empty() {
            self.outages += 1;
        }
    }

    /// Releases that answer users of an address now.
    fn answering_at(&self, wanted: &RouteSpec) -> Vec<ReleaseId> {
        let route = self.table.routes.iter().find(|one| one.host == wanted.host && one.path == wanted.path);
        let mut releases = match route.map(|route| &route.target) {
            Some(Target::Service { service, .. }) => self.healthy(*service),
            Some(Target::Site { release, .. }) => vec![*release],
            None => Vec::new(),
        };
        releases.dedup();
        releases
    }

    fn healthy(&self, service: ServiceId) -> Vec<ReleaseId> {
        let upstreams = self.table.services.get(&service).into_iter().flat_map(|service| &service.upstreams);
        upstreams
            .filter(|upstream| upstream.role == Role::Live)
            .filter(|upstream| self.health.get(&upstream.task) == Some(&Health::Healthy))
            .map(|upstream| upstream.release)
            .collect()
    }

    /// Releases that answer users now.
    pub(crate) fn answering(&self) -> Vec<ReleaseId> {
        let mut releases: Vec<ReleaseId> = self
            .table
            .services
            .values()
            .flat_map(|service| &service.upstreams)
            .filter(|upstream| upstream.role == Role::Live)
            .filter(|upstream| self.health.get(&upstream.task) == Some(&Health::Healthy))
            .map(|upstream| upstream.release)
            .chain(self.table.routes.iter().filter_map(|route| match route.target {
                Target::Site { release, .. } => Some(release),
                Target::Service { .. } => None,
            }))
            .collect();
        releases.dedup();
        releases
    }

    fn report(&mut self, now: Timestamp) -> EdgeView {
        let mut upstreams = BTreeMap::new();
        for service in self.table.services.values() {
            let tried = service.canary.as_ref().map(|canary| canary.release);
            for upstream in &service.upstreams {
                let health = self.health.get(&upstream.task).cloned().unwrap_or(Health::Unknown);
                // Checks begin with the first good probe and have ended by the report after it.
                let is_checked = upstream.checks.is_empty()
                    || (health == Health::Healthy && !self.checked.insert(upstream.task));
                let has_users = upstream.role == Role::Live || tried == Some(upstream.release);
                let is_worse = has_users && self.worse.contains(&upstream.release);
                let view = UpstreamView {
                    health,
                    checks: if is_checked { Checks::Passed } else { Checks::Pending },
                    in_flight: self.in_flight.get(&upstream.task).copied().unwrap_or(0),
                    requests: if is_worse { 100 } else { 0 },
                    errors: if is_worse { 20 } else { 0 },
                };
                upstreams.insert(upstream.task, view);
            }
        }
        EdgeView {
            edge: "node".to_owned(),
            instance: "1".to_owned(),
            generation: self.generation,
            listeners: vec!["127.0.0.1:80".parse().unwrap()],
            https: if self.lacks_https { Vec::new() } else { vec!["127.0.0.1:443".parse().unwrap()] },
            at: now,
            upstreams,
        }
    }
}

#[async_trait]
impl PublicProbe for FakeEdge {
    async fn ask(
        &self,
        listener: SocketAddr,
        route: &RouteSpec,
        _: &str,
    ) -> Result<PublicAnswer, PublicError> {
        let state = self.state.lock().unwrap();
        let failed = |message: &str| {
            let message = message.to_owned();
            Err(PublicError::NoAnswer { listener, route: route.to_string(), message })
        };
        if !state.is_up {
            return failed("connection refused");
        }
        match &state.public {
            Some(Ok(answer)) => return Ok(answer.clone()),
            Some(Err(message)) => return failed(message),
            None => {}
        }
        match state.answering_at(route).as_slice() {
            [release] => Ok(PublicAnswer { status: 200, release: Some(release.to_string()) }),
            _ => Ok(PublicAnswer { status: 503, release: None }),
        }
    }

    async fn fetch(
        &self,
        listener: SocketAddr,
        host: &HostName,
        path: &str,
    ) -> Result<(u16, String), PublicError> {
        let state = self.state.lock().unwrap();
        if !state.is_up {
            let message = "connection refused".to_owned();
            return Err(PublicError::NoAnswer { listener, route: format!("{host}{path}"), message });
        }
        let token = path.rsplit('/').next().unwrap_or_default();
        let found = state.table.challenges.iter().find(|one| one.host == *host && one.token == token);
        Ok(found.map_or((404, String::new()), |one| (200, one.answer.clone())))
    }

    async fn shake(&self, listener: SocketAddr, host: &HostName) -> Result<Vec<u8>, PublicError> {
        let state = self.state.lock().unwrap();
        if let (true, Some(presented)) = (state.is_up, &state.presented) {
            return Ok(presented.clone());
        }
        let mut entries = state.table.certificates.iter();
        let found = entries.find(|one| {
            one.purpose == CertificatePurpose::TlsAlpn01 && one.names.iter().any(|name| name.covers(host))
        });
        let chain = found.filter(|_| state.is_up).and_then(|one| state.chains.get(&one.digest));
        chain.and_then(|chain| leaf_der(chain)).ok_or_else(|| PublicError::NoAnswer {
            listener,
            route: format!("{host} by TLS"),
            message: "unrecognised name".to_owned(),
        })
    }
}

impl Outside {
    /// An image `api:<tag>` that a registry has, and how its tasks behave.
    pub(crate) fn add_image(&self, tag: &str, script: Script) {
        let mut hex = String::new();
        tag.bytes().for_each(|byte| hex.push_str(&format!("{byte:02x}")));
        let id: Digest = format!("{hex:0<64}").parse().unwrap();
        let name: ImageRef = format!("api:{tag}").parse().unwrap();
        let pull = format!("api@{id}").parse().unwrap();
        self.engine.add_image(&id, Some(pull), script);
        self.engine.name_image(&name, Ok(id));
    }

    /// Running release commands end with the code that was set.
    async fn commands_end(&self) {
        for task in self.engine.list_tasks().await.unwrap_or_default() {
            let is_command = matches!(task.purpose, Purpose::ReleaseCommand { .. });
            if is_command && matches!(task.state, EngineState::Running { .. }) {
                self.engine.print(&task.name, LogSource::Stdout, "migrating");
                self.engine.exit_task(&task.name, self.command_exit.load(Ordering::SeqCst));
            }
        }
    }
}

pub(crate) fn work(tag: &str) -> TaskWork {
    TaskWork {
        source: ImageSource::Image { reference: format!("api:{tag}").parse().unwrap() },
        port: std::num::NonZeroU16::new(3000),
        protocol: Default::default(),
        tls: None,
        health: HealthSpec {
            path: ProbeTarget::root(),
            is_default: true,
            timeout: defaults::HEALTH_TIMEOUT,
            interval: defaults::HEALTH_INTERVAL,
        },
        checks: Vec::new(),
        command: None,
        release_command: None,
        uses: Vec::new(),
        env: BTreeMap::new(),
        secrets: Default::default(),
        replicas: 2,
        memory: defaults::MEMORY,
        cpus: defaults::CPUS,
        pids: defaults::PIDS,
        volumes: Vec::new(),
        stop_signal: StopSignal::Sigterm,
        stop_grace: defaults::STOP_GRACE,
        drain: defaults::DRAIN,
        start_timeout: defaults::START_TIMEOUT,
        release_timeout: defaults::RELEASE_TIMEOUT,
        canary: None,
        bake: Span::seconds(0),
        balance: havre_core::service::balance::BalanceSpec::default(),
    }
}

pub(crate) fn with_release_command(mut work: TaskWork) -> TaskWork {
    work.release_command = Some(Argv::try_from(vec!["migrate".to_owned()]).unwrap());
    work
}

pub(crate) fn with_volume(mut work: TaskWork) -> TaskWork {
    work.volumes =
        vec![VolumeSpec { name: "data".parse().unwrap(), path: "/data".parse().unwrap(), backup: None }];
    work.replicas = 1;
    work
}

pub(crate) fn spec(work: TaskWork) -> ServiceSpec {
    ServiceSpec {
        version: SPEC_VERSION,
        name: "api".parse().unwrap(),
        routes: vec![RouteSpec { host: "api.localhost".parse().unwrap(), path: AbsolutePath::root() }],
        expose_release: true,
        edge: Default::default(),
        https: Default::default(),
        work: Work::Tasks(Box::new(work)),
        jobs: Default::default(),
    }
}
