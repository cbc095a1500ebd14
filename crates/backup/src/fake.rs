//! A repository in memory for tests of the loops. Share it as an `Arc` or clone it to let it survive a "restart" of control; it keeps
//! whole streams and is for small ones. Tests: the contract suite `tests/it/contract.rs`, which the real repository passes too.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use havre_core::backup::{Content, RepositoryId, SnapshotId};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::dump::{self, Dump, PART_BYTES, Part};
use crate::error::{READ_BACK, RepositoryError};
use crate::repository::{Entry, Pruned, Repository, Snapshot, Stored};
use crate::source::Source;

/// What errors call it.
const PLACE: &str = "memory";

#[derive(Debug, Clone)]
struct Held {
    snapshot: Snapshot,
    bytes: Bytes,
}

#[derive(Debug, Default)]
struct World {
    is_made: bool,
    password: String,
    held: Vec<Held>,
    /// Bytes that were forgotten.
    unneeded: u64,
    /// Those of them that a prune has marked.
    marked: u64,
    made: u64,
    broken: Option<String>,
    /// A file that later streams rely on is damaged, and nobody has set it aside.
    is_rotten: bool,
}

/// The fake.
#[derive(Debug, Clone)]
pub struct FakeRepository {
    world: Arc<Mutex<World>>,
    password: String,
}

impl Default for FakeRepository {
    fn default() -> Self {
        Self { world: Arc::default(), password: "password".to_owned() }
    }
}

fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn content(bytes: &[u8]) -> Content {
    let sha256 = hash(bytes).parse().expect("64 hex digits are a digest");
    Content { bytes: bytes.len() as u64, sha256 }
}

impl FakeRepository {
    /// The same repository, opened with another password.
    #[must_use]
    pub fn with_password(&self, password: &str) -> Self {
        Self { world: self.world.clone(), password: password.to_owned() }
    }

    /// From now on everything fails with this; with `None` it works again.
    pub fn break_with(&self, reason: Option<&str>) {
        self.lock().broken = reason.map(str::to_owned);
    }

    /// Turns a bit in the last byte of what is held of a snapshot.
    pub fn damage(&self, id: &SnapshotId) {
        for held in self.lock().held.iter_mut().filter(|held| held.snapshot.id == *id) {
            let mut bytes = held.bytes.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            held.bytes = bytes.into();
        }
    }

    /// Damages a file that every later stream relies on; a repair finds it.
    pub fn rot(&self) {
        self.lock().is_rotten = true;
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> Result<MutexGuard<'_, World>, RepositoryError> {
        let world = self.lock();
        if let Some(reason) = &world.broken {
            let reason = reason.clone();
            return Err(RepositoryError::Failed {
                doing: "open the repository",
                place: PLACE.to_owned(),
                reason,
            });
        }
        if !world.is_made {
            return Err(RepositoryError::Missing { place: PLACE.to_owned() });
        }
        if world.password != self.password {
            return Err(RepositoryError::WrongPassword { place: PLACE.to_owned() });
        }
        Ok(world)
    }

    fn find(&self, id: &SnapshotId) -> Result<Held, RepositoryError> {
        let world = self.opened()?;
        let found = world.held.iter().find(|held| held.snapshot.id == *id).cloned();
        found.ok_or_else(|| RepositoryError::SnapshotMissing { id: id.clone() })
    }
}

fn id() -> RepositoryId {
    "f".repeat(64).parse().expect("64 hex digits are an id")
}

fn compare(held: &Held) -> Result<Content, RepositoryError> {
    let (expected, found) = (held.snapshot.content.clone(), content(&held.bytes));
    if expected == found { Ok(found) } else { Err(RepositoryError::Differs { expected, found }) }
}

#[async_trait]
impl Repository for FakeRepository {
    async fn init(&self) -> Result<RepositoryId, RepositoryError> {
        let mut world = self.lock();
        if world.is_made {
            let reason = "there is one".to_owned();
            return Err(RepositoryError::Occupied { place: PLACE.to_owned(), reason });
        }
        world.is_made = true;
        world.password.clone_from(&self.password);
        Ok(id())
    }

    async fn open(&self) -> Result<RepositoryId, RepositoryError> {
        self.opened().map(|_| id())
    }

