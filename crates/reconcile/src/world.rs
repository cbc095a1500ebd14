//! What the loops act on: the store and the seams, nothing else. Also remembers the engine's last answer, so that a
//! wake-up by an edge report does not cost a call to the engine.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use havre_acme::{Authority, Dns};
use havre_build::builder::Builder;
use havre_core::id::TaskId;
use havre_core::pipeline::status::PublicUrl;
use havre_core::task::spec::EDGE_NETWORK;
use havre_core::time::Timestamp;
use havre_decide::build::admission::Floors;
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_engine::network::NetworkSpec;
use havre_engine::task::EngineTask;
use havre_provider::Providers;
use havre_source::Source;
use havre_source::git::lfs::LfsFolder;
use havre_store::Store;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::certificate::Desk;
use crate::clock::Clock;
use crate::forge::Forges;
use crate::public::PublicProbe;
use crate::purge::Purger;
use crate::registry::PullLimits;
use crate::repositories::Repositories;

/// Places and networks; fixed for the life of the process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `havre-edge` bridge.
    pub edge_network: NetworkSpec,
    /// Published sites, one folder per digest.
    pub sites_dir: PathBuf,
    /// Last logs of removed tasks, one folder per service.
    pub task_log_dir: PathBuf,
    /// Logs of runs of jobs, one folder per service.
    pub job_log_dir: PathBuf,
    /// Uploaded build contexts and build logs.
    pub build_dir: PathBuf,
    /// Contents of Git LFS that were pushed here, and those that were fetched.
    pub lfs: LfsFolder,
    /// Builds at once.
    pub build_capacity: usize,
    /// What must be free before a build starts.
    pub build_floors: Floors,
    /// Public addresses of this machine; found by itself where there are none.
    pub public_addresses: Vec<IpAddr>,
    /// Repositories may be fetched from addresses that are not public, and over plain HTTP; forges may be told so as well.
    pub remote_private: bool,
    /// Where people reach the API; without it, forges get no link.
    pub public_url: Option<PublicUrl>,
    /// Private folder for what is there only while a backup runs.
    pub backup_dir: PathBuf,
    /// What is saved of Havre itself, besides its store.
    pub platform: PlatformFiles,
}

/// Configuration that is saved with the store.
#[derive(Debug, Clone)]
pub struct PlatformFiles {
    /// Files, and folders of files.
    pub config: Vec<PathBuf>,
    /// The master key: never saved, wherever a path leads to it.
    pub never: PathBuf,
}

/// Everything the loops see and touch. Cheap to clone.
#[derive(Debug, Clone)]
pub struct World {
    /// Desired state and history.
    pub store: Store,
    /// Runs tasks.
    pub engine: Arc<dyn Engine>,
    /// Makes artifacts.
    pub builder: Arc<dyn Builder>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Asks the public listener.
    pub public: Arc<dyn PublicProbe>,
    /// Talks to issuers.
    pub authority: Arc<dyn Authority>,
    /// Asks servers of names, writes records.
    pub dns: Arc<dyn Dns>,
    /// Calls CDNs.
    pub purger: Arc<dyn Purger>,
    /// Calls forges.
    pub forges: Arc<dyn Forges>,
    /// Asks Docker Hub how many pulls are left.
    pub limits: Arc<dyn PullLimits>,
    /// Reads repositories.
    pub source: Arc<dyn Source>,
    /// Opens repositories of backups.
    pub repositories: Arc<dyn Repositories>,
    /// Gives values that are kept outside.
    pub providers: Arc<dyn Providers>,
    /// Places and networks.
    pub settings: Arc<Settings>,
    /// Wakes the runner from inside.
    pub wake: Arc<Notify>,
    /// Wakes the loop of certificates from inside.
    pub certificates_wake: Arc<Notify>,
    /// Wakes the loop of pipelines from inside.
    pub pipelines_wake: Arc<Notify>,
    /// Wakes the loop of jobs from inside.
    pub jobs_wake: Arc<Notify>,
    /// Wakes the loop of databases from inside.
    pub databases_wake: Arc<Notify>,
    /// Wakes the loop of backups from inside.
    pub backups_wake: Arc<Notify>,
    /// Wakes the loop of copies from inside.
    pub copies_wake: Arc<Notify>,
    /// Wakes the loop of restores and drills from inside.
    pub restores_wake: Arc<Notify>,
    /// Wakes the loop of swaps from inside.
    pub swaps_wake: Arc<Notify>,
    /// Wakes the loop of tunnels from inside.
    pub tunnels_wake: Arc<Notify>,
    /// Work that outlives one activation: stopping tasks, builds, runs of jobs.
    pub tracker: TaskTracker,
    pub(crate) certificates: Arc<Desk>,
    pub(crate) jobs: Arc<crate::job::Desk>,
    pub(crate) databases: Arc<crate::database::Desk>,
    pub(crate) tunnels: Arc<crate::tunnel::Desk>,
    pub(crate) building: crate::build::Running,
    pub(crate) build_queue: Arc<crate::build::Queue>,
    pub(crate) checking_out: crate::pipeline::CheckingOut,
    pub(crate) fetching: crate::pipeline::Fetching,
    pub(crate) repacking: crate::pipeline::Repacking,
    pub(crate) stopping: Arc<Mutex<BTreeSet<TaskId>>>,
    pub(crate) engine_view: Arc<EngineView>,
}

