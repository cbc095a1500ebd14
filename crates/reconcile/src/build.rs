//! The build loop: starts queued builds and tests, keeps their logs, turns each finished build into a release and a deployment.
//! One that ran when control ended is simply run again: its context is still on disk.
//! Whether there is room for one is in `build/queue.rs`. Tests: `tests/it/build.rs`, and wherever something is built.

mod database;
mod queue;
mod test;
mod tidy;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use havre_build::builder::{BuildError, BuildLine, BuildRequest, LAST_LINES};
use havre_build::context::context_path;
use havre_core::artifact::{Artifact, ImageRef};
use havre_core::build::report::Steps;
use havre_core::build::{Build, Purpose, State, base};
use havre_core::deployment::Kind;
use havre_core::event::Actor;
use havre_core::id::{BuildId, PipelineId, ServiceId};
use havre_core::name::{BuildSecretName, EnvironmentName, ProjectName};
use havre_core::pipeline;
use havre_core::quantity::Span;
use havre_core::registry::{RegistryHost, hub};
use havre_core::secret::Secret;
use havre_core::service::spec::{ImageSource, ServiceSpec, Work};
use havre_core::service::{Place, Service};
use havre_decide::build::plan::plan;
use havre_decide::registry::limit::{OnRateLimit, on_rate_limit, when_again};
use havre_engine::error::EngineError;
use havre_engine::image::{PullPolicy, ResolvedImage};
use havre_store::{NewRelease, StoreError, View};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::registry;
use crate::world::World;

pub(crate) use queue::Queue;
pub use tidy::tidy;

/// Lines on their way to the log file; a slow disk slows the build.
const LOG_QUEUE: usize = 256;

/// Builds at work in this process.
pub(crate) type Running = Arc<Mutex<BTreeMap<BuildId, CancellationToken>>>;

/// Where the log of a build is kept, one JSON object a line.
pub fn log_path(build_dir: &Path, id: BuildId) -> PathBuf {
    build_dir.join(format!("{id}.log"))
}

/// Moves the builds on: supersedes, starts, cancels.
///
/// # Errors
/// When the store fails.
pub async fn activate(world: &World) -> Result<bool, StoreError> {
    let (open, testing) =
        world.store.read(|view| Ok((view.list_open_builds()?, list_testing(view)?))).await?;
    cancel_closed(world, &open);
    let chosen = plan(&open, &testing, world.settings.build_capacity);
    let now = world.now();
    let mut changed = false;
    for (id, by) in chosen.supersede {
        changed |= set_state(world, &open, id, State::Superseded { at: now, by }).await?;
        discard_context(world, id).await;
    }
    for id in queue::admit(world, &open, chosen.start).await? {
        changed |= set_state(world, &open, id, State::Running { since: now }).await?;
    }
    let open = world.store.read(|view| view.list_open_builds()).await?;
    for build in open.into_iter().filter(|build| matches!(build.state, State::Running { .. })) {
        start(world, build);
    }
    Ok(changed)
}

/// Pipelines whose tests have not all passed.
fn list_testing(view: &View<'_>) -> Result<BTreeSet<PipelineId>, StoreError> {
    let open = view.list_open_pipelines()?.into_iter();
    let testing = open.filter(|one| matches!(one.state, pipeline::State::Testing { .. }));
    Ok(testing.map(|one| one.id).collect())
}

