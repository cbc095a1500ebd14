//! Turns a commit into queued tests and builds: reads `havre.toml`, packs what each service is built from straight out of the
//! repository, and records the configuration and every build in one transaction. Nothing of the commit is unpacked
//! onto a disk. Tests: `tests/it/pipeline.rs`, `tests/it/pipeline_test.rs`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use havre_build::builder::BuildError;
use havre_build::context::{ContextWriter, context_path};
use havre_core::build::ignore::Ignore;
use havre_core::build::test::TestSpec;
use havre_core::database::spec::DatabaseSpec;
use havre_core::event::Actor;
use havre_core::id::BuildId;
use havre_core::name::RelativePath;
use havre_core::pipeline::{Pipeline, Stage, State, Untouched};
use havre_core::quantity::ByteSize;
use havre_core::service::spec::{ImageSource, ServiceSpec, SiteSource, Work};
use havre_source::{PackPlan, SourceError, Tree, plan_context};
use havre_store::{StoreError, Tx};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::pipeline::context::Commit;
use crate::pipeline::lfs::Contents;
use crate::pipeline::{read, specs, submodule, untouched};
use crate::world::World;

/// Largest context.
const CONTEXT_MAX: ByteSize = ByteSize::mebibytes(512);
/// Chunks of a context on their way to its file.
const CHUNKS: usize = 16;

/// Names of contexts before their builds exist; unique within the process, and the folder is emptied at its start.
static NEXT: AtomicI64 = AtomicI64::new(1);

/// Why a commit cannot be built, for people; or that the work was cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckoutError {
    /// It was asked to stop: somebody else has closed the row, or the process ends.
    #[error("cancelled")]
    Cancelled,
    /// The commit is of no use.
    #[error("{0}")]
    Commit(String),
    #[error("could not read the commit")]
    Source(#[source] SourceError),
    #[error("could not store what is to be built")]
    Build(#[source] BuildError),
    #[error("could not read the preview")]
    Preview(#[source] StoreError),
    #[error("could not record the builds")]
    Store(#[source] StoreError),
}

impl From<SourceError> for CheckoutError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Cancelled => Self::Cancelled,
            other => Self::Source(other),
        }
    }
}

/// A commit whose services are packed.
struct Reading<'a> {
    world: &'a World,
    pipeline: &'a Pipeline,
    tree: Tree,
    /// What Git LFS keeps of it, where its file asks for that.
    lfs: Option<Contents<'a>>,
    cancel: &'a CancellationToken,
}

/// A service and what it is built from; the file goes with it unless a build takes it.
struct Prepared {
    spec: ServiceSpec,
    test: Option<TestSpec>,
    /// Why it is left as it is.
    untouched: Option<String>,
    context: Option<Packed>,
}

/// A packed context without a build. Dropped, nothing of it stays.
struct Packed(Option<PathBuf>);

impl Packed {
    /// A second name for the same file: what is tested is what is built.
    fn share(&self, target: &Path) -> std::io::Result<()> {
        let Some(path) = self.0.as_ref() else { return Ok(()) };
        match std::fs::hard_link(path, target) {
            // Of a transaction that was given up: its number was given again.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(target)?;
                std::fs::hard_link(path, target)
            }
            linked => linked,
        }
    }

    fn publish(mut self, target: &Path) -> std::io::Result<()> {
        match self.0.as_ref() {
            Some(path) => std::fs::rename(path, target)?,
            None => return Ok(()),
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "could not remove a context nobody wants");
        }
    }
}

pub(super) fn folder(world: &World) -> PathBuf {
    world.settings.build_dir.join("checkout")
}

/// Empties what an earlier process left half-way.
pub(super) async fn clear(world: &World) -> std::io::Result<()> {
    match tokio::fs::remove_dir_all(folder(world)).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    tokio::fs::create_dir_all(folder(world)).await
}

/// Begins, unless it is at work already.
pub(super) fn start(world: &World, pipeline: Pipeline) {
    let cancel = CancellationToken::new();
    {
        let mut running = world.checking_out.lock().expect("no holder panics");
        if running.contains_key(&pipeline.id) {
            return;
        }
        running.insert(pipeline.id, cancel.clone());
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        let id = pipeline.id;
        if let Err(error) = run(&world, &pipeline, &cancel).await {
            tracing::error!(pipeline = %id, error = %chain(&error), "could not record how a checkout ended");
            world.clock.sleep(std::time::Duration::from_secs(1)).await;
        }
        world.checking_out.lock().expect("no holder panics").remove(&id);
        world.pipelines_wake.notify_one();
    });
}

