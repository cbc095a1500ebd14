//! What a look does: lists a spool, brings files of it into a repository, takes them away, makes a mark. By programs inside the task of the
//! server, as for every backup; what they are told is in `havre_rescue::base`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use havre_backup::name::{EntryName, Tag};
use havre_backup::{Entry, Repository, RepositoryError, Source, Tally, Verdict};
use havre_core::backup::Content;
use havre_core::backup::policy::what_of;
use havre_core::database::Database;
use havre_core::event::Actor;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;
use havre_engine::exec::ExecSession;
use havre_engine::log::LogSource;
use havre_reconcile::deployment::chain;
use havre_rescue::base;
use havre_rescue::line::{base_of, forget_stretches};
use havre_rescue::producer::{postgres_session, reason, wal_file_name};
use havre_rescue::spool::{Batch, BatchWatch, Mark};
use havre_rescue::wal::{Segment, WalFile};
use havre_store::NewStretch;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio_util::sync::CancellationToken;

use crate::backup::{owner, repositories};
use crate::restore::copy::{self, Said, Server};
use crate::world::World;

/// Longest wait for a program that says little.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest time a program may write nothing while somebody reads.
const STALL: Duration = Duration::from_secs(300);
/// Bytes between a program and a repository.
const BUFFER: usize = 256 * 1024;
/// Files that are taken away at once: a command has at most 256 words.
const AT_ONCE: usize = 100;
/// Bytes that are kept of what a program says on standard error.
const SAID_MAX: usize = 4096;
/// Snapshots that are removed from a target at once.
const FORGET_MAX: u32 = 1000;

async fn ask(
    world: &World,
    server: &Server,
    words: Vec<String>,
    input: Option<String>,
) -> Result<Said, String> {
    let program = words.first().cloned().unwrap_or_default();
    match tokio::time::timeout(PATIENCE, copy::talk(world, server, words, input, BTreeMap::new())).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("{program} did not end within {} s", PATIENCE.as_secs())),
    }
}

/// What lies in the spool. A server that has handed nothing out yet has none; one that cannot hand out leaves targets behind, which is told.
pub(super) async fn list(world: &World, server: &Server) -> Result<BTreeSet<WalFile>, String> {
    let said = ask(world, server, base::list(), None).await?;
    if said.code != 0 {
        return Ok(BTreeSet::new());
    }
    Ok(said.output.lines().filter_map(|line| line.parse::<WalFile>().ok()).collect())
}

/// Takes files of the spool away. Those that are not there are fine.
pub(super) async fn remove(world: &World, server: &Server, files: &[WalFile]) -> Result<(), String> {
    for some in files.chunks(AT_ONCE) {
        let said = ask(world, server, base::remove(some), None).await?;
        if said.code != 0 {
            return Err(reason("rm", said.code, &said.errors));
        }
    }
    Ok(())
}

/// Has the server make a commit and hand out the segment it lies in.
pub(super) async fn make_mark(
    world: &World,
    server: &Server,
    now: Timestamp,
) -> Result<Option<Mark>, String> {
    let said = ask(world, server, postgres_session(&server.spec.name), Some(base::make_mark())).await?;
    if said.code != 0 {
        return Err(reason("psql", said.code, &said.errors));
    }
    Ok(base::mark(&said.output, now))
}

/// Brings a batch into the repository of its target, which gives it back before it counts, and records it.
pub(super) async fn store(
    world: &World,
    database: &Database,
    server: &Server,
    batch: &Batch,
    until: Option<Timestamp>,
) -> Result<(), String> {
    let repository = open(world, &batch.target).await?;
    let session = copy::exec(world, server, base::read(&batch.files), BTreeMap::new()).await;
    let session = session.map_err(|error| chain(&error))?;
    let entry = entry(database, batch, world.now());
    let (writer, reader) = tokio::io::duplex(BUFFER);
    let (source, verdict) = Source::new(reader);
    let never = CancellationToken::new();
    let (stored, given) = tokio::join!(
        repository.store(&entry, source, &never),
        give(session, writer, verdict, BatchWatch::new(&batch.files)),
    );
    let stored = match stored {
        Ok(stored) => stored.snapshot,
        Err(error) => {
            if matches!(error, RepositoryError::Missing { .. } | RepositoryError::Failed { .. }) {
                // Says whether the target can still be used.
                let _ = repositories::open(world, &batch.target).await;
            }
            return Err(chain(&error));
        }
    };
    if given.as_ref() != Some(&stored.content) {
        repository.forget(&[stored.id]).await.map_err(|error| chain(&error))?;
        return Err("the repository took in something else than the server gave out".to_owned());
    }
    let new = NewStretch {
        what: what_of(database),
        database: database.id,
        target: batch.target.clone(),
        first: batch.first,
        last: batch.last,
        until,
        snapshot: stored.id,
        content: stored.content,
        replaces: batch.replaces,
    };
    let record = world.store.write(world.now(), Actor::Havre, move |tx| tx.record_stretch(&new));
    record.await.map_err(|error| chain(&error))
}

