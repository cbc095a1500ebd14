//! One restore to a second: fills the volume of a new database with the files of a base backup and with WAL, and has a server without a network
//! read it up to that second. Its own server waits meanwhile, and starts when that is over. Which containers and words is decided in
//! `havre_rescue::recovery`. Tests: `tests/it/recovery.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use havre_core::backup::Content;
use havre_core::backup::manifest::Manifest;
use havre_core::database::role::postgres_adopt;
use havre_core::database::spec::STOP_GRACE;
use havre_core::database::task::{NO_SERVICE, database_volume};
use havre_core::database::{Database, Image};
use havre_core::name::{DatabaseName, TargetName};
use havre_core::service::spec::StopSignal;
use havre_core::task::EngineState;
use havre_core::task::spec::Purpose;
use havre_decide::secret::redact::Redactor;
use havre_engine::image::PullPolicy;
use havre_engine::network::VolumeSpec;
use havre_reconcile::deployment::chain;
use havre_reconcile::execute::Fault;
use havre_reconcile::{registry, task_log};
use havre_rescue::line::{Piece, Recovery};
use havre_rescue::load::judge_structure;
use havre_rescue::producer::{postgres_session, reason};
use havre_rescue::proof::{Failure, Observation, Structure};
use havre_rescue::recovery::{
    Part, ask, container, derive, give_wal, is_through, make_folders, signal, sweep, unpack_base, unpack_wal,
    verify,
};
use havre_rescue::restore::Restore;
use tokio_util::sync::CancellationToken;

use super::copy::{self, Server};
use crate::backup::repositories::{self, Opened};
use crate::world::World;

/// Longest time files and WAL may take to go in, and to be read.
pub(super) const LOAD_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest wait for a program that says little.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at a server that reads.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Last lines of a server that ended.
const LINES: u32 = 20;

/// The container that takes the files in is there; why not, in words, or that it never will be.
pub(super) async fn prepare(
    world: &World,
    restore: &Restore,
    database: &Database,
) -> Result<Result<(), String>, Failure> {
    match try_prepare(world, restore, database).await {
        Ok(()) => Ok(Ok(())),
        Err(Fault::Impossible(reason)) => Err(Failure::Server { reason }),
        Err(Fault::Engine(error)) if error.is_permanent() => Err(Failure::Server { reason: chain(&error) }),
        Err(Fault::Engine(error)) => Ok(Err(chain(&error))),
        Err(Fault::Store(error)) => Ok(Err(chain(&error))),
        Err(Fault::NotYet(why)) => Ok(Err(why)),
    }
}

async fn try_prepare(world: &World, restore: &Restore, database: &Database) -> Result<(), Fault> {
    let image = image(world, database).await?;
    // One that was begun before is filled anew.
    discard(world, restore).await?;
    let volume =
        VolumeSpec { name: database_volume(database.id), service: NO_SERVICE, place: database.place() };
    world.engine.remove_volume(&volume.name).await?;
    world.engine.ensure_volume(&volume).await?;
    start(world, restore, Part::Fill, database, &image).await
}

async fn start(
    world: &World,
    restore: &Restore,
    part: Part,
    database: &Database,
    image: &Image,
) -> Result<(), Fault> {
    let task = derive(restore, part, database, image, restore.at());
    world.restores.begin_untidy();
    let started = world.engine.ensure_task(&task).await;
    world.forget_engine();
    Ok(started?)
}

/// The image the new database will run, on this machine; recorded, so that its own server runs the same.
async fn image(world: &World, database: &Database) -> Result<Image, Fault> {
    let reference = match &database.image {
        Some(image) if world.engine.find_image(&image.id).await?.is_some() => return Ok(image.clone()),
        Some(Image { pull: Some(pull), .. }) => pull.clone(),
        Some(Image { pull: None, .. }) | None => database.spec.reference(),
    };
    let credentials = registry::credentials(world, &reference).await?;
    let found =
        world.engine.resolve_image(&reference, PullPolicy::IfMissing, credentials.as_ref(), None).await?;
    let image = Image { id: found.id, pull: found.pull };
    let (id, row) = (database.id, image.clone());
    let now = world.now();
    world
        .store
        .write(now, havre_core::event::Actor::Havre, move |tx| tx.set_database_image(id, &row))
        .await?;
    Ok(image)
}

/// Takes away both containers of a restore.
pub(super) async fn discard(
    world: &World,
    restore: &Restore,
) -> Result<(), havre_engine::error::EngineError> {
    for part in [Part::Fill, Part::Recover] {
        world.engine.remove_task(&container(restore, part)).await?;
    }
    world.forget_engine();
    Ok(())
}

