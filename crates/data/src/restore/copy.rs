//! Copies: a snapshot goes into a server, and what is then in there is looked at. All of it by programs inside the task of the server, so that
//! no port is open for it and no password leaves the task. What is said, and what an answer means, is in `havre_rescue::load`. What
//! is particular to each server is in `postgres`, `mariadb` and `redis`.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use havre_backup::{Dump, RepositoryError, Tally};
use havre_core::backup::Content;
use havre_core::backup::manifest::Manifest;
use havre_core::database::spec::{DatabaseSpec, Kind};
use havre_core::name::{EnvKey, TargetName};
use havre_core::service::spec::Argv;
use havre_decide::database::mariadb::error;
use havre_decide::database::plan::Health;
use havre_engine::error::EngineError;
use havre_engine::exec::{ExecOutput, ExecSession, ExecSpec};
use havre_engine::log::LogSource;
use havre_reconcile::database::client;
use havre_reconcile::deployment::chain;
use havre_rescue::load;
use havre_rescue::producer::reason;
use havre_rescue::proof::{Failure, Findings, Keys, Observation};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::mariadb::Guests;
use super::{mariadb, postgres, redis};
use crate::backup::repositories;
use crate::world::World;

/// Longest time a snapshot may take to go in: indexes of a large table are made in silence, so silence says nothing.
const LOAD_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest time all checks together may take.
const CHECK_MAX: Duration = Duration::from_secs(6 * 3600);
/// Longest wait for a server to take an owner in.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest output that is read: a line for each of a thousand tables has room.
const OUTPUT_MAX: usize = 1024 * 1024;
/// Bytes that are kept of what a loader says: their end says why it stopped.
const SAID_MAX: usize = 4096;

/// A server in a task, and the database in it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Name of the container.
    pub(crate) container: String,
    /// What it is, or shall be once it is filled.
    pub(crate) spec: DatabaseSpec,
}

impl Server {
    /// What a program said on standard error, as far as it may be told.
    fn plain(&self, errors: &str) -> String {
        match self.spec.engine {
            // It may repeat a part of a statement.
            Kind::Mariadb => error(errors),
            Kind::Postgres | Kind::Redis | Kind::Valkey => errors.to_owned(),
        }
    }

    /// Why a program did not do what it was told.
    pub(super) fn reason(&self, program: &str, code: i64, errors: &str) -> String {
        reason(program, code, &self.plain(errors))
    }
}

/// A snapshot that is given out.
pub(super) struct Source<'a> {
    /// What it must be.
    pub(super) manifest: &'a Manifest,
    /// Its first bytes, which say what it is.
    pub(super) first: Bytes,
    /// The rest.
    pub(super) dump: Dump,
}