    async fn store(
        &self,
        entry: &Entry,
        source: Source,
        cancel: &CancellationToken,
    ) -> Result<Stored, RepositoryError> {
        drop(self.opened()?);
        let (mut reader, ended) = source.into_parts();
        let mut bytes = Vec::new();
        let read = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(RepositoryError::Cancelled),
            read = reader.read_to_end(&mut bytes) => read,
        };
        read.map_err(|error| RepositoryError::Source { reason: error.to_string() })?;
        let content = ended.judge(content(&bytes), cancel).await?;
        let mut world = self.opened()?;
        if world.is_rotten {
            let reason = "a file is shorter than it was".to_owned();
            return Err(RepositoryError::Failed { doing: READ_BACK, place: PLACE.to_owned(), reason });
        }
        world.made += 1;
        let id = hash(world.made.to_string().as_bytes()).parse().expect("64 hex digits are an id");
        let snapshot =
            Snapshot { id, name: entry.name.clone(), tags: entry.tags.clone(), at: entry.at, content };
        let is_known = world.held.iter().any(|held| held.bytes == bytes);
        let added_bytes = if is_known { 0 } else { snapshot.content.bytes };
        world.held.push(Held { snapshot: snapshot.clone(), bytes: bytes.into() });
        Ok(Stored { snapshot, added_bytes })
    }

    async fn list(&self) -> Result<Vec<Snapshot>, RepositoryError> {
        let mut found: Vec<Snapshot> = self.opened()?.held.iter().map(|held| held.snapshot.clone()).collect();
        found.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id)));
        Ok(found)
    }

    async fn dump(&self, id: &SnapshotId, _cancel: &CancellationToken) -> Result<Dump, RepositoryError> {
        let held = self.find(id)?;
        let (sender, dump) = dump::channel();
        tokio::spawn(async move {
            for part in held.bytes.chunks(PART_BYTES) {
                if sender.send(Part::Bytes(Bytes::copy_from_slice(part))).await.is_err() {
                    return;
                }
            }
            // Where nobody listens any more, nobody needs to know.
            let _ = sender.send(Part::End(compare(&held))).await;
        });
        Ok(dump)
    }

    async fn verify(&self, id: &SnapshotId, cancel: &CancellationToken) -> Result<Content, RepositoryError> {
        if cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        compare(&self.find(id)?)
    }

    async fn forget(&self, ids: &[SnapshotId]) -> Result<(), RepositoryError> {
        let mut world = self.opened()?;
        let ids: BTreeSet<&SnapshotId> = ids.iter().collect();
        let (gone, kept): (Vec<Held>, Vec<Held>) =
            std::mem::take(&mut world.held).into_iter().partition(|held| ids.contains(&held.snapshot.id));
        world.held = kept;
        world.unneeded += gone.iter().map(|held| held.snapshot.content.bytes).sum::<u64>();
        Ok(())
    }

    async fn prune(&self, grace: Duration) -> Result<Pruned, RepositoryError> {
        let mut world = self.opened()?;
        // There is no clock in here: what was marked by a prune before counts as marked for long enough where no time is asked for.
        let removed_bytes = if grace.is_zero() { std::mem::take(&mut world.marked) } else { 0 };
        let marked_bytes = std::mem::take(&mut world.unneeded);
        world.marked += marked_bytes;
        Ok(Pruned { marked_bytes, removed_bytes })
    }

    async fn check(&self) -> Result<Vec<String>, RepositoryError> {
        let world = self.opened()?;
        Ok(world.held.iter().filter_map(|held| compare(held).err()).map(|error| error.to_string()).collect())
    }

    async fn incomplete(&self) -> Result<Vec<SnapshotId>, RepositoryError> {
        let world = self.opened()?;
        Ok(world
            .held
            .iter()
            .filter(|held| compare(held).is_err())
            .map(|held| held.snapshot.id.clone())
            .collect())
    }

    async fn repair(&self) -> Result<Vec<String>, RepositoryError> {
        let mut world = self.opened()?;
        world.is_rotten = false;
        Ok(world
            .held
            .iter()
            .filter(|held| compare(held).is_err())
            .map(|held| held.snapshot.id.to_string())
            .collect())
    }
}
