//! A whole installation for one test: the real `havred` as control and edge, in processes of their own, on the real
//! Docker daemon. Everything it makes carries the label of its own installation and is removed at the end, also after
//! a failure.

pub(crate) mod alone;
pub(crate) mod api;
pub(crate) mod docker;
pub(crate) mod forge_sshd;
pub(crate) mod lfs;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod process;
pub(crate) mod registry;
pub(crate) mod repository;
pub(crate) mod secure;
pub(crate) mod slot;
pub(crate) mod spec;
pub(crate) mod sshd;
pub(crate) mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use havre_api::build::{Build, BuildAccepted};
use havre_api::deployment::Deployment;
use havre_api::environment::{ApplyRequest, ApplyResponse};
use havre_api::node::NodeStatus;
use havre_core::build::State as BuildState;
use havre_core::deployment::state::State;
use havre_core::id::{BuildId, DeploymentId};
use havre_core::service::spec::ServiceSpec;
use hyper::Method;
use tempfile::TempDir;

use api::Api;
use docker::Watch;
use load::Load;
use process::Process;
use slot::Slot;
use spec::HOST;

/// Path of the environment all tests use.
pub(crate) const ENVIRONMENT: &str = "/v1/projects/e2e/environments/production";
/// Path of the service.
pub(crate) const SERVICE: &str = "/v1/projects/e2e/environments/production/services/app";
/// Longest wait for anything: far more than it takes, so that a busy machine changes no result.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// An installation.
pub(crate) struct World {
    /// Its API.
    pub(crate) api: Api,
    /// Where users reach the edge.
    pub(crate) address: SocketAddr,
    /// Its name, as in labels.
    pub(crate) installation: String,
    /// Every start and end of its containers.
    pub(crate) watch: Watch,
    /// Its configuration.
    pub(crate) config: PathBuf,
    processes: Processes,
    dropped_before: u64,
    slot: Slot,
    /// Everything it has on disk.
    pub(crate) folder: TempDir,
}

impl World {
    /// Control and edge, each in a process of its own.
    pub(crate) async fn start() -> Self {
        Self::with_roles(&["control", "edge"]).await
    }

    /// Control and edge, with a key by which control seals values.
    pub(crate) async fn start_sealed() -> Self {
        let mut world = Self::start().await;
        havre_store::MasterKey::create(&world.config.with_file_name("master.key")).expect("a key");
        world.process("control").kill();
        world.start_control().await;
        world
    }

    /// Control and edge as children of `havred supervise`.
    pub(crate) async fn start_supervised() -> Self {
        Self::with_roles(&["supervise"]).await
    }

    async fn with_roles(roles: &[&'static str]) -> Self {
        docker::need_image();
        let dropped_before = docker::dropped_packets();
        let slot = Slot::take();
        let folder = tempfile::Builder::new().prefix("havre-e2e-").tempdir().expect("a folder");
        let config = write_config(folder.path(), &slot);
        slot.remember_config(&config);
        let processes: Vec<_> = roles.iter().map(|role| (*role, Process::start(role, &config))).collect();
        let processes = Processes(processes);
        let api = Api { socket: folder.path().join("control.sock") };
        let status = wait_for_edge(&api).await;
        slot.remember_installation(&status.installation);
        start_ids_at(&folder.path().join("data/store.sqlite"), slot.first_id());
        let address = status.edges[0].listeners[0];
        let watch = Watch::start(&status.installation);
        Self {
            api,
            address,
            installation: status.installation,
            watch,
            config,
            processes,
            dropped_before,
            slot,
            folder,
        }
    }

    /// The process of a role.
    pub(crate) fn process(&mut self, role: &str) -> &mut Process {
        let found = self.processes.0.iter_mut().find(|(name, _)| *name == role);
        &mut found.expect("the role was started").1
    }

    /// Where clients of git reach control.
    pub(crate) fn api_address(&self) -> String {
        self.slot.api_address()
    }

    /// Control again, after it was killed or stopped; waits until it answers.
    pub(crate) async fn start_control(&mut self) {
        let config = self.config.clone();
        *self.process("control") = Process::start("control", &config);
        until("control answers", async || self.api.find::<NodeStatus>("/v1/status").await).await;
    }

    /// Users of the service.
    pub(crate) fn load(&self) -> Load {
        Load::start(self.address, HOST)
    }

    /// Makes `spec` the configuration of the service and asks for a deployment of its image.
    pub(crate) async fn begin(&self, spec: &ServiceSpec) -> BuildId {
        let request = ApplyRequest {
            services: vec![spec.clone()],
            databases: Vec::new(),
            dry_run: false,
            prune: false,
        };
        let _: ApplyResponse = self.api.send(Method::PUT, ENVIRONMENT, &request).await;
        let accepted: BuildAccepted = self.api.send(Method::POST, &format!("{SERVICE}/builds"), &()).await;
        accepted.build.id
    }

    /// How a build ended.
    pub(crate) async fn built(&self, id: BuildId) -> BuildState {
        let path = format!("/v1/builds/{id}");
        let look = async || self.api.find::<Build>(&path).await.filter(|build| build.state.is_final());
        until("the build ends", look).await.state
    }

    /// The deployment a build led to.
    pub(crate) async fn deployment_of(&self, id: BuildId) -> DeploymentId {
        match self.built(id).await {
            BuildState::Succeeded { deployment, .. } => deployment,
            other => panic!("the build ended {}: {other:?}", other.name()),
        }
    }

    /// The deployment once it is over, however often control is away meanwhile.
    pub(crate) async fn ended(&self, id: DeploymentId) -> Deployment {
        let path = format!("/v1/deployments/{id}");
        let look = async || self.api.find::<Deployment>(&path).await.filter(|found| found.is_final);
        until("the deployment ends", look).await
    }

    /// Deploys and waits for the end.
    pub(crate) async fn deploy(&self, spec: &ServiceSpec) -> Deployment {
        let build = self.begin(spec).await;
        self.ended(self.deployment_of(build).await).await
    }

    /// Deploys and wants success; the release that is live now.
    pub(crate) async fn deploy_well(&self, spec: &ServiceSpec) -> String {
        let deployment = self.deploy(spec).await;
        assert_succeeded(&deployment);
        deployment.release.to_string()
    }

    /// Names of its containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        docker::containers(&self.installation).expect("docker answers")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Nobody may make anything any more while it is removed.
        self.processes.end();
        let dropped = docker::dropped_packets() - self.dropped_before;
        if dropped > 0 && std::thread::panicking() {
            eprintln!("the kernel dropped {dropped} packets meanwhile: its table of connections was full");
        }
        match docker::remove_all(&self.installation) {
            Ok(()) => self.slot.forget(),
            // A second panic would hide the first; the next test in this slot tries again.
            Err(error) => eprintln!("could not clean up: {error}"),
        }
    }
}