async fn run(world: &World, pipeline: &Pipeline, cancel: &CancellationToken) -> Result<(), StoreError> {
    let error = match check_out(world, pipeline, cancel).await {
        Ok(()) | Err(CheckoutError::Cancelled) => return Ok(()),
        Err(error) => error,
    };
    let (id, from, at) = (pipeline.id, pipeline.state.clone(), world.now());
    let to = State::Failed { at, stage: Stage::Checkout, reason: chain(&error) };
    let stored = world.store.write(at, Actor::Havre, move |tx| tx.set_pipeline_state(id, &from, to)).await;
    super::ignore_conflict(stored)
}

async fn check_out(
    world: &World,
    pipeline: &Pipeline,
    cancel: &CancellationToken,
) -> Result<(), CheckoutError> {
    let read::Head { mut tree, manifest } = read::head(world, &pipeline.project, &pipeline.commit).await?;
    let manifest = manifest.map_err(CheckoutError::Commit)?;
    let specs::Wanted { services: specs, databases } = specs::of(world, pipeline, &manifest).await?;
    let mut left = untouched::find(world, pipeline, (&manifest, specs.as_slice())).await?;
    let is_packed = specs.iter().any(|spec| !left.contains_key(&spec.name));
    let mut modules = Vec::new();
    if manifest.has_submodules() && is_packed {
        (tree, modules) = submodule::fetch_all(world, pipeline, tree, cancel).await?;
    }
    let lfs = if manifest.has_lfs() && is_packed {
        Some(Contents::open((world, pipeline), modules, cancel).await?)
    } else {
        None
    };
    let reading = Reading { world, pipeline, tree, lfs, cancel };
    let mut prepared = Vec::new();
    for spec in specs {
        let untouched = left.remove(&spec.name);
        let context = match untouched {
            Some(_) => None,
            None => pack(&reading, &spec).await?,
        };
        let test = manifest.test(&spec.name).cloned();
        prepared.push(Prepared { spec, test, untouched, context });
    }
    // What was fetched lies in the contexts now.
    drop(reading);
    let (row, at, build_dir) = (pipeline.clone(), world.now(), world.settings.build_dir.clone());
    let by = pipeline.cause.actor().clone();
    let stored = world.store.write(at, by, move |tx| {
        let to = record(tx, &row, (prepared, databases), &build_dir)?;
        tx.set_pipeline_state(row.id, &row.state, to)
    });
    match stored.await {
        Ok(()) => {
            world.wake.notify_one();
            Ok(())
        }
        Err(StoreError::Conflict { .. }) => Err(CheckoutError::Cancelled),
        Err(error) => Err(CheckoutError::Store(error)),
    }
}

/// Applies the configuration of the commit and queues the tests and builds of its services; what the pipeline does next.
fn record(
    tx: &mut Tx<'_>,
    pipeline: &Pipeline,
    (prepared, databases): (Vec<Prepared>, Vec<DatabaseSpec>),
    build_dir: &Path,
) -> Result<State, StoreError> {
    let environment = tx.ensure_environment(pipeline.project.clone(), pipeline.environment.clone())?;
    for spec in &databases {
        tx.apply_database(environment.id, spec)?;
    }
    let specs = prepared.iter().map(|one| one.spec.clone()).collect();
    let applied = tx.apply_services(environment.id, specs)?;
    let (mut untouched, mut has_builds, mut has_tests) = (Vec::new(), false, false);
    for (one, (service, _)) in prepared.into_iter().zip(applied) {
        if let Some(reason) = one.untouched {
            untouched.push(Untouched { service: one.spec.name, reason });
            continue;
        }
        has_builds = true;
        if let Some(test) = one.test {
            has_tests = true;
            let build = tx.create_pipeline_test(pipeline, &service, test)?;
            put(one.context.as_ref(), build_dir, build.id, Packed::share)?;
        }
        let build = tx.create_pipeline_build(pipeline, &service)?;
        put(one.context, build_dir, build.id, Packed::publish)?;
    }
    tx.set_pipeline_untouched(pipeline.id, &untouched)?;
    let since = tx.at();
    Ok(match (has_builds, has_tests) {
        (false, _) => State::Succeeded { at: since },
        (true, true) => State::Testing { since },
        (true, false) => State::Building { since },
    })
}

