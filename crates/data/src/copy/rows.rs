//! Rows on their way into a fresh database. A masked copy reads its source three times, in one and the same state: the structure, to say early
//! whether rules fit; everything, to say whether something personal is left that no rule speaks of; and everything once more, masked, into the
//! target. So what a rule is missing for never gets there, not for a moment. Nothing of it touches a disk of ours.

use bytes::Bytes;
use havre_core::copy::state::{FailureReason, Leaked, Report, TableCount};
use havre_core::copy::{DatabaseCopy, DumpFormat};
use havre_core::database::Database;
use havre_core::secret::Secret;
use havre_core::time::Timestamp;
use havre_decide::copy::command::{dump, dump_schema, load};
use havre_decide::copy::sql::{MAINTENANCE, Names, own, prepare, stop};
use havre_privacy::error::MaskError;
use havre_privacy::leak::{Found, Leak};
use havre_privacy::masker::{Finished, Masker};
use havre_privacy::policy::Policy;
use havre_privacy::salt::Salt;
use havre_reconcile::service::record_waiting;

use super::program::{Dump, Loader, Trouble, say, snapshot};
use crate::world::World;

/// Most original values that the leak test remembers; a sample of them where there are more.
const REMEMBERED_MAX: usize = 200_000;
/// Most tables in a report.
const TABLES_MAX: usize = 500;
/// Longest reason that is kept, in bytes.
const REASON_MAX: usize = 64 * 1024;
/// How often people are told how far it has come.
const TELL_EVERY_MS: u128 = 2000;

/// A copy with the two databases it is about.
pub(crate) struct Ends<'a> {
    pub(crate) copy: &'a DatabaseCopy,
    pub(crate) source: &'a Database,
    pub(crate) target: &'a Database,
}

impl Ends<'_> {
    pub(crate) fn names(&self) -> Names {
        names(self.copy)
    }
}

/// Names of the databases a copy is about.
pub(crate) fn names(copy: &DatabaseCopy) -> Names {
    Names::new(&copy.name, copy.id, copy.wish.beside.as_ref())
}

/// Makes the fresh database a copy goes into, in place of one an earlier attempt left.
///
/// # Errors
/// `Again` where the server does not take it.
pub(crate) async fn make_fresh(world: &World, copy: &DatabaseCopy, target: &Database) -> Result<(), Trouble> {
    let names = names(copy);
    say(world.engine.as_ref(), target, MAINTENANCE, &prepare(&names, copy.id)).await?;
    say(world.engine.as_ref(), target, &names.fresh, &own()).await?;
    Ok(())
}

/// Copies as it was wished.
///
/// # Errors
/// See [`Trouble`].
pub(crate) async fn copy(world: &World, ends: &Ends<'_>) -> Result<Report, Trouble> {
    let engine = world.engine.as_ref();
    // What an earlier attempt left running reads for nobody.
    say(engine, ends.source, MAINTENANCE, &stop(ends.copy.id)).await?;
    match &ends.copy.wish.policy {
        Some(text) => copy_masked(world, ends, text).await,
        None => copy_unmasked(world, ends).await,
    }
}

/// Why a reader takes no more.
pub(crate) async fn stopped(loader: Loader) -> Trouble {
    match loader.finish(false).await {
        Err(trouble) => trouble,
        Ok(()) => Trouble::Again("its reader ended before the dump did".to_owned()),
    }
}

/// As it is, in the archive form of `pg_dump`: no text of it is read as a command.
async fn copy_unmasked(world: &World, ends: &Ends<'_>) -> Result<Report, Trouble> {
    let (engine, id) = (world.engine.as_ref(), ends.copy.id);
    make_fresh(world, ends.copy, ends.target).await?;
    let words = dump(ends.source.spec.name.as_str(), DumpFormat::Custom, None);
    let mut pieces = Dump::start(engine, ends.source, words, Some(id)).await?;
    let words = load(&ends.names().fresh, DumpFormat::Custom);
    let loader = Loader::start(engine, ends.target, words, id).await?;
    let mut progress = Progress::new(world, ends.copy, "copying");
    while let Some(bytes) = pieces.next().await? {
        progress.add(bytes.len()).await;
        if !loader.send(bytes).await {
            return Err(stopped(loader).await);
        }
    }
    loader.finish(true).await?;
    Ok(Report { bytes: progress.bytes, ..Report::default() })
}