/// What a program said.
pub(crate) struct Said {
    pub(crate) code: i64,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Whether the server takes connections; why not, in words.
pub(super) async fn probe(world: &World, server: &Server) -> Result<(), String> {
    let asked = client::Server { container: server.container.clone(), spec: &server.spec };
    match client::ask(world, &asked).await {
        Health::Answers => Ok(()),
        Health::Silent { message } => Err(message),
        Health::NotAsked => Err("has not been asked yet".to_owned()),
    }
}

/// Puts a snapshot into a server. `None` where Havre stops before that has ended: then nobody knows what is in.
pub(super) async fn load(
    world: &World,
    server: &Server,
    (target, manifest): (&TargetName, &Manifest),
    stop: &CancellationToken,
) -> Option<Observation> {
    let late = |reason| Failure::Loader { reason };
    let loaded = bounded(LOAD_MAX, try_load(world, server, target, manifest), late);
    tokio::select! {
        () = stop.cancelled() => None,
        loaded = loaded => Some(match loaded {
            Ok((content, keys)) => Observation::Loaded { content, keys },
            Err(reason) => Observation::Broken { reason },
        }),
    }
}

/// Counts the rows of a server; of one that is thrown away also its structure, and what users want to be true. One that stays is made what
/// it shall be.
pub(super) async fn check(
    world: &World,
    server: &Server,
    assertions: Option<&[String]>,
    stop: &CancellationToken,
) -> Option<Observation> {
    let late = |reason| Failure::Unreadable { reason };
    let found = bounded(CHECK_MAX, try_check(world, server, assertions), late);
    tokio::select! {
        () = stop.cancelled() => None,
        found = found => Some(match found {
            Ok(findings) => Observation::Checked { findings },
            Err(reason) => Observation::Broken { reason },
        }),
    }
}

async fn bounded<T>(
    most: Duration,
    work: impl Future<Output = Result<T, Failure>>,
    late: impl FnOnce(String) -> Failure,
) -> Result<T, Failure> {
    match tokio::time::timeout(most, work).await {
        Ok(result) => result,
        Err(_) => Err(late(format!("it did not end within {} hours", most.as_secs() / 3600))),
    }
}

async fn try_load(
    world: &World,
    server: &Server,
    target: &TargetName,
    manifest: &Manifest,
) -> Result<(Content, Option<Keys>), Failure> {
    let failed = |error: RepositoryError| Failure::Repository { reason: chain(&error) };
    let opened = repositories::open(world, target).await;
    let opened = opened.map_err(|reason| Failure::Repository { reason })?;
    if opened.id != manifest.repository {
        let reason = "another repository lies there than the one the manifest names".to_owned();
        return Err(Failure::Repository { reason });
    }
    let cancel = CancellationToken::new();
    // Whoever gives this up does not read the rest of it.
    let _gives_up = cancel.clone().drop_guard();
    let mut dump = opened.repository.dump(&manifest.snapshot, &cancel).await.map_err(failed)?;
    let Some(first) = dump.next().await.map_err(failed)? else {
        return Err(Failure::Repository { reason: "the snapshot is empty".to_owned() });
    };
    let source = Source { manifest, first, dump };
    match server.spec.engine {
        Kind::Postgres => Ok((postgres::fill(world, server, source).await?, None)),
        Kind::Mariadb => Ok((mariadb::fill(world, server, source).await?, None)),
        Kind::Redis | Kind::Valkey => {
            let (content, keys) = redis::fill(world, server, source).await?;
            Ok((content, Some(keys)))
        }
    }
}

pub(super) fn loader(error: &EngineError) -> Failure {
    Failure::Loader { reason: chain(error) }
}

/// The command that reads a snapshot that begins like this into the database of a server.
pub(super) fn loader_words(server: &Server, first: &[u8]) -> Result<Vec<String>, Failure> {
    let Server { spec, .. } = server;
    load::loader(load::format(first), spec.engine, &spec.name).ok_or_else(|| Failure::Unsupported {
        reason: format!("the snapshot is nothing that a server of {} reads", spec.engine),
    })
}

/// Says to a session who shall be there.
pub(super) async fn make_owner(
    world: &World,
    server: &Server,
    words: Vec<String>,
    sql: String,
) -> Result<(), Failure> {
    let program = words[0].clone();
    let asked = talk(world, server, words, Some(sql), BTreeMap::new());
    let failed = |reason| Err(Failure::Loader { reason });
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(said)) if said.code == 0 => Ok(()),
        Ok(Ok(said)) => failed(server.reason(&program, said.code, &said.errors)),
        Ok(Err(error)) => Err(loader(&error)),
        Err(_) => failed(format!("{program} did not end")),
    }
}

/// Why a snapshot did not go in to its end.
enum Stopped {
    /// Somebody it names could not be made.
    Owner(Failure),
    /// The repository could not give the rest out.
    Source(RepositoryError),
    /// The loader takes no more; its exit code says why.
    Gone,
}

/// Gives a snapshot to a loader, and waits for its end. What counts is what was given. Guests are let in before what names them.
pub(super) async fn feed(
    server: &Server,
    session: ExecSession,
    program: &str,
    (first, dump): (Bytes, Dump),
    guests: Option<Guests<'_>>,
) -> Result<Content, Failure> {
    let ExecSession { input, output, exit_code, .. } = session;
    let (given, said) = tokio::join!(give(input, first, dump, guests), listen(output, SAID_MAX));
    // The cause before what followed from it: a loader that got half of a snapshot fails as well.
    match &given {
        Err(Stopped::Source(error)) => return Err(Failure::Repository { reason: chain(error) }),
        Err(Stopped::Owner(failure)) => return Err(failure.clone()),
        Ok(_) | Err(Stopped::Gone) => {}
    }
    let (_, errors) = said.map_err(|error| loader(&error))?;
    let code = exit_code.await.map_err(|error| loader(&error))?;
    match given {
        Ok(content) if code == 0 => Ok(content),
        _ if code == 0 => {
            Err(Failure::Loader { reason: format!("{program} ended before it had been given everything") })
        }
        _ => Err(Failure::Loader { reason: server.reason(program, code, &errors) }),
    }
}

