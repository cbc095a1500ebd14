//! One run, from the row that says it begins to the one that says how it ended. What was seen goes through `havre_core::backup::state`, which
//! alone says what follows; each state is recorded before anything relies on it. Where Havre is killed, the row stays begun, and the next
//! start says that it was interrupted.

use std::collections::BTreeMap;

use havre_backup::name::{EntryName, Tag};
use havre_backup::{Entry, Repository, RepositoryError, Source, Tally, Verdict};
use havre_core::backup::run::{BackupRun, Progress};
use havre_core::backup::state::{About, Exit, Observation, State, observe};
use havre_core::backup::{RepositoryId, SnapshotId};
use havre_core::event::Actor;
use havre_core::id::BackupRunId;
use havre_reconcile::deployment::chain;
use havre_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::heal;
use super::producer::{self, Subject};
use super::repositories::{self, Opened};
use super::stream::Sink;
use crate::world::World;

/// Bytes between a producer and a repository.
const BUFFER: usize = 256 * 1024;
/// Tries to record what was seen, where somebody else changes the row meanwhile.
const TRIES: usize = 3;

/// A run on its way.
struct Course<'a> {
    world: &'a World,
    id: BackupRunId,
    state: State,
    about: About,
    progress: Progress,
}

impl<'a> Course<'a> {
    fn of(world: &'a World, run: &BackupRun) -> Self {
        let about = About {
            what: run.what.clone(),
            source_version: String::new(),
            rows: BTreeMap::new(),
            repository: unknown(),
            started_at: run.begun_at.unwrap_or(run.created_at),
        };
        Self { world, id: run.id, state: run.state.clone(), about, progress: run.progress }
    }

    /// Takes in what was seen, and records what follows; snapshots nobody may take for a backup.
    async fn see(&mut self, seen: Observation) -> Result<Vec<SnapshotId>, StoreError> {
        for _ in 0..TRIES {
            let now = self.world.now();
            let outcome = observe(&self.state, &seen, &self.about, now);
            if outcome.next == self.state {
                return Ok(outcome.remove);
            }
            let (id, from, to, progress) = (self.id, self.state.clone(), outcome.next.clone(), self.progress);
            let record = self
                .world
                .store
                .write(now, Actor::Havre, move |tx| tx.record_backup_state(id, &from, &to, progress));
            match record.await {
                Ok(()) => {
                    self.state = outcome.next;
                    return Ok(outcome.remove);
                }
                // A write that nobody waited for any more.
                Err(StoreError::Conflict { .. }) => {
                    self.state = self.world.store.read(move |view| view.get_backup_run(id)).await?.state;
                }
                Err(error) => return Err(error),
            }
        }
        tracing::error!(run = %self.id, "the row of a backup changes all the time; it is given up");
        Ok(Vec::new())
    }
}

/// The id of no repository, for runs that never saw theirs; it is in no manifest.
fn unknown() -> RepositoryId {
    "0".repeat(64).parse().expect("64 hex digits are an id")
}

/// Marks a run that was found begun, although nobody is at it, and says which snapshots are of no use.
pub(super) async fn interrupt(world: &World, run: &BackupRun) -> Result<(), StoreError> {
    let remove = Course::of(world, run).see(Observation::Interrupted).await?;
    if let Some(repository) = world.backups.repository(&run.target) {
        forget(repository.as_ref(), &remove).await;
    }
    Ok(())
}

/// Marks a run that was cancelled before it began.
pub(super) async fn cancel(world: &World, run: &BackupRun) -> Result<(), StoreError> {
    Course::of(world, run).see(Observation::Cancelled).await.map(drop)
}

/// Marks a good run whose snapshot is not there any more.
pub(super) async fn gone(world: &World, run: &BackupRun) -> Result<(), StoreError> {
    Course::of(world, run).see(Observation::Gone).await.map(drop)
}

/// Makes the run; the repository, where there is a new good backup in it.
pub(super) async fn run(
    world: &World,
    run: &BackupRun,
    cancel: &CancellationToken,
) -> Result<Option<Opened>, StoreError> {
    let mut course = Course::of(world, run);
    let subject = match producer::find(world, run).await? {
        Ok(subject) => subject,
        Err(reason) => {
            let content = Tally::default().content();
            let exit = Exit::Failed { reason };
            course.see(Observation::Produced { exit, content }).await?;
            return Ok(None);
        }
    };
    let stop = world.backups.stop();
    let seen = tokio::select! {
        biased;
        () = cancel.cancelled() => Observation::Cancelled,
        () = stop.cancelled() => Observation::Interrupted,
        done = work(&mut course, run, &subject) => return done,
    };
    let remove = course.see(seen).await?;
    producer::clean_up(world, &subject, &run.target).await;
    if let Some(repository) = world.backups.repository(&run.target) {
        forget(repository.as_ref(), &remove).await;
    }
    Ok(None)
}

