//! Dumps out of databases and into them, and SQL with its answer, as streams for the API. A dump that is sent goes into a fresh database like a
//! copy, and the loop puts that into place. Tests: `tests/it/copy_transfer.rs`.

use std::future::Future;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use havre_core::copy::state::{FailureReason, Report, State};
use havre_core::copy::{DatabaseCopy, DumpFormat, Origin, check_version};
use havre_core::database::Database;
use havre_core::event::Actor;
use havre_core::id::CopyId;
use havre_core::secret::Secret;
use havre_decide::copy::command::{dump as dump_words, load};
use havre_decide::copy::header::{Header, HeaderError, TRAILER, read_header};
use havre_decide::copy::sql::{COUNT_OWN, LIST, MAINTENANCE};
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_reconcile::deployment::chain;
use havre_store::StoreError;
use tokio::sync::mpsc;

use super::program::{Dump, Loader, Trouble, say};
use super::{Subject, execute, rows, subject};
use crate::world::World;

/// Last bytes of a dump in which its end is looked for.
const TAIL: usize = 4096;

/// What a program writes. Its end without an error is the end of all of it; an error is for people.
pub type Pieces = BoxStream<'static, Result<Bytes, String>>;

/// A dump that somebody sends, piece by piece; `None` is its end. Without that it has broken off.
pub type Sent = mpsc::Receiver<Option<Bytes>>;

/// A dump of a database.
///
/// # Errors
/// When its program cannot be started.
pub async fn dump(
    engine: &dyn Engine,
    database: &Database,
    format: DumpFormat,
) -> Result<Pieces, EngineError> {
    let words = dump_words(database.spec.name.as_str(), format, None);
    Ok(pieces(Dump::start(engine, database, words, None).await?))
}

/// What SQL answers, said to a database as its superuser: one value in a line. The first error ends it.
///
/// # Errors
/// When its program cannot be started.
pub async fn query(engine: &dyn Engine, database: &Database, sql: &Secret) -> Result<Pieces, EngineError> {
    Ok(pieces(Dump::ask(engine, database, sql).await?))
}

fn pieces(dump: Dump) -> Pieces {
    let next = |dump: Option<Dump>| async move {
        let mut dump = dump?;
        match dump.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(dump))),
            Ok(None) => None,
            Err(trouble) => Some((Err(told(trouble)), None)),
        }
    };
    stream::unfold(Some(dump), next).boxed()
}

fn told(trouble: Trouble) -> String {
    match trouble {
        Trouble::Again(message) => message,
        Trouble::Never(reason) => reason.to_string(),
    }
}

/// Takes a dump that somebody sends for a copy that waits for it. Returns once it was taken in or refused, and the row says which.
///
/// # Errors
/// Where the copy does not wait for a dump, or the store fails; for people.
pub async fn import(world: &World, id: CopyId, sent: Sent) -> Result<(), String> {
    let Some(cancel) = world.copies.begin(id) else {
        return Err(format!("{id} is being made already, or the server is stopping"));
    };
    let taking = take_in(world, id, sent, cancel.cancelled()).await;
    world.copies.end(id);
    world.copies_wake.notify_one();
    taking
}

async fn take_in(
    world: &World,
    id: CopyId,
    sent: Sent,
    cancelled: impl Future<Output = ()>,
) -> Result<(), String> {
    let waiting = find(world, id).await?;
    let is_awaited =
        waiting.copy.origin == Origin::Upload && matches!(waiting.copy.state, State::Waiting { .. });
    if !is_awaited {
        return Err(format!("{id} does not wait for a dump"));
    }
    execute::store(world, &waiting, State::Copying { since: world.now() }).await?;
    let begun = world.store.write(world.now(), Actor::Havre, move |tx| tx.begin_copy_attempt(id)).await;
    match begun {
        Ok(_) => {}
        Err(StoreError::Conflict { .. }) => return Err(format!("{id} was cancelled")),
        Err(error) => return Err(chain(&error)),
    }
    let subject = find(world, id).await?;
    let taken = tokio::select! {
        taken = take(world, &subject, sent) => Some(taken),
        () = cancelled => None,
    };
    if taken.is_none() && world.copies.is_stopping() {
        return Ok(());
    }
    // It comes once: what would be tried again elsewhere is the end here.
    execute::end(world, &subject, taken, true).await
}

