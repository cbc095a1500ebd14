//! Specification of a service as it stands in rows: complete, parsed, versioned, with every default filled in.
//! `havre.toml` is turned into it by `havre_manifest`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use crate::artifact::ImageRef;
use crate::backup::policy::VolumeBackup;
use crate::job::spec::JobSpec;
use crate::name::{
    AbsolutePath, BuildSecretName, DatabaseName, EnvKey, HostName, JobName, ProbeTarget, RelativePath,
    ServiceName, StageName, VolumeName,
};
use crate::quantity::{ByteSize, Cpus, Span};
use crate::route::https::Hsts;
use crate::route::settings::EdgeSpec;
use crate::service::balance::BalanceSpec;
use crate::service::tls::TlsSpec;
use crate::site::settings::SiteSettings;

/// Version of [`ServiceSpec`] in rows and on the wire.
pub const SPEC_VERSION: u32 = 1;

/// Everything the user said about one service, defaults included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// See [`SPEC_VERSION`].
    pub version: u32,
    /// Its name.
    pub name: ServiceName,
    /// Where users reach it; empty for a service only other services talk to.
    pub routes: Vec<RouteSpec>,
    /// Answers carry `Havre-Release: r7`.
    pub expose_release: bool,
    /// What the edge does with requests and answers of its routes.
    #[serde(default, skip_serializing_if = "EdgeSpec::is_empty")]
    pub edge: EdgeSpec,
    /// How its hosts treat plain HTTP.
    #[serde(default, skip_serializing_if = "HttpsSpec::is_default")]
    pub https: HttpsSpec,
    /// What runs.
    pub work: Work,
    /// Commands that run by a schedule or when somebody asks; a site has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<JobName, JobSpec>,
}

/// How the hosts of a service treat plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpsSpec {
    /// What becomes of plain requests.
    pub mode: HttpsMode,
    /// Whether browsers are told to insist on HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
}

impl HttpsSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of plain requests to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpsMode {
    /// Sent to HTTPS as soon as there is a certificate; served until then.
    #[default]
    Redirect,
    /// Served like those over HTTPS.
    Both,
    /// Served; no certificate is ordered.
    Off,
}

/// One public address of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Host name users ask for.
    pub host: HostName,
    /// Path prefix on whole segments; `/` for everything.
    pub path: AbsolutePath,
}

impl std::fmt::Display for RouteSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// What a service is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Work {
    /// Processes in containers.
    Tasks(Box<TaskWork>),
    /// Files served by the edge.
    Site(Box<SiteWork>),
}

/// A service that runs processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskWork {
    /// Where the image comes from.
    pub source: ImageSource,
    /// Port the process listens on; `None` for a worker that listens on nothing.
    pub port: Option<NonZeroU16>,
    /// What it speaks on that port.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    pub protocol: Protocol,
    /// How it proves who it is; there when the protocol is one over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// How to know that a task is healthy.
    pub health: HealthSpec,
    /// Checks on a new release before any user sees it.
    pub checks: Vec<CheckSpec>,
    /// Replaces the image's command.
    pub command: Option<Argv>,
    /// Run once, in a task of its own, before a new release starts (migrations).
    pub release_command: Option<Argv>,
    /// Environment variables; `${secrets.NAME}` in one stands for the value of a secret.
    pub env: BTreeMap<EnvKey, String>,
    /// Secrets of the project that tasks get as environment variables of these names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<EnvKey>,
    /// Databases of the environment whose variables its tasks get as well; the first of a kind is the usual one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<DatabaseName>,
    /// Number of tasks.
    pub replicas: u32,
    /// Most memory one task may use.
    pub memory: ByteSize,
    /// Most processor time one task may use.
    pub cpus: Cpus,
    /// Most processes and threads in one task.
    pub pids: u32,
    /// Folders that outlive releases. A service with a volume is deployed by `Recreate`.
    pub volumes: Vec<VolumeSpec>,
    /// Signal that asks a task to stop.
    pub stop_signal: StopSignal,
    /// Wait between the stop signal and SIGKILL.
    pub stop_grace: Span,
    /// Longest wait for requests in flight before an old task is stopped.
    pub drain: Span,
    /// Longest wait for a new release to become healthy.
    pub start_timeout: Span,
    /// Longest run of the release command.
    pub release_timeout: Span,
    /// Part of the clients gets a new release first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanarySpec>,
    /// How long a new release is watched after the switch; zero switches baking off.
    pub bake: Span,
    /// How requests are spread over its tasks.
    #[serde(default)]
    pub balance: BalanceSpec,
}

