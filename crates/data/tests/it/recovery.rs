//! Restores to a second on fakes: files and WAL go into the volume before the server of the new database starts, and whatever is not as it was
//! saved leaves none.

use havre_core::database::Database;
use havre_core::event::Actor;
use havre_core::id::RestoreId;
use havre_core::task::spec::Purpose;
use havre_engine::Engine as _;
use havre_engine::fake::script::{Program, Script};
use havre_rescue::line::{Piece, Recovery};
use havre_rescue::proof::Progress;
use havre_rescue::restore::{Restore, State, derive_recovered};
use havre_store::NewRestore;

use crate::wal::{base, bases, look, prepare, server, stretches, two_segments};
use crate::world::{Control, Outside};
use crate::{backup, database, restore};

/// A server that takes everything, and is through at once.
fn taking() -> Script {
    let programs = [
        ("pg_isready", Program::prints("", 0)),
        ("psql", Program::reads("f\n", 0)),
        ("mkdir", Program::prints("", 0)),
        ("tar -x", Program::reads("", 0)),
        ("chown", Program::prints("", 0)),
        ("touch", Program::prints("", 0)),
        ("rm", Program::prints("", 0)),
    ];
    let programs = programs.map(|(name, program)| (name.to_owned(), program)).into();
    Script { programs, ..Script::runs() }
}

/// A database with a base backup and WAL behind it. Servers that start from now on are like `next`.
async fn saved(control: &Control, next: Script) {
    prepare(control, server(two_segments())).await;
    look(control).await;
    assert_eq!((bases(control).await.len(), stretches(control).await.len()), (1, 1));
    database::add_postgres(&control.outside, next);
}

async fn ask(control: &Control, change: impl FnOnce(&mut Recovery) + Send + 'static) -> RestoreId {
    let base = bases(control).await.remove(0);
    let pieces = stretches(control).await.into_iter();
    let pieces = pieces.map(|one| Piece { snapshot: one.snapshot, content: one.content }).collect();
    let mut recovery = Recovery { at: control.world.now(), source: "db".parse().unwrap(), stretches: pieces };
    change(&mut recovery);
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        let source: Database = tx.list_databases()?.remove(0);
        let name = "db-restored-1".parse().unwrap();
        let spec = derive_recovered(Some(&source.spec), &base.manifest.source_version, &name).unwrap();
        let restore = tx.create_restore(&NewRestore {
            environment: source.environment,
            source: source.spec.name,
            spec,
            target: base.target,
            manifest: base.manifest,
            recovery: Some(recovery),
        })?;
        Ok(restore.id)
    });
    write.await.unwrap()
}

async fn get(control: &Control, id: RestoreId) -> Restore {
    control.world.store.read(move |view| view.get_restore(id)).await.unwrap()
}

/// Containers of restores that are there.
async fn left(control: &Control) -> usize {
    let tasks = control.outside.engine.list_tasks().await.unwrap();
    tasks.iter().filter(|task| matches!(task.purpose, Purpose::Recovery { .. })).count()
}

#[tokio::test]
async fn files_and_wal_go_in_before_the_new_server_starts() {
    let control = Outside::new().control();
    saved(&control, taking()).await;
    let id = ask(&control, |_| ()).await;
    database::rounds(&control).await;
    let waits = control.world.store.read(|view| view.waiting("database", 2)).await.unwrap();
    assert_eq!(waits.as_deref(), Some("a restore puts its files on its volume"));
    restore::rounds(&control).await;
    assert_eq!(get(&control, id).await.state.name(), "ready", "{:?}", get(&control, id).await.state);
    let inputs = control.outside.engine.inputs();
    let given = |word: &str| {
        let found = inputs.iter().find(|(line, _)| line.starts_with("tar -x") && line.ends_with(word));
        found.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    };
    assert_eq!(given("/var/lib/postgresql/16/docker"), base());
    assert!(given("/var/lib/postgresql/havre-restore") == two_segments());
    let sql = inputs.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect::<Vec<_>>().join("\n");
    assert!(sql.contains("ALTER DATABASE \"db\" RENAME TO \"db-restored-1\""), "{sql}");
    assert!(sql.contains("ALTER ROLE %I WITH NOLOGIN PASSWORD NULL"), "{sql}");
    assert_eq!(left(&control).await, 0);
    assert!(control.outside.engine.volume_overlaps().is_empty());
    let rows = control.world.store.read(|view| view.list_databases()).await.unwrap();
    let shown: Vec<_> = rows.iter().map(|row| format!("{} {}", row.spec.name, row.shown_state())).collect();
    assert_eq!(shown, ["db ready", "db-restored-1 ready"]);
    assert!(!rows[1].spec.keeps_wal(), "nobody has asked for it");
}

/// Why it failed, once nothing of its database is left.
async fn failure(control: &Control, id: RestoreId) -> String {
    restore::rounds(control).await;
    assert_eq!(left(control).await, 0);
    assert_eq!(control.outside.engine.volume_names(), ["havre-m1-data"]);
    match get(control, id).await.state {
        State::Failed { stage, reason, .. } => format!("{stage}: {reason}"),
        other => panic!("it has not failed: {other:?}"),
    }
}

#[tokio::test]
async fn wal_that_is_not_what_was_stored_leaves_no_database() {
    let control = Outside::new().control();
    saved(&control, taking()).await;
    let id = ask(&control, |recovery| recovery.stretches[0].content.bytes += 1).await;
    let said = failure(&control, id).await;
    assert!(said.starts_with("loading: the manifest says"), "{said}");
    let snapshot = stretches(&control).await.remove(0).snapshot;
    backup::repository(&control).await.damage(&snapshot);
    let id = ask(&control, |_| ()).await;
    let said = failure(&control, id).await;
    assert!(said.starts_with("loading: the repository failed"), "{said}");
}

#[tokio::test]
async fn one_that_was_cut_off_is_not_believed() {
    let outside = Outside::new();
    let control = outside.control();
    saved(&control, taking()).await;
    let id = ask(&control, |_| ()).await;
    let restore = get(&control, id).await;
    let loading = State::Working { progress: Progress::Loading { since: control.world.now() } };
    let write = control.world.store.write(control.world.now(), Actor::Havre, move |tx| {
        tx.set_restore_state(id, &restore.state, &loading)
    });
    write.await.unwrap();
    drop(control);
    let control = outside.control();
    assert_eq!(failure(&control, id).await, "loading: Havre ended while it ran");
}

#[tokio::test]
async fn a_program_that_fails_says_why() {
    let control = Outside::new().control();
    let mut script = taking();
    for (name, program) in &mut script.programs {
        if name == "touch" {
            *program = Program::prints("", 1);
        }
    }
    saved(&control, script).await;
    let id = ask(&control, |_| ()).await;
    let said = failure(&control, id).await;
    assert_eq!(said, "loading: the snapshot could not be loaded: touch ended with code 1 and said nothing");
}