/// Brings the database to its second. `None` where Havre stops before that has ended: then nobody knows what is in.
pub(super) async fn load(
    world: &World,
    restore: &Restore,
    database: &Database,
    stop: &CancellationToken,
) -> Option<Observation> {
    let Some(recovery) = &restore.recovery else { return None };
    let work = tokio::time::timeout(LOAD_MAX, try_load(world, restore, recovery, database));
    tokio::select! {
        () = stop.cancelled() => None,
        loaded = work => Some(match loaded {
            Ok(Ok(content)) => Observation::Loaded { content, keys: None },
            Ok(Err(reason)) => Observation::Broken { reason },
            Err(_) => {
                let reason = format!("it did not end within {} hours", LOAD_MAX.as_secs() / 3600);
                Observation::Broken { reason: Failure::Loader { reason } }
            }
        }),
    }
}

pub(super) fn loader(reason: impl Into<String>) -> Failure {
    Failure::Loader { reason: reason.into() }
}

async fn try_load(
    world: &World,
    restore: &Restore,
    recovery: &Recovery,
    database: &Database,
) -> Result<Content, Failure> {
    let server = server(restore, Part::Fill, database);
    let (content, _) = fill(world, &server, (&restore.target, &restore.manifest), recovery, false).await?;
    remove(world, &server).await?;
    recover(world, restore, recovery, database).await?;
    Ok(content)
}

/// Puts the files of a base backup and its WAL on the volume of a server that does not run yet: what came as the base backup, and what was said
/// about its files, where that is asked. Nothing more goes in behind files that are damaged.
pub(super) async fn fill(
    world: &World,
    server: &Server,
    (target, manifest): (&TargetName, &Manifest),
    recovery: &Recovery,
    is_verified: bool,
) -> Result<(Content, Structure), Failure> {
    let opened = repositories::open(world, target).await;
    let opened = opened.map_err(|reason| Failure::Repository { reason })?;
    if opened.id != manifest.repository {
        let reason = "another repository lies there than the one the manifest names".to_owned();
        return Err(Failure::Repository { reason });
    }
    let spec = &server.spec;
    run(world, server, make_folders(spec), None).await?;
    let base = Piece { snapshot: manifest.snapshot.clone(), content: manifest.content.clone() };
    let content = pour(world, server, &opened, &base, unpack_base(spec)).await?;
    let files = if is_verified { look_at_files(world, server).await? } else { Structure::NotAsked };
    if let Structure::Damaged { .. } = files {
        return Ok((content, files));
    }
    for piece in &recovery.stretches {
        pour(world, server, &opened, piece, unpack_wal()).await?;
    }
    run(world, server, give_wal(), None).await?;
    run(world, server, signal(spec), None).await?;
    Ok((content, files))
}

/// Whether the files are those that were given out. It reads all of them, so it takes as long as that.
async fn look_at_files(world: &World, server: &Server) -> Result<Structure, Failure> {
    let said = copy::talk(world, server, verify(&server.spec), None, BTreeMap::new()).await;
    let said = said.map_err(|error| loader(chain(&error)))?;
    let text = if said.output.trim().is_empty() { &said.errors } else { &said.output };
    Ok(judge_structure(said.code, text))
}

/// Takes a container away that has done its part.
pub(super) async fn remove(world: &World, server: &Server) -> Result<(), Failure> {
    let removed = world.engine.remove_task(&server.container).await;
    world.forget_engine();
    removed.map_err(|error| loader(chain(&error)))
}

fn server(restore: &Restore, part: Part, database: &Database) -> Server {
    Server { container: container(restore, part), spec: database.spec.clone() }
}

/// A session with the database that every server has: this one has no other of a name that is known.
fn session() -> Vec<String> {
    let name: DatabaseName = "postgres".parse().expect("it is a name");
    postgres_session(&name)
}

/// Runs a program to its end, which has to be a good one; what it said.
async fn run(
    world: &World,
    server: &Server,
    words: Vec<String>,
    input: Option<String>,
) -> Result<String, Failure> {
    let program = words.first().cloned().unwrap_or_default();
    let asked = copy::talk(world, server, words, input, BTreeMap::new());
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(said)) if said.code == 0 => Ok(said.output),
        Ok(Ok(said)) => Err(loader(reason(&program, said.code, &said.errors))),
        Ok(Err(error)) => Err(loader(chain(&error))),
        Err(_) => Err(loader(format!("{program} did not end"))),
    }
}

