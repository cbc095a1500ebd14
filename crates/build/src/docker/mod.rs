//! Builds with the Docker Engine's own BuildKit. API 1.41 (Debian 12) is enough: no Dockerfile syntax image is pulled.
//! Whether the Docker that answers is new enough is the engine's to say. Tests in `tests/it/docker.rs`.

mod cache;
mod channel;
mod image;
mod isolated;
mod output;
mod progress;
mod session;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum};
use bollard::{API_DEFAULT_VERSION, Docker};
use havre_core::artifact::{Artifact, Digest};
use havre_core::quantity::ByteSize;
use havre_core::secret::Secret;
use havre_core::service::spec::{DockerfileSource, ImageSource, SiteSource, Work};
use havre_decide::build::admission::Room;
use havre_decide::build::limit::{self, Blame, Resource, exit_code};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::builder::{BuildError, BuildLine, BuildRequest, Builder};
use crate::limit::{Fence, Warning, Watch};
use crate::line::LineSink;
use crate::redact;
use crate::room;
use crate::site::{Limits, Published, Sites};

/// The `id` by which a step mounts the certificates of [`Options::ca`]. A build secret of the project with this name comes before them.
pub const CA_SECRET: &str = "HAVRE_CA";
/// Most bytes of such a file: what BuildKit takes as one secret.
pub const CA_MAX: usize = 500 * 1024;

/// Longest wait for the head of an answer in seconds. While a context is sent none comes, so it is as long as a
/// build may be.
const ANSWER_TIMEOUT: u64 = 3600;
/// Longest wait for what Docker says of itself.
const ASK_MAX: Duration = Duration::from_secs(10);
/// Longest build. A build that hangs would hold its place in the queue for ever.
const BUILD_MAX: Duration = Duration::from_secs(3600);

/// What a [`DockerBuilder`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Docker's socket, usually `/var/run/docker.sock`.
    pub socket: PathBuf,
    /// Folder of published sites; made when absent.
    pub sites_dir: PathBuf,
    /// Name of this installation, for labels.
    pub installation: String,
    /// What builds may use together; `None` for no limits.
    pub fence: Option<Fence>,
    /// Folder of contexts and logs of builds, whose disk must have room.
    pub build_dir: PathBuf,
    /// Build arguments of every build, such as `HTTP_PROXY`; those of a service come before them. Only arguments that Docker knows
    /// by itself: others would stand in the history of images.
    pub args: BTreeMap<String, String>,
    /// Certificates of authorities that steps of every build may mount as [`CA_SECRET`].
    pub ca: Option<Secret>,
    /// What Docker's cache of builds may take once it has been trimmed; `None` leaves it alone.
    pub cache: Option<ByteSize>,
}

/// The real builder.
#[derive(Debug)]
pub struct DockerBuilder {
    options: Options,
    sites: Sites,
    warning: Warning,
}

impl DockerBuilder {
    /// Opens the folder of sites and removes what interrupted builds left in it. Docker need not run yet.
    ///
    /// # Errors
    /// See [`Sites::open`].
    pub fn open(options: Options) -> Result<Self, BuildError> {
        let sites = Sites::open(&options.sites_dir, Limits::default())?;
        Ok(Self { options, sites, warning: Warning::default() })
    }

    /// What people should know about the limits of builds, such as that there are none.
    pub fn warning(&self) -> Option<String> {
        self.warning.text()
    }

    /// Removes containers that interrupted builds made to take files out of images. Call it once Docker answers and
    /// before the first build.
    ///
    /// # Errors
    /// [`BuildError::Unreachable`] or [`BuildError::Failed`].
    pub async fn remove_leftovers(&self) -> Result<(), BuildError> {
        let docker = connect(&self.options.socket, "remove what interrupted builds left")?;
        output::remove_leftovers(&docker, &self.options.installation).await
    }