async fn give(
    input: mpsc::Sender<Bytes>,
    first: Bytes,
    mut dump: Dump,
    mut guests: Option<Guests<'_>>,
) -> Result<Content, Stopped> {
    let mut tally = Tally::default();
    let mut next = Some(first);
    while let Some(bytes) = next {
        tally.add(&bytes);
        if let Some(guests) = &mut guests {
            guests.welcome(&bytes).await.map_err(Stopped::Owner)?;
        }
        input.send(bytes).await.map_err(|_| Stopped::Gone)?;
        next = dump.next().await.map_err(Stopped::Source)?;
    }
    // The end of the input is said only once the repository has said that it was all.
    drop(input);
    Ok(tally.content())
}

/// Reads a program to its end: its output up to a limit, and the end of its errors.
async fn listen(
    mut output: BoxStream<'static, Result<ExecOutput, EngineError>>,
    most: usize,
) -> Result<(String, String), EngineError> {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    while let Some(piece) = output.next().await {
        let piece = piece?;
        match piece.stream {
            LogSource::Stdout => {
                let room = most.saturating_sub(out.len()).min(piece.bytes.len());
                out.extend_from_slice(&piece.bytes[..room]);
            }
            LogSource::Stderr => {
                errors.extend_from_slice(&piece.bytes);
                let surplus = errors.len().saturating_sub(SAID_MAX);
                errors.drain(..surplus);
            }
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((text(out), text(errors)))
}

async fn try_check(
    world: &World,
    server: &Server,
    assertions: Option<&[String]>,
) -> Result<Findings, Failure> {
    match (server.spec.engine, assertions) {
        (Kind::Postgres, _) => postgres::look(world, server, assertions).await,
        (Kind::Mariadb, _) => mariadb::look(world, server, assertions).await,
        (Kind::Redis | Kind::Valkey, Some([])) => redis::count(world, server).await,
        (Kind::Redis | Kind::Valkey, Some(_)) => {
            let reason = format!("`assert` is SQL, which {} does not speak", server.spec.engine);
            Err(Failure::Unsupported { reason })
        }
        (Kind::Redis | Kind::Valkey, None) => {
            // Counted first: what it shall be may let go of keys.
            let findings = redis::count(world, server).await?;
            redis::settle(world, server).await?;
            Ok(findings)
        }
    }
}

/// Rows of each table, as a session says them that is told to count.
pub(super) async fn count(
    world: &World,
    server: &Server,
    words: Vec<String>,
    sql: String,
) -> Result<Findings, Failure> {
    let program = words[0].clone();
    let said = talk(world, server, words, Some(sql), BTreeMap::new()).await;
    let said = said.map_err(|error| unreadable(&error))?;
    if said.code != 0 {
        return Err(Failure::Unreadable { reason: server.reason(&program, said.code, &said.errors) });
    }
    Ok(Findings { rows: load::parse_rows(&said.output)?, ..Findings::default() })
}

pub(super) fn unreadable(error: &EngineError) -> Failure {
    Failure::Unreadable { reason: chain(error) }
}

/// Runs a program inside the task, tells it something, and reads all it says.
pub(crate) async fn talk(
    world: &World,
    server: &Server,
    words: Vec<String>,
    input: Option<String>,
    env: BTreeMap<EnvKey, String>,
) -> Result<Said, EngineError> {
    let session = exec(world, server, words, env).await?;
    let ExecSession { input: to, output, exit_code, .. } = session;
    if let Some(text) = input {
        // One that has ended already reads nothing; its exit code says why.
        let _ = to.send(Bytes::from(text)).await;
    }
    drop(to);
    let (output, errors) = listen(output, OUTPUT_MAX).await?;
    Ok(Said { code: exit_code.await?, output, errors })
}

pub(crate) async fn exec(
    world: &World,
    server: &Server,
    words: Vec<String>,
    env: BTreeMap<EnvKey, String>,
) -> Result<ExecSession, EngineError> {
    let argv = Argv::try_from(words).expect("our own commands are commands, and statements are short");
    world.engine.exec(&server.container, &ExecSpec { argv, env, terminal: None }).await
}