impl World {
    /// Puts the parts together.
    pub fn new(store: Store, seams: Seams, settings: Settings) -> Self {
        Self {
            store,
            engine: seams.engine,
            builder: seams.builder,
            clock: seams.clock,
            public: seams.public,
            authority: seams.authority,
            dns: seams.dns,
            purger: seams.purger,
            forges: seams.forges,
            limits: seams.limits,
            source: seams.source,
            repositories: seams.repositories,
            providers: seams.providers,
            settings: Arc::new(settings),
            wake: Arc::default(),
            certificates_wake: Arc::default(),
            pipelines_wake: Arc::default(),
            jobs_wake: Arc::default(),
            databases_wake: Arc::default(),
            backups_wake: Arc::default(),
            copies_wake: Arc::default(),
            restores_wake: Arc::default(),
            swaps_wake: Arc::default(),
            tunnels_wake: Arc::default(),
            tracker: TaskTracker::new(),
            certificates: Arc::default(),
            jobs: Arc::default(),
            databases: Arc::default(),
            tunnels: Arc::default(),
            building: Arc::default(),
            build_queue: Arc::default(),
            checking_out: Arc::default(),
            fetching: Arc::default(),
            repacking: Arc::default(),
            stopping: Arc::default(),
            engine_view: Arc::default(),
        }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Forgets the engine's last answer.
    pub fn forget_engine(&self) {
        self.engine_view.forget();
    }

    /// Forgets the engine's last answer and wakes the loops.
    pub fn engine_changed(&self) {
        self.forget_engine();
        self.wake.notify_one();
        self.jobs_wake.notify_one();
        self.databases_wake.notify_one();
        self.restores_wake.notify_one();
        self.swaps_wake.notify_one();
    }

    /// All our tasks as the engine last listed them; asks it when something may have changed since.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn engine_tasks(&self) -> Result<Arc<Vec<EngineTask>>, EngineError> {
        if let Some(tasks) = self.engine_view.get() {
            return Ok(tasks);
        }
        let asked_at = self.engine_view.changes.load(Ordering::SeqCst);
        let tasks = Arc::new(self.engine.list_tasks().await?);
        self.engine_view.put(asked_at, &tasks);
        Ok(tasks)
    }
}

/// The seams a world is made of.
#[derive(Debug, Clone)]
pub struct Seams {
    /// Runs tasks.
    pub engine: Arc<dyn Engine>,
    /// Makes artifacts.
    pub builder: Arc<dyn Builder>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Asks the public listener.
    pub public: Arc<dyn PublicProbe>,
    /// Talks to issuers.
    pub authority: Arc<dyn Authority>,
    /// Asks servers of names, writes records.
    pub dns: Arc<dyn Dns>,
    /// Calls CDNs.
    pub purger: Arc<dyn Purger>,
    /// Calls forges.
    pub forges: Arc<dyn Forges>,
    /// Asks Docker Hub how many pulls are left.
    pub limits: Arc<dyn PullLimits>,
    /// Reads repositories.
    pub source: Arc<dyn Source>,
    /// Opens repositories of backups.
    pub repositories: Arc<dyn Repositories>,
    /// Gives values that are kept outside.
    pub providers: Arc<dyn Providers>,
}

/// The engine's last answer, valid until something may have changed.
#[derive(Debug, Default)]
pub(crate) struct EngineView {
    changes: AtomicU64,
    tasks: Mutex<Option<Arc<Vec<EngineTask>>>>,
}

impl EngineView {
    fn get(&self) -> Option<Arc<Vec<EngineTask>>> {
        self.tasks.lock().expect("no holder of the view panics").clone()
    }

    fn forget(&self) {
        let mut tasks = self.tasks.lock().expect("no holder of the view panics");
        self.changes.fetch_add(1, Ordering::SeqCst);
        *tasks = None;
    }

    /// Keeps an answer unless something changed after it was asked for.
    fn put(&self, asked_at: u64, answer: &Arc<Vec<EngineTask>>) {
        let mut tasks = self.tasks.lock().expect("no holder of the view panics");
        if self.changes.load(Ordering::SeqCst) == asked_at {
            *tasks = Some(Arc::clone(answer));
        }
    }
}

/// The `havre-edge` bridge with a subnet of ours.
pub fn edge_network(subnet: &str, gateway: std::net::Ipv4Addr) -> NetworkSpec {
    NetworkSpec {
        name: EDGE_NETWORK.to_owned(),
        subnet: subnet.to_owned(),
        gateway,
        isolated: true,
        environment: None,
    }
}
