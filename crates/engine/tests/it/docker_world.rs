//! The stage around Docker. Foreign things are made with bollard directly, never through the engine under test.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, HostConfig, Ipam, IpamConfig, NetworkCreateRequest, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions,
    InspectNetworkOptions, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, RemoveVolumeOptions,
    StartContainerOptions, WaitContainerOptions,
};
use futures_util::{StreamExt, TryStreamExt};
use havre_core::artifact::{Digest, ImageRef};
use havre_core::id::{EnvironmentId, ServiceId};
use havre_core::service::spec::Argv;
use havre_core::task::spec::TaskSpec;
use havre_engine::Engine;
use havre_engine::docker::DockerEngine;
use havre_engine::error::EngineError;
use havre_engine::exec::ExecSpec;
use havre_engine::label;
use tokio::sync::Mutex;

use crate::world::{Act, Kind, World, edge_network, place, private_network};

const IMAGE: &str = "havre-test/engine:1";
/// A static busybox; `script/test` makes it.
const TINY: &str = "havre-test/tiny:1";

pub(crate) struct DockerWorld {
    pub(crate) docker: Docker,
    pub(crate) engine: DockerEngine,
    pub(crate) installation: String,
    number: i64,
    subnets: (Ipv4Addr, Ipv4Addr),
    locks: Vec<std::fs::File>,
    image: Digest,
    foreign: Mutex<Vec<(Kind, String)>>,
    built: Mutex<Vec<String>>,
}

/// Where Docker listens.
pub(crate) fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    PathBuf::from(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock"))
}

pub(crate) fn argv(words: &[&str]) -> Argv {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    words.try_into().expect("a command")
}

fn connect() -> Docker {
    let path = socket();
    Docker::connect_with_unix(&path.to_string_lossy(), 60, bollard::API_DEFAULT_VERSION)
        .unwrap_or_else(|error| panic!("these tests need Docker at {}: {error}", path.display()))
}