async fn copy_masked(world: &World, ends: &Ends<'_>, text: &str) -> Result<Report, Trouble> {
    let (engine, id) = (world.engine.as_ref(), ends.copy.id);
    let name = ends.source.spec.name.as_str();
    let policy = Policy::parse(text).map_err(|error| refused(&error.to_string()))?;
    let project = ends.copy.project.clone();
    let salt = world.store.read(move |view| view.find_salt(&project)).await?;
    let salt = salt.as_ref().map(make_salt).transpose()?;
    let salt = salt.ok_or_else(|| Trouble::Again("the project has no salt".to_owned()))?;
    let held = snapshot(engine, ends.source, id).await?;

    let masker = Masker::new(policy.clone(), salt.clone());
    let words = dump_schema(name, &held.name);
    judge(world, ends, words, masker).await?;

    let masker = Masker::new(policy.clone(), salt.clone());
    let leak = Leak::new(salt.clone(), REMEMBERED_MAX);
    let words = dump(name, DumpFormat::Plain, Some(&held.name));
    let judged = judge(world, ends, words.clone(), masker.with_leak(leak)).await?;
    let leak = judged.leak.expect("it was given one");

    make_fresh(world, ends.copy, ends.target).await?;
    let pieces = Dump::start(engine, ends.source, words, Some(id)).await?;
    let report = fill(world, ends, pieces, (Masker::new(policy, salt), leak)).await?;
    drop(held);
    Ok(report)
}

fn make_salt(secret: &Secret) -> Result<Salt, Trouble> {
    Salt::new(secret).map_err(|error| refused(&error.to_string()))
}

/// Lets a dump through the rules and throws away what comes out.
async fn judge(
    world: &World,
    ends: &Ends<'_>,
    words: Vec<String>,
    mut masker: Masker,
) -> Result<Finished, Trouble> {
    let mut pieces = Dump::start(world.engine.as_ref(), ends.source, words, Some(ends.copy.id)).await?;
    let mut progress = Progress::new(world, ends.copy, "judging");
    let mut masked = Vec::new();
    while let Some(bytes) = pieces.next().await? {
        progress.add(bytes.len()).await;
        masker.push(&bytes, &mut masked).map_err(refused_by)?;
        masked.clear();
    }
    masker.finish(&mut masked).map_err(refused_by)
}

/// Masks a dump into the fresh database, and searches what comes out for original values.
async fn fill(
    world: &World,
    ends: &Ends<'_>,
    mut pieces: Dump,
    (mut masker, leak): (Masker, Leak),
) -> Result<Report, Trouble> {
    let words = load(&ends.names().fresh, DumpFormat::Plain);
    let loader = Loader::start(world.engine.as_ref(), ends.target, words, ends.copy.id).await?;
    let mut progress = Progress::new(world, ends.copy, "copying");
    let remembered = leak.remembered();
    let mut search = leak.search();
    while let Some(bytes) = pieces.next().await? {
        let mut masked = Vec::with_capacity(bytes.len());
        masker.push(&bytes, &mut masked).map_err(refused_by)?;
        if masked.is_empty() {
            continue;
        }
        search.push(&masked);
        progress.add(masked.len()).await;
        if !loader.send(Bytes::from(masked)).await {
            return Err(stopped(loader).await);
        }
    }
    let mut masked = Vec::new();
    let finished = masker.finish(&mut masked).map_err(refused_by)?;
    search.push(&masked);
    progress.add(masked.len()).await;
    let is_whole = masked.is_empty() || loader.send(Bytes::from(masked)).await;
    loader.finish(is_whole).await?;
    let found: Vec<Leaked> = search.finish().into_iter().map(leaked).collect();
    if !found.is_empty() && !ends.copy.wish.accept_leaks {
        return Err(Trouble::Never(FailureReason::Leaked { found }));
    }
    Ok(report(&finished, progress.bytes, (remembered, found)))
}

fn report(finished: &Finished, bytes: u64, (remembered, leaks): (usize, Vec<Leaked>)) -> Report {
    let tables = finished.report.tables.iter().take(TABLES_MAX).map(|(table, count)| TableCount {
        table: table.to_string(),
        seen: count.seen,
        copied: count.copied,
    });
    Report {
        bytes,
        tables: tables.collect(),
        large_objects: finished.report.dropped,
        remembered: remembered as u64,
        leaks,
    }
}

fn leaked(found: Found) -> Leaked {
    Leaked { table: found.table.to_string(), column: found.column, shown: found.shown, times: found.times }
}

fn refused_by(error: MaskError) -> Trouble {
    refused(&error.to_string())
}

fn refused(message: &str) -> Trouble {
    let message = message[..message.floor_char_boundary(REASON_MAX)].to_owned();
    Trouble::Never(FailureReason::Refused { message })
}

/// How far a copy has come, for people.
pub(crate) struct Progress<'a> {
    world: &'a World,
    copy: &'a DatabaseCopy,
    what: &'static str,
    told_at: Timestamp,
    /// So far.
    pub(crate) bytes: u64,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(world: &'a World, copy: &'a DatabaseCopy, what: &'static str) -> Self {
        Self { world, copy, what, told_at: world.now(), bytes: 0 }
    }

    /// So many more.
    pub(crate) async fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let now = self.world.now();
        if now.since(self.told_at).as_millis() < TELL_EVERY_MS {
            return;
        }
        self.told_at = now;
        let text = format!("{}: {} MB so far", self.what, self.bytes / (1024 * 1024));
        if let Err(error) = record_waiting(self.world, "copy", self.copy.id.row(), text).await {
            tracing::debug!(%error, "could not tell how far a copy has come");
        }
    }
}
