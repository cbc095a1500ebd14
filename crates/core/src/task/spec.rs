//! Everything an engine needs to run one task; derived from rows, leaves no choice to the engine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::build::Build;
use crate::build::test::TestSpec;
use crate::id::{
    BuildId, DatabaseId, DeploymentId, DrillId, EnvironmentId, JobRunId, ReleaseId, RestoreId, ServiceId,
    TaskId,
};
use crate::job::JobRun;
use crate::name::{AbsolutePath, EnvKey};
use crate::quantity::{ByteSize, Cpus, Span};
use crate::release::Release;
use crate::secret::variables::Variables;
use crate::service::spec::{Argv, StopSignal, TaskWork, defaults};
use crate::service::{Place, Service};
use crate::task::Task;

/// Name of the node-local bridge over which the edge reaches tasks.
pub const EDGE_NETWORK: &str = "havre-edge";

/// What a task runs that belongs to no release: a test, a database, a drill. No release has this id.
pub const NO_RELEASE: ReleaseId = ReleaseId::new(0);

/// One container, completely described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Name of the container, see [`task_container`], [`command_container`], [`job_container`], [`test_container`] and
    /// `test_database_container` of `decide`.
    pub name: String,
    /// Where it belongs.
    pub place: Place,
    /// Whose task it is, [`NO_SERVICE`](crate::database::task::NO_SERVICE) for a database and for a drill.
    pub service: ServiceId,
    /// Its environment, for the network.
    pub environment: EnvironmentId,
    /// What it runs, [`NO_RELEASE`] for a test, for a database and for a drill.
    pub release: ReleaseId,
    /// Why it exists.
    pub purpose: Purpose,
    /// Image to run.
    pub image: Digest,
    /// Replaces the image's command.
    pub command: Option<Argv>,
    /// Environment variables, ours included.
    pub env: BTreeMap<EnvKey, String>,
    /// Environment variables whose values nobody should see; none of them is in `env`. Never written anywhere.
    #[serde(skip)]
    pub secrets: Variables,
    /// Address on [`EDGE_NETWORK`]; `None` keeps it off that network.
    pub edge_address: Option<Ipv4Addr>,
    /// For a test: it has databases, and joins the private network they are on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_databases: bool,
    /// Most memory.
    pub memory: ByteSize,
    /// Most processor time.
    pub cpus: Cpus,
    /// Most processes and threads.
    pub pids: u32,
    /// Engine's name of each volume, and where the task sees it.
    pub volumes: Vec<(String, AbsolutePath)>,
    /// Signal that asks it to stop.
    pub stop_signal: StopSignal,
    /// Wait between that signal and SIGKILL.
    pub stop_grace: Span,
}

/// Whether Havre sets this variable itself.
pub fn is_own_variable(name: &str) -> bool {
    matches!(name, "PORT" | "SOURCE_COMMIT") || name.starts_with("HAVRE_")
}

impl TaskSpec {
    /// Adds variables from outside of the specification; they are stronger than those of `env`, and ours are stronger still, so
    /// that a task can trust them.
    pub fn give(&mut self, variables: &Variables) {
        for (name, value) in variables.iter() {
            if !is_own_variable(name.as_str()) {
                self.env.remove(name);
                self.secrets.add(name.clone(), value.clone());
            }
        }
    }

    /// Whether it has no network at all: a drill holds what somebody entrusted to a database, and nobody should meet it.
    pub const fn is_alone(&self) -> bool {
        matches!(self.purpose, Purpose::Drill { .. } | Purpose::Recovery { .. })
    }

    /// Engine's name of the private network it joins first. Tests of a commit never meet the tasks and databases of an environment: `None` for
    /// one without databases, which runs where steps of a Dockerfile run, and a network of its own for one that has some. `None` also for what
    /// [is alone](Self::is_alone).
    pub fn private_network(&self) -> Option<String> {
        match self.purpose {
            Purpose::Drill { .. } | Purpose::Recovery { .. } => None,
            Purpose::Test { build } => self.has_databases.then(|| test_network(build)),
            Purpose::TestDatabase { build, .. } => Some(test_network(build)),
            Purpose::Task { .. }
            | Purpose::ReleaseCommand { .. }
            | Purpose::OneOff { .. }
            | Purpose::Job { .. }
            | Purpose::Database { .. } => Some(environment_network(self.environment)),
        }
    }

