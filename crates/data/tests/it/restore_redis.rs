//! Restores and drills of Redis on fakes: a snapshot lies on the volume before the server that reads it starts, nobody gets in meanwhile, and
//! what is damaged or missing is seen.

use havre_core::backup::What;
use havre_core::event::Actor;
use havre_core::id::RestoreId;
use havre_core::task::spec::Purpose;
use havre_data::restore;
use havre_engine::Engine as _;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::{Program, Script};
use havre_rescue::drill::{Drill, State as DrillState};
use havre_rescue::proof::{Keys, Structure};
use havre_rescue::report::Report;
use havre_rescue::restore::{Restore, State, derive_spec};
use havre_store::NewRestore;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::restore::{db, rounds, with};
use crate::world::{Control, Outside, spec, work};
use crate::{backup, database};

const SNAPSHOT: &str = "REDIS0011 and all the keys";
/// Its SHA-256, as `sha256sum` says it.
const DIGEST: &str =
    "142f7b8c900e08d74b0d35519a8c2ee85a4ad840c12e704666fe9d9eca4e4d8f  /data/.havre-restore.rdb\n";
const INSPECTED: &str = "[offset 4624] \\o/ RDB looks OK! \\o/\n[info] 3 keys read\n[info] 1 expires\n";

/// What a server with this many keys says of itself once it keeps a log of its writes.
fn info(keys: u64) -> String {
    format!(
        "redis_version:7.0.15\r\nloading:0\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n\
         aof_last_bgrewrite_status:ok\r\ndb0:keys={keys},expires=1,avg_ttl=0\r\n"
    )
}

/// A server with this many keys, whose snapshots hold three, of which one ends by itself.
fn server(keys: u64) -> Script {
    let info = info(keys);
    let programs = [
        ("redis-cli ping", Program::prints("PONG\n", 0)),
        ("redis-cli INFO", Program::prints(&info, 0)),
        ("redis-cli CONFIG", Program::reads("OK\n", 0)),
        ("redis-cli --rdb", Program::prints("", 0)),
        ("redis-cli", Program::prints("OK\n", 0)),
        ("cat", Program::prints(SNAPSHOT, 0)),
        ("rm", Program::reads("", 0)),
        ("dd", Program::reads("", 0)),
        ("sha256sum", Program::prints(DIGEST, 0)),
        ("redis-check-rdb", Program::prints(INSPECTED, 0)),
        ("mv", Program::reads("", 0)),
    ];
    let programs = programs.map(|(name, program)| (name.to_owned(), program)).into();
    Script { programs, ..Script::runs() }
}

/// What `redis:7` is from now on.
fn add_redis(outside: &Outside, script: Script) {
    let id = "e".repeat(64).parse().unwrap();
    let pull = format!("redis@sha256:{}", "e".repeat(64)).parse().unwrap();
    outside.engine.add_image(&id, Some(pull), script);
    outside.engine.name_image(&"redis:7".parse().unwrap(), Ok(id));
}

/// A database that had four keys a moment after its backup, with this policy. Servers that start from now on are like `next`.
async fn saved(control: &Control, policy: serde_json::Value, next: Script) {
    add_redis(&control.outside, server(4));
    database::apply(control, json!({ "engine": "redis", "version": 7, "memory": "128MB", "backup": policy }))
        .await;
    database::rounds(control).await;
    backup::set_target(control).await;
    backup::rounds(control).await;
    let points = control.world.store.read(|view| view.list_points(&db())).await.unwrap();
    assert_eq!(points.len(), 1, "{points:?}");
    assert_eq!(points[0].manifest.rows["db0"], 4);
    add_redis(&control.outside, next);
}

fn daily() -> serde_json::Value {
    json!({ "every": "1d", "keep": { "last": 5 } })
}

async fn ask(control: &Control) -> RestoreId {
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        let what: What = db();
        let point = tx.list_points(&what)?.remove(0);
        let source = tx.list_databases()?.remove(0);
        let name = "db-restored-1".parse().unwrap();
        let spec = derive_spec(Some(&source.spec), &point.manifest.source_version, &name).unwrap();
        let restore = tx.create_restore(&NewRestore {
            environment: source.environment,
            source: source.spec.name,
            spec,
            target: point.target,
            manifest: point.manifest,
            recovery: None,
        })?;
        Ok(restore.id)
    });
    write.await.unwrap()
}