/// The repository of a target. One that was opened before is used as it is: to prove its password takes a second by design.
async fn open(world: &World, target: &TargetName) -> Result<Arc<dyn Repository>, String> {
    match world.backups.repository(target) {
        Some(known) => Ok(known),
        None => Ok(repositories::open(world, target).await?.repository),
    }
}

fn entry(database: &Database, batch: &Batch, at: Timestamp) -> Entry {
    let what = what_of(database);
    let name: EntryName = wal_file_name(&what).parse().expect("our own names of files are names");
    let last = Segment { number: batch.last, ..batch.first };
    let tags = [
        what.key().replacen("database/", "wal/", 1),
        format!("from/{}", batch.first).to_lowercase(),
        format!("to/{last}").to_lowercase(),
    ];
    // Names may be too long for a tag.
    Entry { name, tags: tags.iter().filter_map(|tag| tag.parse::<Tag>().ok()).collect(), at }
}

/// Gives what a program writes to a repository, and says how that ended; what was given, where it was all, and the right files.
async fn give(
    session: ExecSession,
    mut writer: DuplexStream,
    verdict: Verdict,
    mut watch: BatchWatch,
) -> Option<Content> {
    let ExecSession { input, mut output, exit_code, .. } = session;
    drop(input);
    let (mut tally, mut errors) = (Tally::default(), Vec::new());
    let ended = loop {
        let piece = match tokio::time::timeout(STALL, output.next()).await {
            Err(_) => break Err("tar wrote nothing for some minutes".to_owned()),
            Ok(None) => break Ok(()),
            Ok(Some(Err(error))) => break Err(chain(&error)),
            Ok(Some(Ok(piece))) => piece,
        };
        match piece.stream {
            LogSource::Stdout => {
                tally.add(&piece.bytes);
                watch.push(&piece.bytes);
                // The repository says itself why it reads no more.
                writer.write_all(&piece.bytes).await.ok()?;
            }
            LogSource::Stderr => {
                let room = SAID_MAX.saturating_sub(errors.len()).min(piece.bytes.len());
                errors.extend_from_slice(&piece.bytes[..room]);
            }
        }
    };
    drop(writer);
    let judged = match ended {
        Err(reason) => Err(reason),
        Ok(()) => match tokio::time::timeout(PATIENCE, exit_code).await {
            Err(_) => Err("tar closed its output and did not end".to_owned()),
            Ok(Err(error)) => Err(chain(&error)),
            Ok(Ok(0)) => watch.finish(),
            Ok(Ok(code)) => Err(reason("tar", code, &String::from_utf8_lossy(&errors))),
        },
    };
    match judged {
        Ok(()) => {
            verdict.succeeded();
            Some(tally.content())
        }
        Err(reason) => {
            verdict.failed(reason);
            None
        }
    }
}

/// Lets go what no base backup at this target needs, and removes the snapshots of what was let go. What fails is done after the next closed
/// stretch.
pub(super) async fn tidy(world: &World, database: &Database, target: &TargetName) {
    if let Err(error) = try_tidy(world, database, target).await {
        tracing::warn!(database = %database.id, backup_target = %target, %error, "could not remove WAL nobody needs; trying again later");
    }
}

async fn try_tidy(world: &World, database: &Database, target: &TargetName) -> Result<(), String> {
    let (what, base, at) = (what_of(database), base_of(database), target.clone());
    let write = world.store.write(world.now(), Actor::Havre, move |tx| {
        let bases: Vec<_> = tx.list_bases(&base)?.into_iter().filter(|base| base.target == at).collect();
        let stretches: Vec<_> =
            tx.list_stretches(&what, 0)?.into_iter().filter(|one| one.target == at).collect();
        tx.let_go_stretches(&forget_stretches(&bases, &stretches))?;
        tx.list_let_go_stretches(&at, FORGET_MAX)
    });
    let gone = write.await.map_err(|error| chain(&error))?;
    if gone.is_empty() {
        return Ok(());
    }
    let (ids, snapshots): (Vec<_>, Vec<_>) = gone.into_iter().unzip();
    let repository = open(world, target).await?;
    let listed = repository.list().await.map_err(|error| chain(&error))?;
    owner::check(world, repository.as_ref(), &listed).await?;
    repository.forget(&snapshots).await.map_err(|error| chain(&error))?;
    let remove = world.store.write(world.now(), Actor::Havre, move |tx| tx.remove_stretches(&ids));
    remove.await.map_err(|error| chain(&error))
}