/// Who gets a new release first, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanarySpec {
    /// Share of the clients, in percent.
    pub percent: u8,
    /// How long, before all of them get it.
    pub hold: Span,
}

/// A service that is a folder of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteWork {
    /// Where the files come from.
    pub source: SiteSource,
    /// Unknown paths without a file extension answer `/index.html`.
    pub spa: bool,
    /// Addresses, releases that are kept, a CDN.
    #[serde(default, skip_serializing_if = "SiteSettings::is_default")]
    pub settings: SiteSettings,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum ImageSource {
    /// Built from a Dockerfile and an uploaded context.
    Dockerfile(DockerfileSource),
    /// Taken from a registry or from the engine as it is.
    Image {
        /// Its name.
        reference: ImageRef,
    },
}

/// A Dockerfile and its context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerfileSource {
    /// Folder that is uploaded, relative to `havre.toml`.
    pub context: RelativePath,
    /// The Dockerfile, relative to `havre.toml`.
    pub dockerfile: RelativePath,
    /// Stage to build; the last one when absent.
    pub target: Option<StageName>,
    /// Build arguments; never secrets, they stay in the image.
    pub args: BTreeMap<EnvKey, String>,
    /// Folder of the program, relative to `havre.toml`, where nobody named a Dockerfile: whoever makes the context takes
    /// the one in this folder, or writes one, and sends it as [`OUTSIDE_DOCKERFILE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_for: Option<RelativePath>,
    /// Secrets of the project that its steps may mount; the values are never a part of a specification.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<BuildSecretName>,
}

/// Name under which a Dockerfile that lies outside of its context, or that Havre has written, travels at the root of the
/// context.
pub const OUTSIDE_DOCKERFILE: &str = ".havre.Dockerfile";

impl DockerfileSource {
    /// For a program whose Dockerfile nobody named. `root` must lie in `context`.
    pub fn written(context: RelativePath, root: RelativePath, args: BTreeMap<EnvKey, String>) -> Self {
        let dockerfile = OUTSIDE_DOCKERFILE.parse().expect("it is a path inside the repository");
        let secrets = BTreeSet::new();
        Self { context, dockerfile, target: None, args, written_for: Some(root), secrets }
    }

    /// The folder of such a program as seen from the context; `None` when the Dockerfile was named, or when the folder
    /// lies outside of the context.
    pub fn root_in_context(&self) -> Option<RelativePath> {
        self.written_for.as_ref()?.inside(&self.context)
    }

    /// Where the Dockerfile lies in the uploaded context: client and builder agree by this function.
    pub fn dockerfile_in_context(&self) -> &str {
        let (context, dockerfile) = (self.context.as_str(), self.dockerfile.as_str());
        if context == "." {
            return dockerfile;
        }
        match dockerfile.strip_prefix(context).and_then(|rest| rest.strip_prefix('/')) {
            Some(inside) => inside,
            None => OUTSIDE_DOCKERFILE,
        }
    }
}

/// Where the files of a site come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum SiteSource {
    /// Built by a Dockerfile; the files are taken out of the image.
    Dockerfile {
        /// How to build.
        #[serde(flatten)]
        build: DockerfileSource,
        /// Folder inside the image.
        output: AbsolutePath,
    },
    /// A folder of finished files, uploaded as it is.
    Folder {
        /// Folder relative to `havre.toml`.
        root: RelativePath,
    },
}

/// How to know that a task is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSpec {
    /// Path of a GET request that must answer 2xx or 3xx.
    pub path: ProbeTarget,
    /// The user named no path; the plan says so.
    pub is_default: bool,
    /// Longest wait for one answer.
    pub timeout: Span,
    /// Pause between probes of a healthy task.
    pub interval: Span,
}

/// One of the user's own checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// Path of a GET request.
    pub path: ProbeTarget,
    /// Exact status asked for.
    pub status: u16,
    /// Text the body must contain; empty for any.
    pub contains: String,
}

/// A folder that outlives releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSpec {
    /// Its name.
    pub name: VolumeName,
    /// Where tasks see it.
    pub path: AbsolutePath,
    /// What is promised for it; absent where it is not saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<VolumeBackup>,
}

/// What tasks speak to the edge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 from the first byte, without TLS: what gRPC servers speak.
    H2c,
    /// HTTP/2 over TLS.
    H2,
}

impl Protocol {
    /// The usual one, which is left out where it is stored.
    pub fn is_http1(&self) -> bool {
        *self == Self::Http1
    }

    /// Whether it is one over TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::H2)
    }

    /// As it stands in `havre.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::H2 => "h2",
        }
    }
}