/// Gives a context its place, where there is one.
fn put<T>(
    context: Option<T>,
    build_dir: &Path,
    build: BuildId,
    act: impl FnOnce(T, &Path) -> std::io::Result<()>,
) -> Result<(), StoreError> {
    let Some(context) = context else { return Ok(()) };
    let target = context_path(build_dir, build);
    let doing = "put the context of a build at";
    act(context, &target).map_err(|source| StoreError::File { doing, path: target, source })
}

/// What goes into the context of a service, and which folder of the commit that is of; `None` for one that runs a finished image.
async fn plan<'a>(
    reading: &Reading<'_>,
    spec: &'a ServiceSpec,
) -> Result<Option<(&'a RelativePath, PackPlan)>, CheckoutError> {
    let Reading { world, pipeline, tree, .. } = reading;
    let commit = Commit { world, project: &pipeline.project, tree };
    let (source, wants_site) = match &spec.work {
        Work::Tasks(work) => match &work.source {
            ImageSource::Image { .. } => return Ok(None),
            ImageSource::Dockerfile(source) => (source, false),
        },
        Work::Site(site) => match &site.source {
            SiteSource::Dockerfile { build, .. } => (build, true),
            SiteSource::Folder { root } => {
                let plan = plan_context(tree, root, &Ignore::default(), Vec::new())?;
                if plan.entries.is_empty() {
                    return Err(CheckoutError::Commit(format!(
                        "the folder {root} of the site {} is empty in this commit: commit its finished files, or name a \
                         `dockerfile` that makes them",
                        spec.name
                    )));
                }
                return Ok(Some((root, plan)));
            }
        },
    };
    Ok(Some((&source.context, commit.of_dockerfile(source, wants_site).await?)))
}

/// Packs the context of a service; `None` for one that runs a finished image.
async fn pack(reading: &Reading<'_>, spec: &ServiceSpec) -> Result<Option<Packed>, CheckoutError> {
    let Some((context, mut plan)) = plan(reading, spec).await? else { return Ok(None) };
    let Reading { world, pipeline, lfs, .. } = reading;
    let made = tokio::fs::create_dir_all(folder(world)).await;
    made.map_err(|error| {
        CheckoutError::Commit(format!("could not make {}: {error}", folder(world).display()))
    })?;
    if let Some(contents) = lfs {
        plan = contents.fill(context, plan).await?;
    }
    let number = BuildId::new(NEXT.fetch_add(1, Ordering::Relaxed));
    let mut writer =
        ContextWriter::create(&folder(world), number, CONTEXT_MAX).await.map_err(CheckoutError::Build)?;
    let (sender, mut chunks) = mpsc::channel(CHUNKS);
    let packing = world.source.pack(&pipeline.project, &plan, sender, reading.cancel.clone());
    let writing = async {
        while let Some(chunk) = chunks.recv().await {
            writer.write(&chunk).await?;
        }
        Ok::<_, BuildError>(writer)
    };
    let (packed, written) = tokio::join!(packing, writing);
    // A writer that gave up (a full disk) makes the packing break off as well: its reason is the true one.
    let writer = written.map_err(CheckoutError::Build)?;
    let summary = packed?;
    if let Some(path) = summary.lfs_pointers.first() {
        return Err(CheckoutError::Commit(pointer_left(path, lfs.is_some())));
    }
    let path = writer.finish().await.map_err(CheckoutError::Build)?;
    Ok(Some(Packed(Some(path))))
}

/// Why a pointer of Git LFS is still one in a context, and what to do.
fn pointer_left(path: &str, has_lfs: bool) -> String {
    let why = if has_lfs {
        "Havre reads this file itself, before it fetches anything; commit the file itself"
    } else {
        "Havre fetches its content only where havre.toml says `lfs = true` in `[source]`; else commit the file itself, or leave it out with a \
         .dockerignore"
    };
    format!("{path} is a pointer of Git LFS, and {why}")
}
