//! The seam: what a build is asked for, what it says while it runs, how it ends.
//! Does not queue, retry or supersede builds: the `build` loop does. Tests at the end of the file; every builder
//! passes `tests/it/contract.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use havre_core::artifact::{Artifact, ImageRef};
use havre_core::id::{BuildId, ServiceId};
use havre_core::name::BuildSecretName;
use havre_core::quantity::ByteSize;
use havre_core::registry::{Credentials, RegistryHost};
use havre_core::secret::Secret;
use havre_core::service::Place;
use havre_core::service::spec::ServiceSpec;
use havre_core::time::Timestamp;
use havre_decide::build::admission::Room;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::site::Published;

/// Longest text of one line in bytes; the rest is cut and marked.
pub const LINE_MAX: usize = 16 * 1024;
/// Most lines of one build; later ones are dropped after a line that says so.
pub const LINES_MAX: usize = 50_000;
/// Lines kept in [`BuildError::DockerfileFailed`].
pub const LAST_LINES: usize = 20;

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The attempt; names its tag and temporary folders.
    pub id: BuildId,
    /// Whose artifact it makes, for labels.
    pub service: ServiceId,
    /// Where the service belongs, for labels and the tag.
    pub place: Place,
    /// How to build.
    pub spec: ServiceSpec,
    /// The uploaded context: an uncompressed tar taken in by [`crate::context::ContextWriter`]. Its root is the
    /// folder the specification names (`context`, or `root` of a site without a Dockerfile).
    pub context: PathBuf,
    /// What proves who pulls base images: of the registries its Dockerfile names, and of no others.
    pub credentials: Vec<Credentials>,
    /// Secrets its steps may mount, by name. They go to Docker over a connection of this build, and nowhere else.
    pub secrets: BTreeMap<BuildSecretName, Secret>,
}

/// One line a build says while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildLine {
    /// When it was said, by the clock of the machine that builds.
    pub at: Timestamp,
    /// The step that says it (`[2/4] RUN npm ci`), empty for words of the builder itself.
    pub step: String,
    /// The words: no line break, no terminal codes, at most [`LINE_MAX`] bytes.
    pub text: String,
    /// On the last line of a step of the Dockerfile: whether it came from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was_cached: Option<bool>,
}

/// Makes artifacts.
#[async_trait]
pub trait Builder: std::fmt::Debug + Send + Sync + 'static {
    /// Makes the artifact of `request`. Lines go to `log` as they appear, without the values of its secrets, as the error is; a
    /// receiver that was dropped is no error, a slow one slows the build. Ends soon after `cancel` fires and then leaves nothing half-made.
    ///
    /// Running it again with the same request is fine and makes the same kind of thing again.
    ///
    /// # Errors
    /// See [`BuildError`].
    async fn build(
        &self,
        request: BuildRequest,
        log: mpsc::Sender<BuildLine>,
        cancel: CancellationToken,
    ) -> Result<Artifact, BuildError>;

    /// How much room there is where builds take it. What cannot be found out is left out.
    async fn room(&self) -> Room;

    /// Trims the cache of builds to its budget, the parts that were used longest ago first; what was freed. Nothing else than
    /// cache that no build uses is touched.
    ///
    /// # Errors
    /// [`BuildError::Unreachable`] or [`BuildError::Failed`]; trying again is fine.
    async fn trim_cache(&self) -> Result<ByteSize, BuildError>;

    /// Every published site.
    ///
    /// # Errors
    /// [`BuildError::Failed`] when their folder cannot be read.
    async fn list_sites(&self) -> Result<Vec<Published>, BuildError>;

    /// Removes a published site unless it was published again since it was listed; whether it is gone. Removing one that
    /// is gone is fine.
    ///
    /// # Errors
    /// [`BuildError::Failed`] when it cannot be removed; trying again is fine.
    async fn remove_site(&self, site: &Published) -> Result<bool, BuildError>;
}

