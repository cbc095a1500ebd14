//! The real repository: the format of restic, written by `rustic_core`, in a folder of this machine, in a bucket, or in a folder of another
//! machine. `rustic_core` is named here and nowhere else; its version is pinned, since its interface changes with most releases. What it
//! does not do is done here: its `archive` hides the failures of what it reads, it takes no locks, and its API is synchronous. What the
//! kinds do not share is a `Storage` each.

mod bucket;
mod folder;
mod label;
mod look;
mod place;
mod said;
mod sftp;
mod storage;
mod stream;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use havre_core::backup::{Content, RepositoryId, SnapshotId};
use havre_core::secret::Secret;
use tokio::runtime::Handle;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use crate::bucket::{Bucket, BucketError, BucketKeys, BucketLocation};
use crate::dump::{self, Dump};
use crate::error::RepositoryError;
use crate::repository::{Entry, Pruned, Repository, Snapshot, Stored};
use crate::restic::bucket::InBucket;
use crate::restic::folder::Folder;
use crate::restic::place::Place;
use crate::restic::sftp::OverSftp;
use crate::restic::storage::Storage;
use crate::restic::stream::{Bridge, Watch, Watched};
use crate::sftp::{Sftp, SftpError, SftpLocation};
use crate::source::Source;

/// A repository in a folder: [`ResticRepository::new`].
pub type FolderRepository = ResticRepository;
/// A repository in a bucket: [`ResticRepository::in_bucket`].
pub type BucketRepository = ResticRepository;
/// A repository in a folder of another machine: [`ResticRepository::over_sftp`].
pub type SftpRepository = ResticRepository;

/// The repository in this bucket, for whoever has these keys and the password, with the usual limits and trusting whom the machine trusts.
/// Looks at nothing yet.
///
/// # Errors
/// Something of the location or of the keys cannot be used.
pub fn open_bucket(
    location: &BucketLocation,
    keys: &BucketKeys,
    password: Secret,
    runtime: Handle,
) -> Result<BucketRepository, BucketError> {
    Ok(ResticRepository::in_bucket(Bucket::new(location, keys)?, password, runtime))
}

/// The repository in this folder of another machine, for whoever has this private key and the password, with the usual limits. Looks at
/// nothing yet.
///
/// # Errors
/// The key cannot be used.
pub fn open_sftp(
    location: &SftpLocation,
    key: &Secret,
    password: Secret,
    runtime: Handle,
) -> Result<SftpRepository, SftpError> {
    Ok(ResticRepository::over_sftp(Sftp::new(location, key)?, password, runtime))
}

/// A repository in the format of restic. Clones share the wait for each other; a second one of the same place does not.
#[derive(Debug, Clone)]
pub struct ResticRepository {
    place: Arc<Place>,
    /// Whoever adds or forgets snapshots holds it for reading: they do not disturb each other, and WAL of a minute must not wait for a dump of
    /// hours. Whoever needs the repository for himself holds it for writing.
    writer: Arc<RwLock<()>>,
    /// Who reads a snapshot holds it for reading: meanwhile no file goes, and the index stays.
    layout: Arc<RwLock<()>>,
}

impl ResticRepository {
    /// The repository in this folder, with this password. Looks at nothing yet.
    pub fn new(folder: &Path, password: Secret) -> Self {
        Self::on(Arc::new(Folder::new(folder)), password)
    }

    /// The repository in this bucket, with this password. Looks at nothing yet. Its calls are made on `runtime`, which has to outlive
    /// them.
    pub fn in_bucket(bucket: Bucket, password: Secret, runtime: Handle) -> Self {
        Self::on(Arc::new(InBucket::new(bucket, runtime)), password)
    }

    /// The repository in this folder of another machine, with this password. Looks at nothing yet. Its calls are made on `runtime`, which
    /// has to outlive them.
    pub fn over_sftp(sftp: Sftp, password: Secret, runtime: Handle) -> Self {
        Self::on(Arc::new(OverSftp::new(sftp, runtime)), password)
    }

    fn on(storage: Arc<dyn Storage>, password: Secret) -> Self {
        Self {
            place: Arc::new(Place::new(storage, password)),
            writer: Arc::default(),
            layout: Arc::default(),
        }
    }

    /// Does something while nobody else writes. It is finished also where nobody waits for it any more.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Place) -> Result<T, RepositoryError> + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let turn = self.writer.clone().write_owned().await;
        blocking(&self.place, move |place| {
            let _turn = turn;
            work(place)
        })
        .await
    }

    /// Does something that removes files or rewrites the index, after whoever writes and whoever reads now.
    async fn rearrange<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Place) -> Result<T, RepositoryError> + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let turn = self.writer.clone().write_owned().await;
        let alone = self.layout.clone().write_owned().await;
        blocking(&self.place, move |place| {
            let _held = (turn, alone);
            work(place)
        })
        .await
    }
}

/// Does something on a thread that may wait.
async fn blocking<T: Send + 'static>(
    place: &Arc<Place>,
    work: impl FnOnce(&Place) -> Result<T, RepositoryError> + Send + 'static,
) -> Result<T, RepositoryError> {
    let inner = place.clone();
    match tokio::task::spawn_blocking(move || work(&inner)).await {
        Ok(result) => result,
        Err(error) => Err(panicked(place, &error)),
    }
}

