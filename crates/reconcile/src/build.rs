//! The build loop: starts queued builds, keeps their logs, turns each finished one into a release and a deployment.
//! A build that ran when control ended is simply run again: its context is still on disk.
//! Whether there is room for one is in `build/queue.rs`. Tests: `tests/it/build.rs`, and wherever something is built.

mod queue;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use havre_build::builder::{BuildError, BuildLine, BuildRequest};
use havre_build::context::context_path;
use havre_core::artifact::{Artifact, ImageRef};
use havre_core::build::plan::plan;
use havre_core::build::{Build, State};
use havre_core::deployment::Kind;
use havre_core::event::Actor;
use havre_core::id::BuildId;
use havre_core::name::BuildSecretName;
use havre_core::secret::Secret;
use havre_core::service::Place;
use havre_core::service::spec::{ImageSource, ServiceSpec, Work};
use havre_engine::error::EngineError;
use havre_engine::image::PullPolicy;
use havre_store::{NewRelease, StoreError};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::world::World;

pub(crate) use queue::Queue;

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
    let open = world.store.read(|view| view.list_open_builds()).await?;
    cancel_closed(world, &open);
    let chosen = plan(&open, world.settings.build_capacity);
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
    let result = make(world, &build, lines, cancel).await;
    // The log is complete before anybody can see that the build has ended.
    let _ = writer.await;
    let id = build.id;
    match result {
        Ok(artifact) => record_success(world, build, artifact).await?,
        Err(Failure { cancelled: true, .. }) => {}
        Err(failure) => record_failure(world, build, failure).await?,
    }
    discard_context(world, id).await;
    Ok(())
}

struct Failure {
    cancelled: bool,
    reason: String,
    step: String,
    last_lines: Vec<String>,
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

impl Failure {
    /// Not of a step.
    fn new(reason: String) -> Self {
        Self { cancelled: false, reason, step: String::new(), last_lines: Vec::new() }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::new(chain(&error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(chain(&error))
    }
}

async fn make(
    world: &World,
    build: &Build,
    lines: mpsc::Sender<BuildLine>,
    cancel: CancellationToken,
) -> Result<Artifact, Failure> {
    if let Work::Tasks(work) = &build.spec.work
        && let ImageSource::Image { reference } = &work.source
    {
        return resolve(world, reference, &lines).await;
    }
    let service = build.service;
    let place = world.store.read(move |view| Ok(view.get_service(service)?.place)).await?;
    let secrets = secrets(world, &place, &build.spec).await?;
    let request = BuildRequest {
        id: build.id,
        service,
        place,
        spec: build.spec.clone(),
        context: context_path(&world.settings.build_dir, build.id),
        secrets,
    };
    Ok(world.builder.build(request, lines, cancel).await?)
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
        StoreError::NotFound { id, .. } => Failure::new(format!(
            "the build secret {id} is not set; `havre build secret set {id}`, then deploy again"
        )),
        other => Failure::new(format!("could not open a build secret: {}", chain(&other))),
    })
}

/// Pins an image named by the user. A tag may have moved, so the registry is asked; where it cannot be, what is here
/// serves, and the log says so.
async fn resolve(
    world: &World,
    reference: &ImageRef,
    lines: &mpsc::Sender<BuildLine>,
) -> Result<Artifact, Failure> {
    let is_pinned = reference.as_str().contains('@');
    let policy = if is_pinned { PullPolicy::IfMissing } else { PullPolicy::Always };
    say(world, lines, format!("looking for {reference}")).await;
    let image = match world.engine.resolve_image(reference, policy, None).await {
        Ok(image) => image,
        Err(refused) if !is_pinned => {
            match world.engine.resolve_image(reference, PullPolicy::IfMissing, None).await {
                Ok(image) => {
                    say(world, lines, format!("using the copy on this machine: {}", chain(&refused))).await;
                    image
                }
                Err(_) => return Err(refused.into()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    say(world, lines, format!("pinned {reference} to {}", image.id)).await;
    Ok(Artifact::Image { id: image.id, pull: image.pull })
}

async fn say(world: &World, lines: &mpsc::Sender<BuildLine>, text: String) {
    // Nobody listening is no reason to stop.
    let _ = lines.send(BuildLine { at: world.now(), step: String::new(), text }).await;
}

async fn record_success(world: &World, build: Build, artifact: Artifact) -> Result<(), StoreError> {
    let now = world.now();
    if build.pipeline.is_some() {
        // Deployed with the other builds of its pipeline, or not at all.
        let recorded = world.store.write(now, Actor::Havre, move |tx| {
            tx.set_build_state(build.id, &build.state, State::Built { at: now, artifact })
        });
        return ignore_conflict(recorded.await);
    }
    let recorded = world.store.write(now, Actor::Havre, move |tx| {
        let Build { id, service, spec, revision, commit, state, .. } = build;
        let made = artifact.clone();
        let new = NewRelease { service, artifact: made, spec, revision, build: Some(id), commit };
        let release = tx.create_release(new)?;
        let deployment = tx.create_deployment(service, release.id, Kind::Deploy)?.id;
        tx.set_build_state(id, &state, State::Succeeded { at: now, artifact, deployment })
    });
    ignore_conflict(recorded.await)
}

async fn record_failure(world: &World, build: Build, failure: Failure) -> Result<(), StoreError> {
    let now = world.now();
    let Failure { reason, step, last_lines, .. } = failure;
    let recorded = world.store.write(now, Actor::Havre, move |tx| {
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

async fn write_log(path: PathBuf, mut lines: mpsc::Receiver<BuildLine>) {
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
}

async fn discard_context(world: &World, id: BuildId) {
    let path = context_path(&world.settings.build_dir, id);
    if let Err(error) = tokio::fs::remove_file(&path).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove a build context");
    }
}