    /// Room for memory its processes share, where that is more than the engine gives by itself.
    pub fn shared_memory(&self) -> Option<ByteSize> {
        match self.purpose {
            Purpose::Database { .. }
            | Purpose::TestDatabase { .. }
            | Purpose::Drill { .. }
            | Purpose::Recovery { .. } => Some(crate::database::task::shared_memory(self.memory)),
            Purpose::Task { .. }
            | Purpose::ReleaseCommand { .. }
            | Purpose::OneOff { .. }
            | Purpose::Job { .. }
            | Purpose::Test { .. } => None,
        }
    }
}

/// Why a container exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Purpose {
    /// A task of a release.
    Task {
        /// Its row.
        task: TaskId,
    },
    /// The release command of a deployment.
    ReleaseCommand {
        /// The deployment.
        deployment: DeploymentId,
    },
    /// A command somebody runs beside the tasks (`havre run`); belongs to the session that started it.
    OneOff {
        /// Random number of the session.
        number: u32,
    },
    /// One attempt of a run of a job.
    Job {
        /// The run.
        run: JobRunId,
        /// Number of the attempt, from 1.
        attempt: u32,
    },
    /// The test command of a service.
    Test {
        /// The build that is the test.
        build: BuildId,
    },
    /// The server of a throw-away database of a test.
    TestDatabase {
        /// The build that is the test.
        build: BuildId,
        /// Which of its databases, from 1.
        number: u32,
    },
    /// The server of a database.
    Database {
        /// The database.
        database: DatabaseId,
        /// Number of the task, from 1.
        task: u32,
    },
    /// The server into which a snapshot is restored to see whether it can be.
    Drill {
        /// The drill.
        drill: DrillId,
    },
    /// What fills the volume of a new database from a base backup and WAL, before its own server starts.
    Recovery {
        /// The restore.
        restore: RestoreId,
    },
}

