//! What the contract needs of a world around an engine: images that behave in known ways, and things that are not ours.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use havre_core::artifact::{Digest, ImageRef};
use havre_core::id::{EnvironmentId, ReleaseId, ServiceId, TaskId};
use havre_core::quantity::{ByteSize, Cpus, Span};
use havre_core::service::Place;
use havre_core::service::spec::StopSignal;
use havre_core::task::EngineState;
use havre_core::task::spec::{Purpose, TaskSpec, task_container};
use havre_engine::Engine;
use havre_engine::network::{NetworkEnvironment, NetworkSpec, VolumeSpec};
use havre_engine::task::EngineTask;

/// How a task behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Runs; ends with 0 at SIGTERM.
    Runs,
    /// Writes the lines and ends.
    Exits(i64, Vec<&'static str>),
    /// Ends with 7 at SIGUSR1 and ignores SIGTERM.
    ObeysUsr1,
    /// Ignores SIGTERM.
    IgnoresStop,
    /// Uses more memory than its limit.
    TakesAllMemory,
    /// Writes one line of so many bytes and ends.
    WritesLongLine(usize),
}

/// An engine and a stage around it; each test has its own.
#[async_trait]
pub(crate) trait World: Sized + Send + Sync {
    async fn start() -> Self;

    /// Removes everything of this world.
    async fn clean(self);

    fn engine(&self) -> &dyn Engine;

    /// Numbers that no other world has; the environment and everything else is named after it.
    fn environment(&self) -> EnvironmentId;

    /// First three bytes of addresses of the private network and of the edge network.
    fn subnets(&self) -> (Ipv4Addr, Ipv4Addr);

    /// Makes `task` behave so.
    async fn direct(&self, task: &mut TaskSpec, act: Act);

    /// A running task writes a line to standard output.
    async fn say(&self, task: &str, line: &str);

    /// A container, network or volume of that name that carries no label.
    async fn add_foreign(&self, kind: Kind, name: &str);

    /// Whether that one is still there, a container still running.
    async fn has_foreign(&self, kind: Kind, name: &str) -> bool;

    /// A running container with labels of another installation.
    async fn add_of_other_installation(&self, name: &str);

    /// Makes a task's container without starting it, as a control that is killed in between leaves it.
    async fn leave_half_made(&self, task: &TaskSpec);

    /// What the engine itself calls a network of ours.
    fn name_at_engine(&self, network: &str) -> String {
        network.to_owned()
    }

    /// Makes an image with the labels and tags of a build of ours.
    async fn build_image(&self, service: ServiceId) -> Digest;

    /// An image that is here and was not built by us, with one of its names.
    async fn base_image(&self) -> (Digest, ImageRef);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Container,
    Network,
    Volume,
}

static NEXT: AtomicI64 = AtomicI64::new(1);

pub(crate) fn place(service: &str) -> Place {
    Place {
        project: "contract".parse().expect("valid"),
        environment: "test".parse().expect("valid"),
        service: service.parse().expect("valid"),
    }
}

/// An address of a /24.
pub(crate) fn host(subnet: Ipv4Addr, last: u8) -> Ipv4Addr {
    let [a, b, c, _] = subnet.octets();
    Ipv4Addr::new(a, b, c, last)
}

/// The private network of the world's environment.
pub(crate) fn private_network<W: World>(world: &W) -> NetworkSpec {
    let subnet = world.subnets().0;
    let environment = NetworkEnvironment {
        id: world.environment(),
        project: place("x").project,
        name: place("x").environment,
    };
    NetworkSpec {
        name: havre_core::task::spec::environment_network(world.environment()),
        subnet: format!("{subnet}/24"),
        gateway: host(subnet, 1),
        isolated: false,
        environment: Some(environment),
    }
}

/// The edge network of the world.
pub(crate) fn edge_network<W: World>(world: &W) -> NetworkSpec {
    let subnet = world.subnets().1;
    NetworkSpec {
        name: havre_core::task::spec::EDGE_NETWORK.to_owned(),
        subnet: format!("{subnet}/24"),
        gateway: host(subnet, 1),
        isolated: true,
        environment: None,
    }
}

/// A task that is not made yet, without an address on the edge network.
pub(crate) async fn task<W: World>(world: &W, service: &str, act: Act) -> TaskSpec {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let release = ReleaseId::new(world.environment().row());
    let id = TaskId::new(world.environment().row() * 1000 + number);
    let mut spec = TaskSpec {
        name: task_container(&place(service), release, id),
        place: place(service),
        service: ServiceId::new(world.environment().row()),
        environment: world.environment(),
        release,
        purpose: Purpose::Task { task: id },
        image: world.base_image().await.0,
        command: None,
        env: BTreeMap::new(),
        secrets: Default::default(),
        has_databases: false,
        edge_address: None,
        memory: ByteSize::mebibytes(32),
        cpus: Cpus::millis(500),
        pids: 64,
        volumes: Vec::new(),
        stop_signal: StopSignal::Sigterm,
        stop_grace: Span::seconds(10),
    };
    world.direct(&mut spec, act).await;
    spec
}

/// A volume of the world's service.
pub(crate) fn volume<W: World>(world: &W) -> VolumeSpec {
    let service = ServiceId::new(world.environment().row());
    VolumeSpec { name: format!("havre-{service}-data"), service, place: place("api") }
}

/// The task of that name, `None` when absent.
pub(crate) async fn find<W: World>(world: &W, name: &str) -> Option<EngineTask> {
    let tasks = world.engine().list_tasks().await.expect("the engine answers");
    tasks.into_iter().find(|task| task.name == name)
}

/// Waits until the task has ended and gives its state.
pub(crate) async fn ended<W: World>(world: &W, name: &str) -> EngineState {
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let task = find(world, name).await.expect("an ended task is listed until it is removed");
        if matches!(task.state, EngineState::Exited { .. }) {
            return task.state;
        }
        assert!(tokio::time::Instant::now() < limit, "{name} did not end: {:?}", task.state);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