async fn find(world: &World, id: CopyId) -> Result<Subject, String> {
    let found = world.store.read(move |view| subject(view, view.get_copy(id)?)).await;
    found.map_err(|error| chain(&error))
}

async fn take(world: &World, subject: &Subject, mut sent: Sent) -> Result<Report, Trouble> {
    let copy = &subject.copy;
    let target = subject.target.as_ref().filter(|target| target.state.is_ready());
    let target = target.ok_or_else(|| not_taken("it does not answer right now".to_owned()))?;
    check_room(world, copy, target).await?;
    let (header, begun) = begin(&mut sent).await?;
    check_version(header.major, target).map_err(|unfit| refused(unfit.to_string()))?;
    rows::make_fresh(world, copy, target).await?;
    let words = load(&rows::names(copy).fresh, header.format);
    let loader = Loader::start(world.engine.as_ref(), target, words, copy.id).await?;
    let mut progress = rows::Progress::new(world, copy, "taking in");
    let mut tail = Vec::new();
    let mut next = Some(Bytes::from(begun));
    while let Some(bytes) = next {
        progress.add(bytes.len()).await;
        keep_tail(&mut tail, &bytes);
        if !loader.send(bytes).await {
            return Err(rows::stopped(loader).await);
        }
        next = sent.recv().await.ok_or_else(broken_off)?;
    }
    let is_whole = tail.windows(TRAILER.len()).any(|window| window == TRAILER.as_bytes());
    if header.format == DumpFormat::Plain && !is_whole {
        let message = "what pg_dump writes at the end is missing".to_owned();
        return Err(Trouble::Never(FailureReason::BrokenOff { message }));
    }
    loader.finish(true).await?;
    Ok(Report { bytes: progress.bytes, ..Report::default() })
}

/// A dump never goes over rows that are there.
async fn check_room(world: &World, copy: &DatabaseCopy, target: &Database) -> Result<(), Trouble> {
    let engine = world.engine.as_ref();
    if let Some(beside) = &copy.wish.beside {
        let there = say(engine, target, MAINTENANCE, LIST).await?;
        if there.lines().any(|line| line == beside.as_str()) {
            return Err(not_taken(format!("there is a database {beside} already")));
        }
        return Ok(());
    }
    let count = say(engine, target, target.spec.name.as_str(), COUNT_OWN).await?;
    if count.trim() == "0" {
        return Ok(());
    }
    Err(not_taken(format!(
        "{} is not empty, and a dump never goes over what is there: take it in under another name with --as",
        copy.place()
    )))
}

/// Reads until the dump has said what it is.
async fn begin(sent: &mut Sent) -> Result<(Header, Vec<u8>), Trouble> {
    let mut begun = Vec::new();
    loop {
        match read_header(&begun) {
            Ok(Some(header)) => return Ok((header, begun)),
            Ok(None) => {}
            Err(error) => return Err(refused(error.to_string())),
        }
        match sent.recv().await {
            Some(Some(bytes)) => begun.extend_from_slice(&bytes),
            Some(None) => return Err(refused(HeaderError::Unknown.to_string())),
            None => return Err(broken_off()),
        }
    }
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
    let extra = tail.len().saturating_sub(TAIL);
    tail.drain(..extra);
}

fn broken_off() -> Trouble {
    let message = "whoever sent it went away".to_owned();
    Trouble::Never(FailureReason::BrokenOff { message })
}

fn not_taken(message: String) -> Trouble {
    Trouble::Never(FailureReason::NotTaken { message })
}

fn refused(message: String) -> Trouble {
    Trouble::Never(FailureReason::Refused { message })
}