/// Gives a snapshot to a program, whole, and sees that it was the right one.
async fn pour(
    world: &World,
    server: &Server,
    opened: &Opened,
    piece: &Piece,
    words: Vec<String>,
) -> Result<Content, Failure> {
    let failed = |reason: String| Failure::Repository { reason };
    let cancel = CancellationToken::new();
    // Whoever gives this up does not read the rest of it.
    let _gives_up = cancel.clone().drop_guard();
    let dump = opened.repository.dump(&piece.snapshot, &cancel).await;
    let mut dump = dump.map_err(|error| failed(chain(&error)))?;
    let first = dump.next().await.map_err(|error| failed(chain(&error)))?;
    let first = first.ok_or_else(|| failed("the snapshot is empty".to_owned()))?;
    let program = words.first().cloned().unwrap_or_default();
    let session = copy::exec(world, server, words, BTreeMap::new()).await;
    let session = session.map_err(|error| loader(chain(&error)))?;
    let content = copy::feed(server, session, &program, (first, dump), None).await?;
    if content != piece.content {
        let expected = piece.content.clone();
        return Err(Failure::StreamDiffers { expected, found: content });
    }
    Ok(content)
}

/// Starts the server that reads the WAL, waits until it is through, makes its files those of the new database, and stops it.
async fn recover(
    world: &World,
    restore: &Restore,
    recovery: &Recovery,
    database: &Database,
) -> Result<(), Failure> {
    let image = image(world, database).await.map_err(|fault| loader(words_of(fault)))?;
    let started = start(world, restore, Part::Recover, database, &image).await;
    started.map_err(|fault| loader(words_of(fault)))?;
    let server = server(restore, Part::Recover, database);
    wait(world, &server).await?;
    let row = database.clone();
    let superuser = world.store.read(move |view| view.get_database_superuser(&row)).await;
    let superuser = superuser.map_err(|error| loader(chain(&error)))?;
    let sql = postgres_adopt(&recovery.source, &database.spec.name, &superuser.password);
    let sql = sql.ok_or_else(|| loader("the password of the superuser is not ours"))?;
    let sql = sql.expose_text().unwrap_or_default().to_owned();
    run(world, &server, session(), Some(sql)).await?;
    run(world, &server, sweep(), None).await?;
    let grace = STOP_GRACE.duration();
    let stopped = world.engine.stop_task(&server.container, StopSignal::Sigint, grace).await;
    stopped.map_err(|error| loader(chain(&error)))?;
    remove(world, &server).await
}

/// Waits until a server has read WAL up to its second.
pub(super) async fn wait(world: &World, server: &Server) -> Result<(), Failure> {
    while !has_recovered(world, server).await? {
        world.clock.sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

pub(super) fn words_of(fault: Fault) -> String {
    match fault {
        Fault::Engine(error) => chain(&error),
        Fault::Store(error) => chain(&error),
        Fault::Impossible(reason) | Fault::NotYet(reason) => reason,
    }
}

/// Whether the server is through. One that ended was not: there is no WAL up to that second, or something in it is damaged; it says what.
async fn has_recovered(world: &World, server: &Server) -> Result<bool, Failure> {
    let tasks = world.engine.list_tasks().await.map_err(|error| loader(chain(&error)))?;
    let state = tasks.into_iter().find(|task| task.name == server.container).map(|task| task.state);
    match state {
        Some(EngineState::Running { .. }) => {}
        Some(EngineState::Exited { .. }) => {
            let none = Redactor::default();
            let lines = task_log::last_lines_without(world, &server.container, &none, LINES).await;
            let why = lines.iter().rev().find(|line| line.contains("FATAL") || line.contains("PANIC"));
            let why = why.or(lines.last()).map_or("it said nothing", String::as_str);
            return Err(loader(format!("the server that reads the WAL ended: {why}")));
        }
        Some(EngineState::Created | EngineState::Absent) | None => {
            return Err(loader("the server that reads the WAL was removed"));
        }
    }
    let asked = copy::talk(world, server, session(), Some(ask()), BTreeMap::new());
    match tokio::time::timeout(PATIENCE, asked).await {
        // It lets nobody in before it is through.
        Ok(Ok(said)) => Ok(said.code == 0 && is_through(&said.output)),
        Ok(Err(_)) | Err(_) => Ok(false),
    }
}

/// The restore a container belongs to.
pub(super) fn of_task(purpose: Purpose) -> Option<havre_core::id::RestoreId> {
    let Purpose::Recovery { restore } = purpose else { return None };
    Some(restore)
}