async fn work(
    course: &mut Course<'_>,
    run: &BackupRun,
    subject: &Subject,
) -> Result<Option<Opened>, StoreError> {
    let world = course.world;
    let opened = match repositories::open(world, &run.target).await {
        Ok(opened) => opened,
        Err(reason) => {
            course.see(Observation::Broken { reason }).await?;
            return Ok(None);
        }
    };
    course.about.repository = opened.id.clone();
    let entry = entry(run, subject);
    let (writer, reader) = tokio::io::duplex(BUFFER);
    let (source, verdict) = Source::new(reader);
    let never = CancellationToken::new();
    let sink = Sink::new(world, run.id, writer);
    let (stored, produced) = tokio::join!(
        // Whoever stops the run drops this, which cancels it.
        opened.repository.store(&entry, source, &never),
        produce(course, run, subject, sink, verdict),
    );
    produced?;
    let stored = match stored {
        Ok(stored) => stored,
        Err(error) => {
            // Where the producer has failed that is known, and this only followed from it.
            course.see(Observation::Broken { reason: chain(&error) }).await?;
            if error.may_be_damage() {
                heal::heal(world, &run.target, opened.repository.as_ref()).await;
            }
            if matches!(error, RepositoryError::Missing { .. } | RepositoryError::Failed { .. }) {
                // Says whether the target can still be used.
                let _ = repositories::open(world, &run.target).await;
            }
            return Ok(None);
        }
    };
    course.progress.added_bytes = stored.added_bytes;
    let snapshot = stored.snapshot;
    let id = snapshot.id.clone();
    let mut remove =
        course.see(Observation::Stored { snapshot: snapshot.id, content: snapshot.content }).await?;
    remove.extend(course.see(read_back(opened.repository.as_ref(), &id).await).await?);
    forget(opened.repository.as_ref(), &remove).await;
    Ok(matches!(course.state, State::Good { .. }).then_some(opened))
}

/// Runs the producer, and tells the repository its end only after that was judged and recorded.
async fn produce(
    course: &mut Course<'_>,
    run: &BackupRun,
    subject: &Subject,
    sink: Sink<'_>,
    verdict: Verdict,
) -> Result<(), StoreError> {
    let Ok(produced) = producer::produce(course.world, subject, &run.target, sink).await else {
        // The repository says itself why it reads no more.
        producer::clean_up(course.world, subject, &run.target).await;
        return Ok(());
    };
    if let Some((database, facts)) = produced.base {
        let (id, now) = (run.id, course.world.now());
        let record = move |tx: &mut havre_store::Tx<'_>| tx.record_base_backup(id, database, facts);
        course.world.store.write(now, Actor::Havre, record).await?;
    }
    course.about.source_version = produced.version;
    course.about.rows = produced.rows;
    course.progress.produced_bytes = produced.content.bytes;
    course.see(Observation::Produced { exit: produced.exit, content: produced.content }).await?;
    match &course.state {
        State::Storing { .. } => verdict.succeeded(),
        State::Failed { reason, .. } => verdict.failed(reason.to_string()),
        State::Dumping { .. } | State::Verifying { .. } | State::Good { .. } => {
            verdict.failed("its end came at a point where it cannot come");
        }
    }
    Ok(())
}

/// What the repository gives back: it has read all of it before it wrote the snapshot, and here it is asked once more whether that is there,
/// as anybody else would ask.
async fn read_back(repository: &dyn Repository, id: &SnapshotId) -> Observation {
    match repository.list().await {
        Ok(listed) => match listed.into_iter().find(|one| one.id == *id) {
            Some(found) => Observation::ReadBack { content: found.content },
            None => Observation::Gone,
        },
        Err(error) => Observation::Broken { reason: chain(&error) },
    }
}

/// Removes snapshots of runs that failed. What cannot be removed now is found by its tag after the next good run.
async fn forget(repository: &dyn Repository, remove: &[SnapshotId]) {
    if remove.is_empty() {
        return;
    }
    if let Err(error) = repository.forget(remove).await {
        tracing::warn!(error = %chain(&error), "could not remove the snapshot of a backup that failed; the next one does");
    }
}

fn entry(run: &BackupRun, subject: &Subject) -> Entry {
    let name: EntryName = subject.file_name(&run.what).parse().expect("our own names of files are names");
    // Names may be too long for a tag; the id of the run never is.
    let tags = [run.what.key().parse::<Tag>().ok(), Some(tag(run.id))];
    Entry { name, tags: tags.into_iter().flatten().collect(), at: run.begun_at.unwrap_or(run.created_at) }
}

/// The tag that says which run made a snapshot.
pub(super) fn tag(run: BackupRunId) -> Tag {
    format!("run/{run}").parse().expect("an id is part of a tag")
}