/// Busybox and a folder everybody may write to, made from the tiny image, so that the tests need no registry.
async fn make_image(docker: &Docker) {
    let name = format!("havre-t-image-{}", number());
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let body = ContainerCreateBody {
        image: Some(TINY.to_owned()),
        cmd: Some(["/bin/mkdir", "-m", "777", "/data"].map(str::to_owned).to_vec()),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let made = docker.create_container(Some(options), body).await;
    made.expect("these tests need Docker with the image havre-test/tiny:1 (run script/test)");
    docker.start_container(&name, None::<StartContainerOptions>).await.expect("it starts");
    let ended: Result<Vec<_>, _> =
        docker.wait_container(&name, None::<WaitContainerOptions>).try_collect().await;
    ended.expect("the folder is made");
    let options = CommitContainerOptionsBuilder::default()
        .container(&name)
        .repo("havre-test/engine")
        .tag("1")
        .changes("CMD [\"/bin/sh\"]")
        .build();
    let config = bollard::models::ContainerConfig::default();
    docker.commit_container(options, config).await.expect("an image");
    let force = RemoveContainerOptionsBuilder::default().force(true).build();
    docker.remove_container(&name, Some(force)).await.expect("it is there");
}

async fn ensure_image(docker: &Docker) -> Digest {
    // Tests run in processes of their own; two that make it at once would leave one without a name.
    let lock = std::fs::File::create(std::env::temp_dir().join("havre-test-engine.lock")).expect("a file");
    lock.lock().expect("a lock");
    if docker.inspect_image(IMAGE).await.is_err() {
        make_image(docker).await;
    }
    let image = docker.inspect_image(IMAGE).await.expect("it was just made");
    image.id.expect("has an id").parse().expect("is a digest")
}

/// A number no other test of this or of another process has: time and process, 40 bits.
fn number() -> i64 {
    use std::hash::{BuildHasher, RandomState};
    i64::try_from(RandomState::new().hash_one(std::process::id()) & 0xff_ffff_ffff).expect("40 bits") | 1
}

impl DockerWorld {
    /// Makes both networks on subnets nobody else has. Two tests that run at the same time would find the same ones
    /// free, so a lock keeps them for this world until it ends, however it ends.
    async fn make_networks(&mut self) {
        for attempt in 0..128_i64 {
            let pair = u8::try_from((self.number / 7 + attempt) % 128).expect("fits");
            let path = std::env::temp_dir().join(format!("havre-test-engine-subnets-{pair}.lock"));
            let lock = std::fs::File::create(path).expect("a file");
            if lock.try_lock().is_err() {
                continue;
            }
            let at = |byte: u8| Ipv4Addr::new(10, 231, byte, 0);
            self.subnets = (at(pair * 2), at(pair * 2 + 1));
            let private = self.engine.ensure_network(&private_network(self)).await;
            let edge = self.engine.ensure_network(&edge_network(self)).await;
            match (private, edge) {
                (Ok(()), Ok(())) => {
                    self.locks.push(lock);
                    return;
                }
                (Ok(()) | Err(EngineError::Conflict { .. }), Ok(()) | Err(EngineError::Conflict { .. })) => {}
                other => panic!("these tests need Docker: {other:?}"),
            }
            for network in [private_network(self), edge_network(self)] {
                self.engine.remove_network(&network.name).await.expect("it is empty");
            }
        }
        panic!("no free subnet in 10.231.0.0/16: remove the networks of killed tests");
    }

    pub(crate) async fn start_container(&self, name: &str, labels: HashMap<String, String>) {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(vec!["/bin/sleep".to_owned(), "1000".to_owned()]),
            labels: Some(labels),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        self.docker.create_container(Some(options), body).await.expect("a container");
        self.docker.start_container(name, None::<StartContainerOptions>).await.expect("it starts");
        self.foreign.lock().await.push((Kind::Container, name.to_owned()));
    }
}

impl DockerWorld {
    /// What Docker calls a private network of ours in a world whose edge network has a name of its own.
    pub(crate) fn docker_name(&self, network: &str) -> String {
        let number = self.installation.trim_start_matches("contract-");
        network
            .strip_prefix("havre-")
            .map_or_else(|| network.to_owned(), |rest| format!("havre-edge-{number}-{rest}"))
    }
}

#[async_trait]
impl World for DockerWorld {
    async fn start() -> Self {
        let docker = connect();
        let image = ensure_image(&docker).await;
        let number = number();
        let installation = format!("contract-{number}");
        let engine = DockerEngine::new(&socket(), installation.parse().expect("valid"))
            .with_edge_network(&format!("havre-edge-{number}"));
        let none = Ipv4Addr::UNSPECIFIED;
        let mut world = Self {
            docker,
            engine,
            installation,
            number,
            subnets: (none, none),
            locks: Vec::new(),
            image,
            foreign: Mutex::default(),
            built: Mutex::default(),
        };
        world.make_networks().await;
        for network in [private_network(&world), edge_network(&world)] {
            world.engine.remove_network(&network.name).await.expect("it is empty");
        }
        world
    }

    async fn clean(self) {
        for task in self.engine.list_tasks().await.expect("Docker answers") {
            self.engine.remove_task(&task.name).await.expect("it is ours");
        }
        for (kind, name) in self.foreign.lock().await.drain(..) {
            let removed = match kind {
                Kind::Container => {
                    let force = RemoveContainerOptionsBuilder::default().force(true).build();
                    self.docker.remove_container(&name, Some(force)).await
                }
                Kind::Network => self.docker.remove_network(&self.docker_name(&name)).await,
                Kind::Volume => self.docker.remove_volume(&name, None::<RemoveVolumeOptions>).await,
            };
            removed.expect("foreign things are still there");
        }
        for network in [private_network(&self), edge_network(&self)] {
            self.engine.remove_network(&network.name).await.ok();
        }
        self.engine.remove_volume(&crate::world::volume(&self).name).await.ok();
        for image in self.built.lock().await.drain(..) {
            let force = RemoveImageOptionsBuilder::default().force(true).build();
            self.docker.remove_image(&image, Some(force), None).await.ok();
        }
    }

    fn engine(&self) -> &dyn Engine {
        &self.engine
    }

    fn environment(&self) -> EnvironmentId {
        EnvironmentId::new(self.number)
    }

    fn subnets(&self) -> (Ipv4Addr, Ipv4Addr) {
        self.subnets
    }

    async fn direct(&self, task: &mut TaskSpec, act: Act) {
        let script = match act {
            Act::Runs => "trap 'exit 0' TERM; sleep 1000 & wait".to_owned(),
            Act::Exits(code, lines) => {
                let mut script: String = lines.iter().map(|line| format!("echo '{line}'; ")).collect();
                script.push_str(&format!("exit {code}"));
                script
            }
            Act::ObeysUsr1 => "trap '' TERM; trap 'exit 7' USR1; sleep 1000 & wait".to_owned(),
            Act::IgnoresStop => "trap '' TERM; while :; do sleep 1; done".to_owned(),
            Act::TakesAllMemory => "x=x; while :; do x=$x$x; done".to_owned(),
            Act::WritesLongLine(bytes) => format!("head -c {bytes} /dev/zero | tr '\\0' x; echo"),
        };
        task.command = Some(argv(&["/bin/sh", "-c", &script]));
    }

    async fn say(&self, task: &str, line: &str) {
        let exec = ExecSpec {
            argv: argv(&["/bin/sh", "-c", "echo \"$0\" > /proc/1/fd/1", line]),
            env: std::collections::BTreeMap::new(),
            terminal: None,
        };
        let session = self.engine.exec(task, &exec).await.expect("it runs");
        drop(session.input);
        let output: Vec<_> = session.output.collect().await;
        assert_eq!(session.exit_code.await, Ok(0), "{output:?}");
    }

    async fn add_foreign(&self, kind: Kind, name: &str) {
        match kind {
            Kind::Container => return self.start_container(name, HashMap::new()).await,
            Kind::Network => {
                let last = self.subnets.0;
                let pool = IpamConfig { subnet: Some(format!("{last}/24")), ..IpamConfig::default() };
                let request = NetworkCreateRequest {
                    name: self.docker_name(name),
                    ipam: Some(Ipam { config: Some(vec![pool]), ..Ipam::default() }),
                    ..NetworkCreateRequest::default()
                };
                self.docker.create_network(request).await.expect("a network");
            }
            Kind::Volume => {
                let request =
                    VolumeCreateRequest { name: Some(name.to_owned()), ..VolumeCreateRequest::default() };
                self.docker.create_volume(request).await.expect("a volume");
            }
        }
        self.foreign.lock().await.push((kind, name.to_owned()));
    }

    async fn has_foreign(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::Container => {
                let found = self.docker.inspect_container(name, None::<InspectContainerOptions>).await;
                found.is_ok_and(|details| details.state.is_some_and(|state| state.running == Some(true)))
            }
            Kind::Network => {
                let name = self.docker_name(name);
                self.docker.inspect_network(&name, None::<InspectNetworkOptions>).await.is_ok()
            }
            Kind::Volume => self.docker.inspect_volume(name).await.is_ok(),
        }
    }

    async fn add_of_other_installation(&self, name: &str) {
        let labels = [
            (label::INSTALLATION, format!("{}0", self.installation)),
            (label::PURPOSE, "task".to_owned()),
            (label::TASK, "t1".to_owned()),
            (label::SERVICE_ID, "s1".to_owned()),
            (label::RELEASE, "r1".to_owned()),
            (label::ENVIRONMENT_ID, self.environment().to_string()),
        ];
        self.start_container(name, labels.map(|(key, value)| (key.to_owned(), value)).into()).await;
    }

    fn name_at_engine(&self, network: &str) -> String {
        self.docker_name(network)
    }

    async fn leave_half_made(&self, task: &TaskSpec) {
        let task_labels = [
            (label::INSTALLATION, self.installation.clone()),
            (label::PURPOSE, "task".to_owned()),
            (label::TASK, purpose_id(task)),
            (label::SERVICE_ID, task.service.to_string()),
            (label::RELEASE, task.release.to_string()),
            (label::ENVIRONMENT_ID, task.environment.to_string()),
        ];
        let options = CreateContainerOptionsBuilder::default().name(&task.name).build();
        let body = ContainerCreateBody {
            image: Some(task.image.to_string()),
            cmd: task.command.clone().map(Vec::from),
            labels: Some(task_labels.map(|(key, value)| (key.to_owned(), value)).into()),
            host_config: Some(HostConfig {
                network_mode: Some(self.docker_name(&private_network(self).name)),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        self.docker.create_container(Some(options), body).await.expect("a container");
    }

    async fn build_image(&self, service: ServiceId) -> Digest {
        let tag = format!("LABEL {}={service}", label::SERVICE_ID);
        self.commit_image("b1", &[tag]).await
    }

    async fn base_image(&self) -> (Digest, ImageRef) {
        (self.image.clone(), IMAGE.parse().expect("valid"))
    }
}

impl DockerWorld {
    /// Makes an image of ours with two tags from the test image and some lines of a Dockerfile.
    pub(crate) async fn commit_image(&self, tag: &str, lines: &[String]) -> Digest {
        let name = format!("havre-t-source-{}", self.number);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(vec!["/bin/sleep".to_owned()]),
            ..ContainerCreateBody::default()
        };
        self.docker.create_container(Some(options), body).await.expect("a container");
        let repository = format!("havre/{}-{}", place("api").project, self.number);
        let ours = format!("LABEL {}={}", label::INSTALLATION, self.installation);
        let changes = [&[ours, format!("LABEL {}=b1", label::BUILD)], lines].concat();
        let options = CommitContainerOptionsBuilder::default()
            .container(&name)
            .repo(&repository)
            .tag(tag)
            .changes(&changes.join("\n"))
            .build();
        let config = bollard::models::ContainerConfig::default();
        let made = self.docker.commit_container(options, config).await.expect("an image");
        let force = RemoveContainerOptionsBuilder::default().force(true).build();
        self.docker.remove_container(&name, Some(force)).await.expect("it is there");
        let second = bollard::query_parameters::TagImageOptionsBuilder::default()
            .repo(&repository)
            .tag("latest")
            .build();
        self.docker.tag_image(&made.id, Some(second)).await.expect("a second tag");
        self.built.lock().await.push(made.id.clone());
        made.id.parse().expect("is a digest")
    }
}

fn purpose_id(task: &TaskSpec) -> String {
    match task.purpose {
        havre_core::task::spec::Purpose::Task { task } => task.to_string(),
        havre_core::task::spec::Purpose::ReleaseCommand { deployment } => deployment.to_string(),
        havre_core::task::spec::Purpose::OneOff { number } => number.to_string(),
        havre_core::task::spec::Purpose::Job { run, attempt } => format!("{run}-{attempt}"),
        havre_core::task::spec::Purpose::Drill { drill } => drill.to_string(),
        havre_core::task::spec::Purpose::Recovery { restore } => restore.to_string(),
        havre_core::task::spec::Purpose::Test { build } => build.to_string(),
        havre_core::task::spec::Purpose::Database { database, task } => format!("{database}-{task}"),
        havre_core::task::spec::Purpose::TestDatabase { build, number } => format!("{build}-{number}"),
    }
}

/// The socket of Docker, for tests that put something in front of it.
pub(crate) fn engine_at(path: &Path) -> DockerEngine {
    DockerEngine::new(path, "contract-other".parse().expect("valid"))
}