/// Container name of a task: readable, unique for ever, at most 63 bytes.
pub fn task_container(place: &Place, release: ReleaseId, task: TaskId) -> String {
    // The id alone makes it unique, so long names may be cut.
    format!("havre-{task}-{release}-{}-{}-{}", place.service, place.environment, place.project)
        .chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

/// Container name of a release command.
pub fn command_container(place: &Place, deployment: DeploymentId) -> String {
    format!("havre-{deployment}-release-{}-{}-{}", place.service, place.environment, place.project)
        .chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

/// Container name of a one-off task.
pub fn one_off_container(place: &Place, number: u32) -> String {
    format!("havre-run-{number}-{}-{}-{}", place.service, place.environment, place.project)
        .chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

/// Container name of one attempt of a run of a job: the two numbers alone make it unique for ever.
pub fn job_container(place: &Place, run: &JobRun) -> String {
    let (id, attempt) = (run.id, run.attempt);
    format!("havre-{id}-{attempt}-{}-{}-{}-{}", run.job, place.service, place.environment, place.project)
        .chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

/// Container name of a test.
pub fn test_container(place: &Place, build: BuildId) -> String {
    format!("havre-{build}-test-{}-{}-{}", place.service, place.environment, place.project)
        .chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

/// Engine's name of the private network of an environment.
pub fn environment_network(environment: EnvironmentId) -> String {
    format!("havre-{environment}")
}

/// Engine's name of the private network of a test and its databases.
pub fn test_network(build: BuildId) -> String {
    format!("havre-{build}-test")
}

/// Engine's name of a volume of a service.
pub fn volume_name(service: ServiceId, volume: &crate::name::VolumeName) -> String {
    format!("havre-{service}-{volume}")
}

/// Describes the container of a task.
pub fn derive_task(
    place: &Place,
    environment: EnvironmentId,
    release: &Release,
    task: &Task,
) -> Option<TaskSpec> {
    let mut spec = derive_common(place, environment, release)?;
    spec.name = task_container(place, release.id, task.id);
    spec.purpose = Purpose::Task { task: task.id };
    spec.edge_address = task.address;
    Some(spec)
}

/// Describes the container of a release command; `None` where the release has none.
pub fn derive_command(
    place: &Place,
    environment: EnvironmentId,
    release: &Release,
    deployment: DeploymentId,
) -> Option<TaskSpec> {
    let mut spec = derive_common(place, environment, release)?;
    spec.command = Some(release.spec.tasks()?.release_command.clone()?);
    spec.name = command_container(place, deployment);
    spec.purpose = Purpose::ReleaseCommand { deployment };
    // A migration must not write files of the running release's single-writer volume.
    spec.volumes = Vec::new();
    Some(spec)
}

/// Describes the container of a one-off task; `None` for a site.
pub fn derive_one_off(
    place: &Place,
    environment: EnvironmentId,
    release: &Release,
    number: u32,
    command: Argv,
) -> Option<TaskSpec> {
    let mut spec = derive_common(place, environment, release)?;
    spec.command = Some(command);
    spec.name = one_off_container(place, number);
    spec.purpose = Purpose::OneOff { number };
    // One writer per volume.
    spec.volumes = Vec::new();
    Some(spec)
}

/// Describes the container of the present attempt of a run; `None` where the release has no such job.
pub fn derive_job(
    place: &Place,
    environment: EnvironmentId,
    release: &Release,
    run: &JobRun,
) -> Option<TaskSpec> {
    let mut spec = derive_common(place, environment, release)?;
    spec.command = Some(release.spec.jobs.get(&run.job)?.command.clone());
    spec.name = job_container(place, run);
    spec.purpose = Purpose::Job { run: run.id, attempt: run.attempt };
    // One writer per volume.
    spec.volumes = Vec::new();
    let ours = [
        ("HAVRE_JOB", run.job.to_string()),
        ("HAVRE_JOB_RUN", run.id.to_string()),
        ("HAVRE_JOB_ATTEMPT", run.attempt.to_string()),
        ("HAVRE_JOB_PLANNED_AT", run.planned_at.to_string()),
    ];
    for (key, value) in ours {
        spec.env.insert(key.parse().expect("our own names are valid"), value);
    }
    Some(spec)
}

/// Describes the container of a test command in the image that was built for it. It has no variables of the service, no volumes
/// and no place on a network of an environment.
pub fn derive_test(service: &Service, build: &Build, test: &TestSpec, image: Digest) -> TaskSpec {
    let mut env = BTreeMap::from([(key("CI"), "true".to_owned())]);
    env.extend(test.env.iter().map(|(key, value)| (key.clone(), value.clone())));
    let place = &service.place;
    env.extend([
        (key("HAVRE_PROJECT"), place.project.to_string()),
        (key("HAVRE_ENVIRONMENT"), place.environment.to_string()),
        (key("HAVRE_SERVICE"), place.service.to_string()),
        (key("SOURCE_COMMIT"), build.commit.clone()),
    ]);
    TaskSpec {
        name: test_container(place, build.id),
        place: place.clone(),
        service: service.id,
        environment: service.environment,
        release: NO_RELEASE,
        purpose: Purpose::Test { build: build.id },
        image,
        command: test.command.clone(),
        env,
        secrets: Variables::default(),
        edge_address: None,
        has_databases: !test.databases.is_empty(),
        memory: test.memory,
        cpus: defaults::CPUS,
        pids: defaults::PIDS,
        volumes: Vec::new(),
        stop_signal: StopSignal::Sigterm,
        stop_grace: defaults::STOP_GRACE,
    }
}

fn key(name: &str) -> EnvKey {
    name.parse().expect("our own names are valid")
}

fn derive_common(place: &Place, environment: EnvironmentId, release: &Release) -> Option<TaskSpec> {
    let work = release.spec.tasks()?;
    let crate::artifact::Artifact::Image { id, .. } = &release.artifact else { return None };
    Some(TaskSpec {
        name: String::new(),
        place: place.clone(),
        service: release.service,
        environment,
        release: release.id,
        purpose: Purpose::Task { task: TaskId::new(0) },
        image: id.clone(),
        command: work.command.clone(),
        env: derive_env(place, release, work),
        secrets: Variables::default(),
        edge_address: None,
        has_databases: false,
        memory: work.memory,
        cpus: work.cpus,
        pids: work.pids,
        volumes: work
            .volumes
            .iter()
            .map(|volume| (volume_name(release.service, &volume.name), volume.path.clone()))
            .collect(),
        stop_signal: work.stop_signal,
        stop_grace: work.stop_grace,
    })
}

/// The user's variables plus ours; ours win, so that a task can trust them.
fn derive_env(place: &Place, release: &Release, work: &TaskWork) -> BTreeMap<EnvKey, String> {
    let mut env = work.env.clone();
    let ours = [
        ("HAVRE_PROJECT", place.project.to_string()),
        ("HAVRE_ENVIRONMENT", place.environment.to_string()),
        ("HAVRE_SERVICE", place.service.to_string()),
        ("HAVRE_RELEASE", release.id.to_string()),
        ("SOURCE_COMMIT", release.commit.clone()),
    ];
    let port = work.port.map(|port| ("PORT", port.to_string()));
    for (key, value) in ours.into_iter().chain(port) {
        env.insert(key.parse().expect("our own names are valid"), value);
    }
    env
}
