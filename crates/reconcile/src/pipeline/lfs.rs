//! Puts contents of Git LFS in place of their pointers into what is packed, where `havre.toml` asks for them: those that were pushed to Havre,
//! those that an earlier pipeline has fetched, and all others from their server. What pointers and answers mean, and what is kept, is decided
//! in `havre_decide::source::lfs`, the calls are `crate::lfs`'s. Contents lie in a folder of the pipeline until its contexts are packed.
//! Tests: `tests/it/lfs.rs`, `tests/it/lfs_kept.rs`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use havre_core::name::RelativePath;
use havre_core::pipeline::Pipeline;
use havre_core::source::RemoteUrl;
use havre_core::source::lfs::{POINTER_MAX, is_pointer};
use havre_decide::source::lfs::keep::{Kept, plan_tidy};
use havre_decide::source::lfs::pointer::{add_up, choose};
use havre_decide::source::lfs::{BATCH_MAX, Download, LfsError, Pointer, Wanted};
use havre_source::context::folder_of;
use havre_source::git::lfs::Shelf;
use havre_source::source::READ_OBJECTS_MAX;
use havre_source::tree::ObjectId;
use havre_source::{LocalFile, PackPlan, SourceError};
use tokio_util::sync::CancellationToken;

use super::checkout::{self, CheckoutError};
use super::submodule::{Module, Origin, find_origin};
use crate::deployment::chain;
use crate::lfs::{LfsClient, LfsServer};
use crate::world::World;

/// Longest time for the contents of one context.
const LIMIT: Duration = Duration::from_secs(10 * 60);
/// How often a download is begun, where the server may only have been away for a moment.
const TRIES: u32 = 2;

/// What one pipeline fetches. Dropped, nothing of it stays on the disk.
pub(super) struct Contents<'a> {
    world: &'a World,
    pipeline: &'a Pipeline,
    origin: Origin,
    modules: Vec<Module>,
    client: LfsClient,
    folder: PathBuf,
    /// Bytes of all of them so far.
    bytes: AtomicU64,
    cancel: &'a CancellationToken,
}