/// Cause of an error; shared, so that errors can be cloned into scripts and rows.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a build made nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// It was asked to stop.
    #[error("the build was cancelled")]
    Cancelled,
    /// The Dockerfile cannot be read, or one of its steps failed. Permanent: the same input fails again.
    #[error("{}", dockerfile_message(.step, .message))]
    DockerfileFailed {
        /// The step, empty when the Dockerfile could not even be read.
        step: String,
        /// What BuildKit says about it.
        message: String,
        /// The last lines of that step, of any step where it said nothing; at most [`LAST_LINES`].
        last_lines: Vec<String>,
    },
    /// It took more memory than builds may. Permanent: it would again.
    #[error("the build used more than its {limit} of memory (havred.toml [build] memory)")]
    OutOfMemory {
        /// What builds may use together.
        limit: ByteSize,
        /// The step, where one is known.
        step: String,
        /// The last lines of that step; at most [`LAST_LINES`].
        last_lines: Vec<String>,
    },
    /// It started more processes than builds may. Permanent.
    #[error("the build started more than its {limit} processes (havred.toml [build] pids)")]
    OutOfProcesses {
        /// What builds may have together, threads included.
        limit: u32,
        /// The step, where one is known.
        step: String,
        /// The last lines of that step; at most [`LAST_LINES`].
        last_lines: Vec<String>,
    },
    /// A registry refused a base image (401, 403). Permanent until somebody gives us credentials, or others.
    #[error(
        "the registry denied access to the base image {image}: {message}; `havre registry set {}` gives it a user and a password",
        registry_of(.image)
    )]
    Denied {
        /// Image that was asked for.
        image: String,
        /// What the registry said.
        message: String,
    },
    /// A registry wants fewer pulls of base images (429). Passes with time.
    #[error("the registry limits how often the base image {image} may be pulled: {message}; try again later")]
    RateLimited {
        /// Image that was asked for.
        image: String,
        /// What the registry said.
        message: String,
    },
    /// The uploaded context is no tar, or holds something it must not. Permanent.
    #[error("the uploaded context is not usable: {reason}")]
    ContextInvalid {
        /// What is wrong with it, naming the entry.
        reason: String,
    },
    /// The disk is full, here or where Docker keeps its images. Worth a retry once somebody made room.
    #[error("no space left on disk to {what}; free some, for example with `docker builder prune`")]
    NoSpace {
        /// What was being done.
        what: String,
    },
    /// Docker does not answer. Worth a retry.
    #[error("could not reach Docker to {what}; is it running? (`systemctl status docker`)")]
    Unreachable {
        /// What was being done.
        what: String,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The image or the upload does not hold what the site needs. Permanent.
    #[error("{path} is missing from the finished site")]
    OutputMissing {
        /// Path inside the image, or inside the upload for a folder.
        path: String,
    },
    /// The finished site holds something that must not be served. Permanent.
    #[error("the finished site is not usable: {reason}")]
    OutputInvalid {
        /// What is wrong with it, naming the entry.
        reason: String,
    },
    /// A limit was passed. Permanent.
    #[error("{what} is too large: the limit is {limit}")]
    TooLarge {
        /// What is.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// It ran for too long. Permanent: it would again.
    #[error("the build was stopped after {limit}")]
    TimedOut {
        /// The limit, with its unit.
        limit: String,
    },
    /// Anything else, worth a retry.
    #[error("could not {what}")]
    Failed {
        /// What was being done.
        what: String,
        /// Why not.
        #[source]
        source: Cause,
    },
}

fn dockerfile_message(step: &str, message: &str) -> String {
    if step.is_empty() {
        return format!("the Dockerfile cannot be built: {message}");
    }
    format!("step {step} failed: {message}")
}

/// The registry of an image, as `havre registry set` wants it.
fn registry_of(image: &str) -> String {
    let image = image.parse::<ImageRef>();
    image.map_or_else(|_| "HOST".to_owned(), |image| RegistryHost::of(&image).to_string())
}

impl BuildError {
    /// Whether the same request must fail again, so that only a person can help.
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::DockerfileFailed { .. }
            | Self::OutOfMemory { .. }
            | Self::OutOfProcesses { .. }
            | Self::Denied { .. }
            | Self::ContextInvalid { .. }
            | Self::OutputMissing { .. }
            | Self::OutputInvalid { .. }
            | Self::TooLarge { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled => true,
            Self::RateLimited { .. }
            | Self::NoSpace { .. }
            | Self::Unreachable { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// The step of the Dockerfile that failed, empty when none did.
    pub fn step(&self) -> &str {
        match self {
            Self::DockerfileFailed { step, .. }
            | Self::OutOfMemory { step, .. }
            | Self::OutOfProcesses { step, .. } => step,
            _ => "",
        }
    }

    /// The last log lines of that step.
    pub fn last_lines(&self) -> &[String] {
        match self {
            Self::DockerfileFailed { last_lines, .. }
            | Self::OutOfMemory { last_lines, .. }
            | Self::OutOfProcesses { last_lines, .. } => last_lines,
            _ => &[],
        }
    }

    /// Wraps a cause; a full disk is told apart from everything else.
    pub(crate) fn failed(
        what: impl fmt::Display,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let what = what.to_string();
        if is_no_space(&source) {
            return Self::NoSpace { what };
        }
        Self::Failed { what, source: Arc::new(source) }
    }
}

/// Whether an error or one of its causes says that a disk is full: as an I/O error of ours, or in the words of a
/// daemon that passes it on as text (`write /var/lib/docker/…: no space left on device`).
pub(crate) fn is_no_space(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(io, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded))
            || says_no_space(&error.to_string())
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// The words of ENOSPC and EDQUOT.
pub(crate) fn says_no_space(text: &str) -> bool {
    text.contains("no space left on device") || text.contains("disk quota exceeded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let ours = std::io::Error::from_raw_os_error(28);
        assert!(matches!(BuildError::failed("write x", ours), BuildError::NoSpace { .. }));
        let text = "write /var/lib/docker/tmp/x: no space left on device";
        let theirs = std::io::Error::other(text);
        assert!(matches!(BuildError::failed("write x", theirs), BuildError::NoSpace { .. }));
        let other = std::io::Error::from_raw_os_error(13);
        assert!(matches!(BuildError::failed("write x", other), BuildError::Failed { .. }));
    }

    #[test]
    fn messages_name_the_step() {
        let error = |step: &str| BuildError::DockerfileFailed {
            step: step.to_owned(),
            message: "exit code: 1".to_owned(),
            last_lines: Vec::new(),
        };
        assert_eq!(error("[2/2] RUN false").to_string(), "step [2/2] RUN false failed: exit code: 1");
        assert_eq!(error("").to_string(), "the Dockerfile cannot be built: exit code: 1");
    }
}