async fn get(control: &Control, id: RestoreId) -> Restore {
    control.world.store.read(move |view| view.get_restore(id)).await.unwrap()
}

/// Goes on until the snapshot lies where the next server reads it, which nobody has started yet.
async fn filled(control: &Control, id: RestoreId) {
    database::rounds(control).await;
    restore::activate(&control.world, &CancellationToken::new()).await.unwrap();
    control.background().await;
    let restore = get(control, id).await;
    assert!(format!("{:?}", restore.state).contains("Starting"), "{:?}", restore.state);
}

/// Why it failed, once nothing of its database is left.
async fn failure(control: &Control, id: RestoreId) -> String {
    rounds(control).await;
    let rows = control.world.store.read(|view| view.list_databases()).await.unwrap();
    assert_eq!(rows.len(), 1, "the one that was saved is the only one: {rows:?}");
    assert_eq!(control.outside.engine.volume_names(), ["havre-m1-data"]);
    match get(control, id).await.state {
        State::Failed { stage, reason, .. } => format!("{stage}: {reason}"),
        other => panic!("it has not failed: {other:?}"),
    }
}

/// Commands that were run and read their input, in their order.
fn commands(control: &Control) -> Vec<String> {
    control.outside.engine.inputs().into_iter().map(|(line, _)| line).collect()
}

#[tokio::test]
async fn the_next_server_reads_the_snapshot_and_is_then_what_it_shall_be() {
    let control = Outside::new().control();
    saved(&control, daily(), server(2)).await;
    let before = commands(&control).len();
    let id = ask(&control).await;
    filled(&control, id).await;
    let engine = &control.outside.engine;
    let command = |name: &str| engine.task_spec(name).unwrap().command.unwrap().words().join(" ");
    let first = command("havre-m2-1-db-restored-1-production-dropit");
    assert!(first.starts_with("redis-server --appendonly no "), "{first}");
    assert!(first.contains("--maxmemory-policy noeviction --save  "), "{first}");
    rounds(&control).await;
    let second = command("havre-m2-2-db-restored-1-production-dropit");
    assert_eq!(first, second, "it reads a snapshot only where it keeps nothing else");

    let restore = get(&control, id).await;
    let State::Ready { findings, .. } = &restore.state else { panic!("{:?}", restore.state) };
    assert_eq!(findings.keys, Some(Keys { expiring: 1, saved: 3 }));
    assert_eq!((findings.rows["db0"], &findings.structure), (2, &Structure::Sound));
    assert!(engine.volume_overlaps().is_empty());
    assert_eq!(
        commands(&control)[before..],
        [
            "dd of=/data/.havre-restore.rdb bs=65536 conv=fsync",
            "mv -f /data/.havre-restore.rdb /data/dump.rdb",
            "redis-cli CONFIG SET appendonly yes",
            "rm -f /data/dump.rdb",
        ]
    );
    assert_eq!(engine.inputs()[before].1, SNAPSHOT.as_bytes());
}

#[tokio::test]
async fn nobody_gets_in_before_all_of_it_is_there() {
    let outside = Outside::new();
    let control = outside.control();
    saved(&control, daily(), server(3)).await;
    let id = ask(&control).await;
    let mut work = work("1");
    work.uses = vec!["db-restored-1".parse().unwrap()];
    control.apply(spec(work)).await;
    filled(&control, id).await;
    database::rounds(&control).await;
    let new = get(&control, id).await.database;
    let roles = async || control.world.store.read(move |view| view.list_database_roles(new)).await.unwrap();
    assert!(roles().await.is_empty());
    rounds(&control).await;
    assert_eq!(get(&control, id).await.state.name(), "ready");
    database::rounds(&control).await;
    assert_eq!(roles().await.len(), 1);
}