impl Drop for Contents<'_> {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %self.folder.display(), %error, "could not remove contents of Git LFS");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl<'a> Contents<'a> {
    /// Before anything is fetched; `modules` are the submodules of the commit.
    pub(super) async fn open(
        (world, pipeline): (&'a World, &'a Pipeline),
        modules: Vec<Module>,
        cancel: &'a CancellationToken,
    ) -> Result<Self, CheckoutError> {
        let origin = find_origin(world, pipeline).await?;
        let client = LfsClient::new(world.settings.remote_private);
        let folder = checkout::folder(world).join(format!("lfs-{}", pipeline.id));
        Ok(Self { world, pipeline, origin, modules, client, folder, bytes: AtomicU64::new(0), cancel })
    }

    /// The plan with contents in place of pointers, which are fetched where they are not here yet. `context` is its folder in the commit.
    pub(super) async fn fill(
        &self,
        context: &RelativePath,
        plan: PackPlan,
    ) -> Result<PackPlan, CheckoutError> {
        let pointers = self.find(&plan).await?;
        if pointers.is_empty() {
            return Ok(plan);
        }
        let file = |pointer: &Pointer| LocalFile { path: self.place(pointer), size: pointer.size() };
        let files: BTreeMap<String, LocalFile> =
            pointers.iter().map(|(path, pointer)| (path.clone(), file(pointer))).collect();
        // Before a byte of them is fetched.
        let plan = plan.fill(&files)?;
        let wanted = choose(&pointers).map_err(|error| CheckoutError::Commit(error.to_string()))?;
        let work = tokio::time::timeout(LIMIT, self.fetch_all(context, wanted));
        match self.cancel.run_until_cancelled(work).await {
            None => Err(CheckoutError::Cancelled),
            Some(Ok(fetched)) => fetched.map(|()| plan),
            Some(Err(_)) => {
                let message =
                    format!("its contents of Git LFS could not be fetched within {LIMIT:?}; push again");
                Err(CheckoutError::Commit(message))
            }
        }
    }

    /// Where a content lies once it is here. Pointers that differ in the size alone have two places: for one of them nothing is right.
    fn place(&self, pointer: &Pointer) -> PathBuf {
        self.folder.join(format!("{}-{}", pointer.oid().hex(), pointer.size()))
    }

    /// The pointers in a plan, by path.
    async fn find(&self, plan: &PackPlan) -> Result<BTreeMap<String, Pointer>, CheckoutError> {
        let small: Vec<(&str, &ObjectId)> = plan.small_files().collect();
        let mut found = BTreeMap::new();
        for some in small.chunks(READ_OBJECTS_MAX) {
            let objects: Vec<ObjectId> = some.iter().map(|(_, object)| (*object).clone()).collect();
            let contents = self.world.source.read(&self.pipeline.project, &objects, POINTER_MAX).await?;
            for ((path, _), content) in some.iter().zip(contents) {
                if !is_pointer(&content) {
                    continue;
                }
                let pointer = Pointer::parse(&content).map_err(|error| {
                    CheckoutError::Commit(format!("the pointer {path} of Git LFS is not understood: {error}"))
                })?;
                found.insert((*path).to_owned(), pointer);
            }
        }
        Ok(found)
    }

    async fn fetch_all(&self, context: &RelativePath, wanted: Vec<Wanted>) -> Result<(), CheckoutError> {
        let made = tokio::fs::create_dir_all(&self.folder).await;
        made.map_err(|error| {
            CheckoutError::Commit(format!("could not make {}: {error}", self.folder.display()))
        })?;
        let mut missing = Vec::new();
        for one in wanted {
            // For another service of the commit it may have been fetched already.
            if !matches!(tokio::fs::try_exists(self.place(&one.pointer)).await, Ok(true)) {
                missing.push(one);
            }
        }
        let all = add_up(self.bytes.load(Ordering::Relaxed), &missing);
        let all = all.map_err(|error| CheckoutError::Commit(error.to_string()))?;
        self.bytes.store(all, Ordering::Relaxed);
        let missing = self.take_kept(missing).await?;
        let has_fetched = !missing.is_empty();
        for (server, wanted) in self.by_server(context, missing)? {
            for some in wanted.chunks(BATCH_MAX) {
                self.fetch(&server, some).await?;
            }
        }
        if has_fetched {
            tidy(self.world).await;
        }
        Ok(())
    }

    /// Takes what is on this server already; those that are not. A pull request of another repository gets nothing of it: whoever opens one may name a
    /// content that only the token opens.
    async fn take_kept(&self, wanted: Vec<Wanted>) -> Result<Vec<Wanted>, CheckoutError> {
        if self.origin.is_fork {
            return Ok(wanted);
        }
        let mut missing = Vec::new();
        for one in wanted {
            let content = (one.pointer.oid(), one.pointer.size());
            let (target, mut is_here) = (self.place(&one.pointer), false);
            for shelf in [Shelf::Pushed, Shelf::Fetched] {
                let (from, now) = ((shelf, &self.pipeline.project), self.world.now());
                is_here = is_here || self.world.settings.lfs.copy(from, content, &target, now).await?;
            }
            if !is_here {
                missing.push(one);
            }
        }
        Ok(missing)
    }

    /// Keeps what was fetched for the next pipeline. Without it, that one fetches again.
    async fn keep(&self, pointer: &Pointer) {
        if self.origin.is_fork {
            return;
        }
        let (project, place) = (&self.pipeline.project, self.place(pointer));
        if let Err(error) = self.world.settings.lfs.keep(project, pointer.oid(), &place).await {
            tracing::warn!(error = %chain(&error), "could not keep what was fetched with Git LFS");
        }
    }

    /// Who is asked for which contents.
    fn by_server(
        &self,
        context: &RelativePath,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<(LfsServer, Vec<Wanted>)>, CheckoutError> {
        let folder = folder_of(context);
        let mut servers: BTreeMap<String, (LfsServer, Vec<Wanted>)> = BTreeMap::new();
        for one in wanted {
            let path = if folder.is_empty() { one.path.clone() } else { format!("{folder}/{}", one.path) };
            let Some(url) = self.url_of(&path) else {
                let bytes = one.pointer.size();
                return Err(CheckoutError::Commit(format!(
                    "{path} is a pointer of Git LFS, and its content of {bytes} bytes was not pushed to this server: run `git lfs push --all` with \
                     the name of this remote where the file is, and then `havre ci rerun {}`",
                    self.pipeline.id
                )));
            };
            let server = || LfsServer { remote: url.clone(), token: self.origin.token_for(url) };
            servers.entry(url.to_string()).or_insert_with(|| (server(), Vec::new())).1.push(one);
        }
        Ok(servers.into_values().collect())
    }

    /// The repository that a path of the commit is from: that of the innermost submodule around it, or its own.
    fn url_of(&self, path: &str) -> Option<&RemoteUrl> {
        let around = self.modules.iter().filter(|module| path.starts_with(module.folder.as_str()));
        match around.max_by_key(|module| module.folder.len()) {
            Some(module) => Some(&module.url),
            None => self.origin.url.as_ref(),
        }
    }

    /// Fetches at most [`BATCH_MAX`] contents.
    async fn fetch(&self, server: &LfsServer, wanted: &[Wanted]) -> Result<(), CheckoutError> {
        let pointers: Vec<Pointer> = wanted.iter().map(|one| one.pointer.clone()).collect();
        let bytes: u64 = pointers.iter().map(Pointer::size).fold(0, u64::saturating_add);
        let (pipeline, contents) = (self.pipeline.id, wanted.len());
        tracing::info!(%pipeline, server = server.remote.host(), contents, bytes, "fetching with Git LFS");
        let asked = self.client.ask(server, &pointers).await;
        let downloads = asked.map_err(|error| failed(about(wanted, &error), &error))?;
        for (one, download) in wanted.iter().zip(&downloads) {
            let fetched = self.download(server, &one.pointer, download).await;
            fetched.map_err(|error| failed(&one.path, &error))?;
            self.keep(&one.pointer).await;
        }
        Ok(())
    }

    async fn download(&self, server: &LfsServer, pointer: &Pointer, from: &Download) -> Result<(), LfsError> {
        let mut tries = 1;
        loop {
            match self.client.download(server, pointer, from, &self.place(pointer)).await {
                Err(LfsError::Away(_)) if tries < TRIES => tries += 1,
                ended => return ended,
            }
        }
    }
}

