//! A database on fakes: its server, a service that uses it, and rounds of its loop.

use std::collections::BTreeMap;

use havre_core::database::Database;
use havre_core::event::Actor;
use havre_core::id::DatabaseId;
use havre_core::quantity::Span;
use havre_core::service::spec::ServiceSpec;
use havre_core::task::spec::Purpose;
use havre_engine::Engine;
use havre_engine::fake::script::{Program, Script};
use havre_engine::task::EngineTask;
use havre_reconcile::database;
use serde_json::{Value, json};

use crate::world::{Control, Outside, spec, work};

/// A server that answers `code` when it is asked whether it takes connections.
pub(crate) fn server(code: i64) -> Script {
    let programs = [
        ("pg_isready", Program::prints("127.0.0.1:5432 - no response", code)),
        ("psql", Program::prints("", 0)),
        ("redis-cli", Program::prints("PONG\n", 0)),
    ];
    let programs = programs.map(|(name, program)| (name.to_owned(), program)).into();
    Script { programs, ..Script::runs() }
}

/// What `postgres:16` is from now on.
pub(crate) fn add_postgres(outside: &Outside, script: Script) {
    let id = "d".repeat(64).parse().unwrap();
    outside.engine.add_image(
        &id,
        Some(format!("postgres@sha256:{}", "d".repeat(64)).parse().unwrap()),
        script,
    );
    outside.engine.name_image(&"postgres:16".parse().unwrap(), Ok(id));
}

/// A service that uses the database.
pub(crate) fn user() -> ServiceSpec {
    let mut work = work("1");
    work.uses = vec!["db".parse().unwrap()];
    spec(work)
}

/// Applies the database `db`, with what these keys say.
pub(crate) async fn apply(control: &Control, keys: Value) -> DatabaseId {
    let mut json = json!({"name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"});
    for (key, value) in keys.as_object().unwrap() {
        json[key] = value.clone();
    }
    let spec = serde_json::from_value(json).unwrap();
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        let environment = tx.ensure_environment("dropit".parse().unwrap(), "production".parse().unwrap())?;
        Ok(tx.apply_database(environment.id, &spec)?.0.id)
    });
    write.await.unwrap()
}

/// Rounds of the loop until nothing changes.
pub(crate) async fn rounds(control: &Control) {
    let seen = async || {
        let last = control.world.store.read(|view| view.last_event()).await.unwrap();
        (last, control.outside.engine.done().len())
    };
    control.world.engine_changed();
    let mut quiet = 0;
    for _ in 0..60 {
        let before = seen().await;
        if let Err(error) = database::activate(&control.world).await {
            println!("activate: {error:?}");
        }
        control.background().await;
        // One round may only have asked a server, and the next one act on what it said.
        quiet = if before == seen().await { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
    }
    panic!("the databases do not come to rest: {:?}", control.outside.engine.done());
}

/// Time passes, and the loop goes on.
pub(crate) async fn later(control: &Control, seconds: u64) {
    control.outside.clock.advance(Span::seconds(seconds).duration());
    rounds(control).await;
}

pub(crate) async fn row(control: &Control, id: DatabaseId) -> Database {
    control.world.store.read(move |view| view.get_database(id)).await.unwrap()
}

pub(crate) async fn waiting(control: &Control, id: DatabaseId) -> String {
    let text = control.world.store.read(move |view| view.waiting("database", id.row())).await.unwrap();
    text.unwrap_or_default()
}

/// The engine's tasks of databases.
pub(crate) async fn tasks(outside: &Outside) -> Vec<EngineTask> {
    let mut tasks = outside.engine.list_tasks().await.unwrap();
    tasks.retain(|task| matches!(task.purpose, Purpose::Database { .. }));
    tasks
}

/// Variables of the tasks of the service.
pub(crate) async fn variables(outside: &Outside) -> Vec<BTreeMap<String, String>> {
    let tasks = outside.engine.list_tasks().await.unwrap().into_iter();
    let tasks = tasks.filter(|task| matches!(task.purpose, Purpose::Task { .. }));
    tasks.map(|task| outside.engine.variables(&task.name).unwrap()).collect()
}

pub(crate) async fn story(control: &Control) -> Vec<String> {
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    events.iter().map(|event| event.kind.to_string()).filter(|text| text.starts_with("database ")).collect()
}