/// A build that starts or ends waits for nothing any more.
async fn set_state(world: &World, open: &[Build], id: BuildId, to: State) -> Result<bool, StoreError> {
    let Some(build) = open.iter().find(|build| build.id == id) else { return Ok(false) };
    let from = build.state.clone();
    let stored = world.store.write(world.now(), Actor::Havre, move |tx| {
        tx.set_build_state(id, &from, to)?;
        tx.set_waiting("build", id.row(), "")
    });
    match stored.await {
        Ok(()) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A build whose row was closed by somebody else is told to stop.
fn cancel_closed(world: &World, open: &[Build]) {
    for (id, cancel) in world.building.lock().expect("no holder panics").iter() {
        if !open.iter().any(|build| build.id == *id) {
            cancel.cancel();
        }
    }
}

fn start(world: &World, build: Build) {
    let cancel = CancellationToken::new();
    {
        let mut running = world.building.lock().expect("no holder panics");
        if running.contains_key(&build.id) {
            return;
        }
        running.insert(build.id, cancel.clone());
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        let id = build.id;
        if let Err(error) = run(&world, build, cancel).await {
            tracing::error!(build = %id, error = %chain(&error), "could not record how a build ended");
            world.clock.sleep(std::time::Duration::from_secs(1)).await;
        }
        world.building.lock().expect("no holder panics").remove(&id);
        world.build_queue.note_end();
        world.wake.notify_one();
    });
}

async fn run(world: &World, build: Build, cancel: CancellationToken) -> Result<(), StoreError> {
    let (lines, received) = mpsc::channel(LOG_QUEUE);
    let writer = tokio::spawn(write_log(log_path(&world.settings.build_dir, build.id), received));
    let result = match &build.purpose {
        Purpose::Artifact => make(world, &build, lines, cancel).await.map(Some),
        Purpose::Test(test) => test::run(world, &build, test, (lines, cancel)).await.map(|()| None),
    };
    // The log is complete before anybody can see that the build has ended.
    let told = writer.await.unwrap_or_default();
    let id = build.id;
    match result {
        Ok(made) => record_success(world, build, made, told).await?,
        Err(Failure { cancelled: true, .. }) => {}
        Err(failure) => record_failure(world, build, failure, told).await?,
    }
    discard_context(world, id).await;
    Ok(())
}

#[derive(Debug, Default)]
struct Failure {
    cancelled: bool,
    reason: String,
    step: String,
    last_lines: Vec<String>,
}

impl Failure {
    fn of(reason: String) -> Self {
        Self { reason, ..Self::default() }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let cancelled = matches!(error, BuildError::Cancelled);
        let reason = chain(&error);
        match error {
            BuildError::DockerfileFailed { step, message, last_lines } => {
                Self { cancelled, reason: message, step, last_lines }
            }
            other => {
                let (step, last_lines) = (other.step().to_owned(), other.last_lines().to_vec());
                Self { cancelled, reason, step, last_lines }
            }
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::of(chain(&error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::of(chain(&error))
    }
}

async fn make(
    world: &World,
    build: &Build,
    lines: mpsc::Sender<BuildLine>,
    cancel: CancellationToken,
) -> Result<Artifact, Failure> {
    let service = build.service;
    let service = world.store.read(move |view| view.get_service(service)).await?;
    if let Work::Tasks(work) = &build.spec.work
        && let ImageSource::Image { reference } = &work.source
    {
        return resolve(world, &service, reference, &lines).await;
    }
    let request = request(world, build, &service, build.spec.clone()).await?;
    Ok(world.builder.build(request, lines, cancel).await?)
}

async fn request(
    world: &World,
    build: &Build,
    service: &Service,
    spec: ServiceSpec,
) -> Result<BuildRequest, Failure> {
    let context = context_path(&world.settings.build_dir, build.id);
    let (id, place) = (build.id, service.place.clone());
    let (secrets, credentials) = match is_of_fork(world, &place).await? {
        // A stranger's Dockerfile could say what it was given, or what it was built on.
        true => (BTreeMap::new(), Vec::new()),
        false => (
            secrets(world, &place, &spec).await?,
            registry::base_credentials(world, &spec, context.clone()).await?,
        ),
    };
    Ok(BuildRequest { id, service: service.id, place, spec, context, credentials, secrets })
}

/// Whether it is built for the preview of a pull request from another repository.
async fn is_of_fork(world: &World, place: &Place) -> Result<bool, StoreError> {
    is_fork(world, &place.project, &place.environment).await
}

/// Whether an environment is the preview of a pull request from another repository.
pub(crate) async fn is_fork(
    world: &World,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<bool, StoreError> {
    let Some(number) = environment.pull() else { return Ok(false) };
    let project = project.clone();
    let preview = world.store.read(move |view| view.find_preview(&project, number)).await?;
    // One that is not known any more gets nothing either.
    Ok(preview.is_none_or(|preview| !preview.has_secrets()))
}

/// The secrets a build asks for. Without one of them it does not start: what it would make might look right.
async fn secrets(
    world: &World,
    place: &Place,
    spec: &ServiceSpec,
) -> Result<BTreeMap<BuildSecretName, Secret>, Failure> {
    let names = spec.dockerfile().map(|source| source.secrets.clone()).unwrap_or_default();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let project = place.project.clone();
    let found = world.store.read(move |view| view.get_build_secrets(&project, &names)).await;
    found.map_err(|error| match error {
        StoreError::NotFound { id, .. } => Failure::of(format!(
            "the build secret {id} is not set; `havre build secret set {id}`, then deploy again"
        )),
        other => Failure::of(format!("could not open a build secret: {}", chain(&other))),
    })
}

/// Pins an image named by the user. A tag may have moved, so the registry is asked; where it cannot be, what is here
/// serves, and the log says so.
async fn resolve(
    world: &World,
    service: &Service,
    reference: &ImageRef,
    lines: &mpsc::Sender<BuildLine>,
) -> Result<Artifact, Failure> {
    let is_pinned = reference.as_str().contains('@');
    let policy = if is_pinned { PullPolicy::IfMissing } else { PullPolicy::Always };
    let is_of_fork = is_of_fork(world, &service.place).await?;
    let credentials = match is_of_fork {
        // A stranger would be shown what only we may pull, or have pulled.
        true => None,
        false => registry::credentials(world, reference).await?,
    };
    let who = credentials.as_ref().map(|credentials| format!(" as {}", credentials.user));
    say(world, lines, format!("looking for {reference}{}", who.unwrap_or_default())).await;
    let image = match world.engine.resolve_image(reference, policy, credentials.as_ref(), None).await {
        Ok(image) => image,
        Err(refused) if is_of_fork => return Err(refused.into()),
        Err(refused) => {
            let image = find_present(world, service.id, reference, &refused).await?;
            say(world, lines, format!("using the copy on this machine: {}", chain(&refused))).await;
            image
        }
    };
    say(world, lines, format!("pinned {reference} to {}", image.id)).await;
    Ok(Artifact::Image { id: image.id, pull: image.pull })
}

/// The image of that name on this machine, where the registry gave none.
async fn find_present(
    world: &World,
    service: ServiceId,
    reference: &ImageRef,
    refused: &EngineError,
) -> Result<ResolvedImage, Failure> {
    let present = world.engine.resolve_image(reference, PullPolicy::Never, None, None).await.ok();
    if let EngineError::RateLimited { retry_after, .. } = refused {
        match on_rate_limit(present.as_ref().map(|image| image.id.clone())) {
            OnRateLimit::UsePresent(image) => {
                let reference = reference.clone();
                let tell = world.store.write(world.now(), Actor::Havre, move |tx| {
                    tx.tell_present_image(service, &reference, &image)
                });
                tell.await?;
            }
            OnRateLimit::Fail => {
                let wait = retry_after.map(|wait| Span::seconds(wait.as_secs().max(1)));
                let window = RegistryHost::of(reference).is_hub().then_some(hub::WINDOW);
                return Err(Failure::of(format!("{}; {}", chain(refused), when_again(wait, window))));
            }
        }
    }
    present.ok_or_else(|| refused.clone().into())
}

async fn say(world: &World, lines: &mpsc::Sender<BuildLine>, text: String) {
    // Nobody listening is no reason to stop.
    let _ = lines.send(BuildLine { at: world.now(), step: String::new(), text, was_cached: None }).await;
}

/// `made` is the artifact; a test makes none.
async fn record_success(
    world: &World,
    build: Build,
    made: Option<Artifact>,
    told: Told,
) -> Result<(), StoreError> {
    let now = world.now();
    let recorded = world.store.write(now, Actor::Havre, move |tx| {
        let Build { id, service, spec, revision, commit, pipeline, state, .. } = build;
        tx.set_build_steps(id, told.steps)?;
        tx.record_build_bases(id, &told.bases.into_iter().collect::<Vec<_>>())?;
        let Some(artifact) = made else {
            return tx.set_build_state(id, &state, State::Passed { at: now });
        };
        if pipeline.is_some() {
            // Deployed with the other builds of its pipeline, or not at all.
            return tx.set_build_state(id, &state, State::Built { at: now, artifact });
        }
        let made = artifact.clone();
        let new = NewRelease { service, artifact: made, spec, revision, build: Some(id), commit };
        let release = tx.create_release(new)?;
        let deployment = tx.create_deployment(service, release.id, Kind::Deploy)?.id;
        tx.set_build_state(id, &state, State::Succeeded { at: now, artifact, deployment })
    });
    ignore_conflict(recorded.await)
}

async fn record_failure(world: &World, build: Build, failure: Failure, told: Told) -> Result<(), StoreError> {
    let now = world.now();
    let Failure { reason, step, mut last_lines, .. } = failure;
    if build.is_test() && last_lines.is_empty() {
        last_lines = told.last_lines.into();
    }
    let recorded = world.store.write(now, Actor::Havre, move |tx| {
        tx.set_build_steps(build.id, told.steps)?;
        tx.set_build_state(build.id, &build.state, State::Failed { at: now, reason, step, last_lines })
    });
    ignore_conflict(recorded.await)
}

/// Somebody closed the row meanwhile (cancelled, service destroyed): nothing of this build is recorded.
fn ignore_conflict(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

/// What a log came to.
#[derive(Debug, Default)]
struct Told {
    steps: Steps,
    /// The last lines of any step.
    last_lines: VecDeque<String>,
    /// The base images its steps have named.
    bases: BTreeSet<ImageRef>,
}

impl Told {
    fn hear(&mut self, line: &BuildLine) {
        if let Some(was_cached) = line.was_cached {
            self.steps.count(was_cached);
        }
        if self.bases.len() < base::BASES_MAX {
            self.bases.extend(base::resolved(&line.step));
        }
        if line.step.is_empty() {
            return;
        }
        if self.last_lines.len() == LAST_LINES {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(line.text.clone());
    }
}

async fn write_log(path: PathBuf, mut lines: mpsc::Receiver<BuildLine>) -> Told {
    let mut told = Told::default();
    let open = tokio::fs::OpenOptions::new().create(true).write(true).truncate(true).open(&path).await;
    let mut file = match open {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "could not open a build log");
            None
        }
    };
    // Lines are taken even without a file: a full disk must not stop the build half-way.
    while let Some(line) = lines.recv().await {
        told.hear(&line);
        let mut json = serde_json::to_vec(&line).unwrap_or_default();
        json.push(b'\n');
        if let Some(open) = &mut file
            && let Err(error) = open.write_all(&json).await
        {
            tracing::warn!(path = %path.display(), %error, "could not write a build log; the rest of it is lost");
            file = None;
        }
        if lines.is_empty()
            && let Some(open) = &mut file
        {
            let _ = open.flush().await;
        }
    }
    told
}

async fn discard_context(world: &World, id: BuildId) {
    let path = context_path(&world.settings.build_dir, id);
    if let Err(error) = tokio::fs::remove_file(&path).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove a build context");
    }
}