#[tokio::test]
async fn what_is_damaged_or_missing_leaves_no_database() {
    for (word, program, said) in [
        (
            "dd",
            Program::prints("", 1),
            "loading: the snapshot could not be loaded: dd ended with code 1 and said nothing",
        ),
        (
            "sha256sum",
            Program::prints("aaaa  /data/.havre-restore.rdb\n", 0),
            "loading: the snapshot could not be loaded: the file on the volume is not what was written to it",
        ),
        (
            "redis-check-rdb",
            Program::prints("[offset 4624] RDB CRC error\n[info] 3 keys read\n[info] 1 expires\n", 1),
            "loading: its structure is damaged: RDB CRC error",
        ),
        (
            "redis-check-rdb",
            Program::prints("", 127),
            "loading: this version cannot restore it: its image has no redis-check-rdb",
        ),
        (
            "redis-cli INFO",
            Program::prints(&info(1), 0),
            "checking: the snapshot holds 3 keys, of which 1 end by themselves, and the copy has 1",
        ),
        (
            "redis-cli INFO",
            Program::prints("redis_version:7.0.15\r\nloading:0\r\ndb0:keys=3,expires=0\r\n", 0),
            "checking: the snapshot could not be loaded: its server could not write the log of its writes (appendonly)",
        ),
        (
            "redis-cli CONFIG",
            Program::prints("ERR no\n", 0),
            "checking: the snapshot could not be loaded: its server does not take `appendonly`: ERR no",
        ),
    ] {
        let control = Outside::new().control();
        saved(&control, daily(), with(server(3), word, program)).await;
        let id = ask(&control).await;
        assert_eq!(failure(&control, id).await, said);
    }
}

#[tokio::test]
async fn a_server_that_does_not_read_it_ends_the_restore() {
    let control = Outside::new().control();
    saved(&control, daily(), server(3)).await;
    let id = ask(&control).await;
    filled(&control, id).await;
    add_redis(&control.outside, Script::exits(1, &["Wrong signature trying to load DB from file"]));
    assert_eq!(
        failure(&control, id).await,
        "loading: no server came up to restore into: while it read the snapshot, it ended with code 1"
    );
}

#[tokio::test]
async fn control_killed_while_a_server_reads_it_goes_on() {
    let outside = Outside::new();
    let control = outside.control();
    saved(&control, daily(), server(3)).await;
    let id = ask(&control).await;
    filled(&control, id).await;
    drop(control);
    let control = outside.control();
    rounds(&control).await;
    let restore = get(&control, id).await;
    assert_eq!(restore.state.name(), "ready", "{:?}", restore.state);
}

/// The newest drill, of which nothing is left.
async fn drilled(control: &Control) -> Drill {
    rounds(control).await;
    let tasks = control.outside.engine.list_tasks().await.unwrap();
    assert!(!tasks.iter().any(|task| matches!(task.purpose, Purpose::Drill { .. })), "{tasks:?}");
    assert_eq!(control.outside.engine.volume_names(), ["havre-m1-data"]);
    control.world.store.read(|view| view.list_drills(None, 100)).await.unwrap().remove(0)
}

#[tokio::test]
async fn a_drill_says_what_it_has_proven() {
    let weekly = json!({ "every": "1d", "keep": { "last": 5 }, "drill": "7d" });
    let control = Outside::new().control();
    saved(&control, weekly.clone(), server(3)).await;
    let drill = drilled(&control).await;
    assert_eq!(drill.state.name(), "passed", "{:?}", drill.state);
    let text = drill.report.unwrap().text;
    assert!(Report::parse(&text).unwrap().has_passed());
    assert!(text.contains(r#""keys":{"expiring":1,"saved":3},"rows":{"db0":3}"#), "{text}");
    let done = control.outside.engine.done();
    let started = done.iter().filter(|done| done.operation == Operation::EnsureTask && done.is_ok);
    let names: Vec<&str> = started.map(|done| done.subject.as_str()).collect();
    let (db, drill) = ("havre-m1-1-db-production-dropit", "havre-x1-drill-db-production-dropit");
    assert_eq!(names, [db, drill, drill], "one that takes the snapshot, and one that reads it");
    let commands = commands(&control);
    assert!(!commands.iter().any(|line| line.contains("CONFIG")), "nothing is kept: {commands:?}");

    let control = Outside::new().control();
    let flipped = Program::prints("[offset 4624] RDB CRC error\n", 1);
    saved(&control, weekly, with(server(3), "redis-check-rdb", flipped)).await;
    match drilled(&control).await.state {
        DrillState::Failed { reason, .. } => {
            assert_eq!(reason.to_string(), "its structure is damaged: RDB CRC error");
        }
        other => panic!("it has not failed: {other:?}"),
    }
}