fn panicked(place: &Place, error: &tokio::task::JoinError) -> RepositoryError {
    RepositoryError::Failed {
        doing: "finish what was begun",
        place: place.location(),
        reason: format!("it panicked, which is a bug: {error}"),
    }
}

/// As long as a stream is stored, nobody takes its first half for one that a crash has left.
struct UnderWay {
    place: Arc<Place>,
    entry: Entry,
}

impl UnderWay {
    fn begin(place: &Arc<Place>, entry: &Entry) -> Self {
        place.begin(entry);
        Self { place: Arc::clone(place), entry: entry.clone() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.place.end(&self.entry);
    }
}

async fn store(
    repository: ResticRepository,
    entry: Entry,
    source: Source,
    cancel: CancellationToken,
) -> Result<Stored, RepositoryError> {
    let _turn = repository.writer.clone().read_owned().await;
    let place = &repository.place;
    let _under_way = UnderWay::begin(place, &entry);
    let (reader, ended) = source.into_parts();
    let watch = Watch::default();
    let bridge = Bridge::new(reader, Handle::current(), cancel.clone());
    let watched = Watched::new(bridge, watch.clone(), cancel.clone());
    let described = entry.clone();
    let pending = match blocking(place, move |place| place.take_in(&described, watched)).await {
        Ok(pending) => pending,
        // The cause before what followed from it.
        Err(error) if watch.has_failed() => return Err(watch.content().err().unwrap_or(error)),
        Err(error) => return Err(error),
    };
    let produced = match watch.content() {
        Ok(content) => ended.judge(content, &cancel).await,
        Err(error) => Err(error),
    };
    let confirmed = match produced {
        Ok(produced) => {
            let pending = pending.clone();
            blocking(place, move |place| place.confirm(&pending, &entry, &produced, &cancel)).await
        }
        Err(error) => Err(error),
    };
    let added_bytes = pending.added_bytes;
    if let Err(error) = blocking(place, move |place| place.discard(&pending)).await {
        // It is never listed, and the next run removes it.
        tracing::warn!(%error, "the first half of a snapshot could not be removed");
    }
    Ok(Stored { snapshot: confirmed?, added_bytes })
}

#[async_trait]
impl Repository for ResticRepository {
    async fn init(&self) -> Result<RepositoryId, RepositoryError> {
        self.write(Place::init).await
    }

    async fn open(&self) -> Result<RepositoryId, RepositoryError> {
        blocking(&self.place, Place::open).await
    }

    async fn store(
        &self,
        entry: &Entry,
        source: Source,
        cancel: &CancellationToken,
    ) -> Result<Stored, RepositoryError> {
        // A task of its own, so that a future that is dropped still cleans up after itself before the next one writes.
        let stop = cancel.child_token();
        let _stops = stop.clone().drop_guard();
        match tokio::spawn(store(self.clone(), entry.clone(), source, stop)).await {
            Ok(result) => result,
            Err(error) => Err(panicked(&self.place, &error)),
        }
    }

    async fn list(&self) -> Result<Vec<Snapshot>, RepositoryError> {
        blocking(&self.place, Place::list).await
    }

    async fn dump(&self, id: &SnapshotId, cancel: &CancellationToken) -> Result<Dump, RepositoryError> {
        let (id, cancel) = (id.clone(), cancel.clone());
        let stays = self.layout.clone().read_owned().await;
        let readable = blocking(&self.place, move |place| place.readable(&id)).await?;
        let (sender, dump) = dump::channel();
        tokio::task::spawn_blocking(move || {
            let _stays = stays;
            readable.send(&sender, &cancel);
        });
        Ok(dump)
    }

    async fn verify(&self, id: &SnapshotId, cancel: &CancellationToken) -> Result<Content, RepositoryError> {
        let (id, cancel) = (id.clone(), cancel.clone());
        let stays = self.layout.clone().read_owned().await;
        blocking(&self.place, move |place| {
            let _stays = stays;
            place.verify(&id, &cancel)
        })
        .await
    }

    async fn forget(&self, ids: &[SnapshotId]) -> Result<(), RepositoryError> {
        let ids = ids.to_vec();
        let turn = self.writer.clone().read_owned().await;
        blocking(&self.place, move |place| {
            let _turn = turn;
            place.forget(&ids)
        })
        .await
    }

    async fn prune(&self, grace: Duration) -> Result<Pruned, RepositoryError> {
        self.rearrange(move |place| place.prune(grace)).await
    }

    async fn check(&self) -> Result<Vec<String>, RepositoryError> {
        self.write(Place::check).await
    }

    async fn incomplete(&self) -> Result<Vec<SnapshotId>, RepositoryError> {
        let stays = self.layout.clone().read_owned().await;
        blocking(&self.place, move |place| {
            let _stays = stays;
            place.incomplete()
        })
        .await
    }

    async fn repair(&self) -> Result<Vec<String>, RepositoryError> {
        self.rearrange(Place::repair).await
    }
}