    /// Does the work; ends soon after `cancel`.
    async fn run(
        &self,
        request: &BuildRequest,
        log: &LineSink,
        cancel: &CancellationToken,
    ) -> Result<Artifact, BuildError> {
        match &request.spec.work {
            Work::Tasks(work) => match &work.source {
                ImageSource::Dockerfile(source) => {
                    let docker = connect(&self.options.socket, "build the image")?;
                    let id =
                        self.build_image(&docker, self.image_build(request, source), log, cancel).await?;
                    Ok(Artifact::Image { id, pull: None })
                }
                ImageSource::Image { reference } => Err(BuildError::ContextInvalid {
                    reason: format!("{reference} is a finished image, there is nothing to build"),
                }),
            },
            Work::Site(work) => {
                let digest = match &work.source {
                    SiteSource::Folder { .. } => self.publish_folder(request, log, cancel).await?,
                    SiteSource::Dockerfile { build, output } => {
                        let docker = connect(&self.options.socket, "build the site")?;
                        let build = self.image_build(request, build);
                        let image = self.build_image(&docker, build, log, cancel).await?;
                        log.say(format!("publishing the files of {output}")).await;
                        let from = output::Output { image: &image, folder: output.as_str() };
                        let work = (request, cancel);
                        let published =
                            output::publish(&docker, &self.options.installation, &self.sites, from, work)
                                .await;
                        // Only its files are wanted; what makes the next build fast is kept by BuildKit.
                        image::remove(&docker, request).await;
                        published?
                    }
                };
                Ok(Artifact::Site { digest })
            }
        }
    }

    fn image_build(&self, request: &BuildRequest, source: &DockerfileSource) -> image::Build {
        image::Build {
            socket: self.options.socket.clone(),
            installation: self.options.installation.clone(),
            request: request.clone(),
            source: source.clone(),
            args: self.options.args.clone(),
            ca: self.options.ca.clone(),
        }
    }

    async fn build_image(
        &self,
        docker: &Docker,
        build: image::Build,
        log: &LineSink,
        cancel: &CancellationToken,
    ) -> Result<Digest, BuildError> {
        let watch = self.watch(docker).await;
        let (log, stop) = (log.clone(), cancel.child_token());
        let (request, stopped) = (build.request.clone(), stop.clone());
        let work = async move || {
            let docker = connect(&build.socket, "build the image")?.with_request_modifier(image::by_buildkit);
            tokio::select! {
                biased;
                // Dropping the other future closes the connection, and BuildKit stops with it.
                () = stopped.cancelled() => Err(BuildError::Cancelled),
                result = image::build(&docker, &build, &log) => result,
            }
        };
        let work = isolated::isolated("build the image", work);
        let result = match &watch {
            Some((watch, limits)) => fenced(work, &stop, watch, limits).await,
            None => work.await,
        };
        if result.is_err() {
            // It may have been named a moment before we gave up on it.
            image::remove(docker, &request).await;
        }
        result
    }

    /// Sets limits for the steps and begins to count.
    async fn watch(&self, docker: &Docker) -> Option<(Watch, limit::Limits)> {
        let fence = self.options.fence.as_ref()?;
        // One that does not answer fails the build in a moment, and clearly.
        let info = ask(docker).await;
        let is_by_docker = info.cgroup_driver == Some(SystemInfoCgroupDriverEnum::CGROUPFS);
        Some((Watch::start(fence, is_by_docker, self.warning.clone()), fence.limits))
    }

    async fn publish_folder(
        &self,
        request: &BuildRequest,
        log: &LineSink,
        cancel: &CancellationToken,
    ) -> Result<Digest, BuildError> {
        log.say("publishing the uploaded files").await;
        let (sites, context, id) = (self.sites.clone(), request.context.clone(), request.id);
        let cancel = cancel.clone();
        let work = move || {
            let file = std::fs::File::open(&context)
                .map_err(|error| BuildError::failed("open the uploaded context", error))?;
            sites.publish(id, std::io::BufReader::new(file), None, &cancel)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| BuildError::failed("publish the site", error))?
    }
}