/// The processes of a world; their logs are shown when its test fails, or when it never becomes whole.
struct Processes(Vec<(&'static str, Process)>);

impl Processes {
    fn end(&mut self) {
        if std::thread::panicking() {
            for (_, process) in &self.0 {
                process.show_log();
            }
        }
        self.0.clear();
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.end();
    }
}

/// The deployment ended well.
#[track_caller]
pub(crate) fn assert_succeeded(deployment: &Deployment) {
    let is_well = matches!(deployment.state, State::Succeeded { .. });
    assert!(is_well, "{} ended {}: {}", deployment.id, deployment.state.name(), deployment.failure);
}

/// Looks until there is something to see.
#[track_caller]
pub(crate) fn until<T, F: AsyncFnMut() -> Option<T>>(what: &str, look: F) -> impl Future<Output = T> {
    let at = std::panic::Location::caller();
    wait(what, at, look)
}

async fn wait<T, F: AsyncFnMut() -> Option<T>>(what: &str, at: &std::panic::Location<'_>, mut look: F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begun.elapsed() < LIMIT, "{at}: waited {} s until {what}", LIMIT.as_secs());
        tokio::time::sleep(LOOK).await;
    }
}

async fn wait_for_edge(api: &Api) -> NodeStatus {
    let look = async || {
        let status: NodeStatus = api.find("/v1/status").await?;
        let listens = status.edges.first().is_some_and(|edge| edge.is_fresh && !edge.listeners.is_empty());
        listens.then_some(status)
    };
    until("control and edge are ready", look).await
}

fn write_config(folder: &Path, slot: &Slot) -> PathBuf {
    let at = |name: &str| toml::Value::String(folder.join(name).display().to_string());
    let text = format!(
        "[control]\ndata_dir = {}\nmaster_key = {}\nsites_dir = {}\nsocket = {}\nedge_socket = {}\ngit_socket = {}\n\
         remote_private = true\nprovider_private = true\nlisten = \"{}\"\npublic_url = \"http://{}\"\nedge_network = \"{}\"\nedge_pool = \"{}\"\nenvironment_pool = \"{}\"\n\n\
         [build]\ncache = \"1000GB\"\n\n[edge]\nname = \"edge\"\nlisten = [\"127.0.0.1:0\"]\nhttps = []\nworkers = 2\n\
         control_socket = {}\nstate_dir = {}\nsites_dir = {}\n",
        at("data"),
        at("master.key"),
        at("sites"),
        at("control.sock"),
        at("edge.sock"),
        at("git.sock"),
        slot.api_address(),
        slot.api_address(),
        slot.edge_network(),
        slot.edge_pool(),
        slot.environment_pool(),
        at("edge.sock"),
        at("edge"),
        at("sites"),
    );
    let path = folder.join("havred.toml");
    std::fs::write(&path, text).expect("the configuration is written");
    path
}

/// Two installations on one Docker would both call their first network `havre-e1`, so rows count from a number of the
/// slot's own.
fn start_ids_at(store: &Path, first: i64) {
    let store = rusqlite::Connection::open(store).expect("the store is there");
    store.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    for table in [
        "environments",
        "services",
        "releases",
        "builds",
        "tasks",
        "deployments",
        "job_runs",
        "databases",
        "drills",
        "restores",
        "swaps",
        "tunnels",
    ] {
        let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
        store.execute(sql, (table, first)).expect("ids can start elsewhere");
    }
}