/// Removes contents that were fetched and are not worth their place any more. A failure costs room only, and the next round tries again.
pub(super) async fn tidy(world: &World) {
    if let Err(error) = try_tidy(world).await {
        tracing::warn!(error = %chain(&error), "could not look through what was fetched with Git LFS");
    }
}

async fn try_tidy(world: &World) -> Result<(), SourceError> {
    let lfs = &world.settings.lfs;
    let kept = lfs.list_fetched().await?.into_iter().map(|one| Kept {
        project: one.project,
        oid: one.oid,
        bytes: one.bytes,
        used_at: one.used_at,
    });
    for gone in plan_tidy(kept.collect(), lfs.free().await?, world.now()) {
        lfs.remove_fetched(&gone.project, &gone.oid).await?;
    }
    Ok(())
}

/// The path that an answer is about; the first one where it is about all.
fn about<'a>(wanted: &'a [Wanted], error: &LfsError) -> &'a str {
    let found = match error {
        LfsError::Object { oid, .. } => wanted.iter().find(|one| one.pointer.oid() == oid),
        LfsError::Away(_) | LfsError::Refused(_) => None,
    };
    found.or_else(|| wanted.first()).map_or("a file", |one| one.path.as_str())
}

fn failed(path: &str, error: &LfsError) -> CheckoutError {
    CheckoutError::Commit(format!("{path} is kept with Git LFS, and its content cannot be fetched: {error}"))
}