#[async_trait]
impl Builder for DockerBuilder {
    async fn build(
        &self,
        request: BuildRequest,
        log: mpsc::Sender<BuildLine>,
        cancel: CancellationToken,
    ) -> Result<Artifact, BuildError> {
        // Fires also when this future is dropped, so that blocking work ends then too.
        let cancel = cancel.child_token();
        let _stop = cancel.clone().drop_guard();
        let redactor = redact::redactor(&request.secrets);
        let log = LineSink::new(log, cancel.clone(), redactor.clone());
        let work = self.run(&request, &log, &cancel);
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => result.map_err(|error| redact::error(&redactor, error)),
            () = tokio::time::sleep(BUILD_MAX) => {
                cancel.cancel();
                // Lets it clean up.
                let _ = work.await;
                Err(BuildError::TimedOut { limit: format!("{} minutes", BUILD_MAX.as_secs() / 60) })
            }
        }
    }

    async fn room(&self) -> Room {
        let mut folders = vec![self.options.build_dir.clone()];
        if let Ok(docker) = connect(&self.options.socket, "ask where its images are") {
            folders.extend(ask(&docker).await.docker_root_dir.map(PathBuf::from));
        }
        let look = move || {
            let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
            room::observe(&folders)
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    async fn trim_cache(&self) -> Result<ByteSize, BuildError> {
        let Some(budget) = self.options.cache else { return Ok(ByteSize::bytes(0)) };
        cache::trim(&connect(&self.options.socket, "trim the cache of builds")?, budget).await
    }

    async fn list_sites(&self) -> Result<Vec<Published>, BuildError> {
        let sites = self.sites.clone();
        let listed = tokio::task::spawn_blocking(move || sites.list()).await;
        let failed = |error| BuildError::failed("list the published sites", error);
        listed.map_err(|error| BuildError::failed("list the published sites", error))?.map_err(failed)
    }

    async fn remove_site(&self, site: &Published) -> Result<bool, BuildError> {
        let what = format!("remove the site {}", site.digest.short());
        let (sites, site) = (self.sites.clone(), site.clone());
        let removed = tokio::task::spawn_blocking(move || sites.remove(&site)).await;
        removed
            .map_err(|error| BuildError::failed(&what, error))?
            .map_err(|error| BuildError::failed(&what, error))
    }
}

/// What Docker says of itself; nothing when it does not answer soon.
async fn ask(docker: &Docker) -> SystemInfo {
    let answer = tokio::time::timeout(ASK_MAX, docker.info()).await;
    answer.ok().and_then(Result::ok).unwrap_or_default()
}

/// Ends the work when it runs into a limit again and again, and names the limit where one made it fail.
async fn fenced(
    work: impl Future<Output = Result<Digest, BuildError>>,
    stop: &CancellationToken,
    watch: &Watch,
    limits: &limit::Limits,
) -> Result<Digest, BuildError> {
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => result.map_err(|error| blamed(error, watch, limits)),
        resource = watch.exhausted() => {
            stop.cancel();
            // Lets it clean up. What it made in the very last moment counts.
            work.await.map_err(|_| exhausted(resource, limits, String::new(), Vec::new()))
        }
    }
}

fn blamed(error: BuildError, watch: &Watch, limits: &limit::Limits) -> BuildError {
    let BuildError::DockerfileFailed { step, message, last_lines } = error else { return error };
    let message = match watch.blame(exit_code(&message), &last_lines) {
        Some(Blame::Certain(resource)) => return exhausted(resource, limits, step, last_lines),
        Some(Blame::Likely(Resource::Memory)) => format!(
            "{message}; a process of it was killed, because builds may use {} of memory (havred.toml [build] memory)",
            limits.memory
        ),
        Some(Blame::Likely(Resource::Pids)) => {
            format!("{message}; builds may have {} processes (havred.toml [build] pids)", limits.pids)
        }
        None => message,
    };
    BuildError::DockerfileFailed { step, message, last_lines }
}

fn exhausted(
    resource: Resource,
    limits: &limit::Limits,
    step: String,
    last_lines: Vec<String>,
) -> BuildError {
    match resource {
        Resource::Memory => BuildError::OutOfMemory { limit: limits.memory, step, last_lines },
        Resource::Pids => BuildError::OutOfProcesses { limit: limits.pids, step, last_lines },
    }
}

/// A connection of its own for each build. Nothing is sent yet.
fn connect(socket: &Path, what: &str) -> Result<Docker, BuildError> {
    Docker::connect_with_unix(&socket.to_string_lossy(), ANSWER_TIMEOUT, API_DEFAULT_VERSION)
        .map_err(|error| BuildError::Unreachable { what: what.to_owned(), source: Arc::new(error) })
}