/// Signals that may ask a task to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// The usual one.
    Sigterm,
    /// Such as PostgreSQL's fast shutdown.
    Sigint,
    /// Such as nginx's graceful stop.
    Sigquit,
    /// For programs that reserve it.
    Sigusr1,
}

impl StopSignal {
    /// The name the engine wants.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sigterm => "SIGTERM",
            Self::Sigint => "SIGINT",
            Self::Sigquit => "SIGQUIT",
            Self::Sigusr1 => "SIGUSR1",
        }
    }
}

/// A command as an argument vector: never empty, no NUL, never read by a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Argv(Vec<String>);

/// A list of words that cannot be a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a command is a list of 1 to 256 words of at most 32768 bytes in all, the first not empty, without NUL"
)]
pub struct ArgvError;

impl Argv {
    /// The words.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Argv {
    type Error = ArgvError;

    fn try_from(words: Vec<String>) -> Result<Self, ArgvError> {
        let bytes: usize = words.iter().map(String::len).sum();
        let first_ok = words.first().is_some_and(|first| !first.is_empty());
        if !first_ok || words.len() > 256 || bytes > 32_768 || words.iter().any(|w| w.contains('\0')) {
            return Err(ArgvError);
        }
        Ok(Self(words))
    }
}

impl From<Argv> for Vec<String> {
    fn from(argv: Argv) -> Self {
        argv.0
    }
}

/// How a new release takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// New tasks beside the old ones, then one switch.
    BlueGreen,
    /// Old tasks stop before new ones start: two writers would corrupt a volume.
    Recreate,
}

impl ServiceSpec {
    /// How a release of this specification takes over.
    pub fn strategy(&self) -> Strategy {
        match &self.work {
            Work::Tasks(work) if !work.volumes.is_empty() => Strategy::Recreate,
            _ => Strategy::BlueGreen,
        }
    }

    /// The part that runs processes, `None` for a site.
    pub fn tasks(&self) -> Option<&TaskWork> {
        match &self.work {
            Work::Tasks(work) => Some(work),
            Work::Site(_) => None,
        }
    }

    /// How it is built, `None` where nothing is.
    pub fn dockerfile(&self) -> Option<&DockerfileSource> {
        match &self.work {
            Work::Tasks(work) => match &work.source {
                ImageSource::Dockerfile(source) => Some(source),
                ImageSource::Image { .. } => None,
            },
            Work::Site(work) => match &work.source {
                SiteSource::Dockerfile { build, .. } => Some(build),
                SiteSource::Folder { .. } => None,
            },
        }
    }

    /// Tasks this specification asks for; zero for a site.
    pub fn replicas(&self) -> u32 {
        self.tasks().map_or(0, |work| work.replicas)
    }

    /// Databases its tasks use; none for a site.
    pub fn uses(&self) -> &[DatabaseName] {
        self.tasks().map(|work| work.uses.as_slice()).unwrap_or_default()
    }

    /// Longest wait for requests in flight.
    pub fn drain(&self) -> Span {
        self.tasks().map_or(Span::seconds(0), |work| work.drain)
    }
}

/// Defaults and bounds, in one place so that documentation and parser agree.
pub mod defaults {
    use crate::quantity::{ByteSize, Cpus, Span};

    /// Memory of one task.
    pub const MEMORY: ByteSize = ByteSize::mebibytes(512);
    /// Least memory an engine accepts and a process can start in.
    pub const MEMORY_MIN: ByteSize = ByteSize::mebibytes(6);
    /// Processor time of one task.
    pub const CPUS: Cpus = Cpus::millis(1000);
    /// Processes and threads of one task; stops a fork bomb, leaves room for a Java program.
    pub const PIDS: u32 = 1024;
    /// Most tasks of one service on one machine.
    pub const REPLICAS_MAX: u32 = 50;
    /// Wait between the stop signal and SIGKILL.
    pub const STOP_GRACE: Span = Span::seconds(10);
    /// Longest wait for requests in flight.
    pub const DRAIN: Span = Span::seconds(30);
    /// Longest wait for a new release to become healthy.
    pub const START_TIMEOUT: Span = Span::seconds(120);
    /// Longest run of a release command.
    pub const RELEASE_TIMEOUT: Span = Span::seconds(600);
    /// Longest wait for one probe.
    pub const HEALTH_TIMEOUT: Span = Span::seconds(2);
    /// Pause between probes of a healthy task.
    pub const HEALTH_INTERVAL: Span = Span::seconds(5);
    /// Pause between probes while a task starts (design section 3).
    pub const STARTING_INTERVAL: Span = Span::millis(100);
    /// Failed probes in a row that turn a healthy task unhealthy.
    pub const UNHEALTHY_AFTER: u32 = 3;
}
