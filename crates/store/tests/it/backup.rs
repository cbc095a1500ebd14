//! Backups: targets whose passwords lie nowhere in plain, runs that never write beside each other, and what is forgotten.

use havre_core::backup::manifest::Manifest;
use havre_core::backup::run::{Progress, RunFilter, RunState};
use havre_core::backup::state::{About, Failure, Stage, State};
use havre_core::backup::target::{TargetSpec, TargetState};
use havre_core::backup::{Content, RepositoryId, What};
use havre_core::database::spec::DatabaseSpec;
use havre_core::id::BackupRunId;
use havre_core::name::TargetName;
use havre_core::secret::Secret;
use havre_store::{Applied, StoreError};

use crate::world::{World, at, environment};

fn name(text: &str) -> TargetName {
    text.parse().unwrap()
}

fn folder(name: &str, medium: &str) -> TargetSpec {
    serde_json::from_value(serde_json::json!({
        "name": name, "location": { "kind": "folder", "path": format!("/mnt/{name}") }, "medium": medium, "is_offsite": false,
    }))
    .unwrap()
}

fn repository(digit: char) -> RepositoryId {
    digit.to_string().repeat(64).parse().unwrap()
}

fn db() -> What {
    "database/dropit/production/db".parse().unwrap()
}

async fn target(world: &World, text: &str) {
    let spec = folder(text, text);
    world.write(0, move |tx| tx.set_backup_target(&spec, None).map(|_| ())).await;
}

fn good(what: What, seconds: i64) -> State {
    let about = About {
        what,
        source_version: "PostgreSQL 16.14".to_owned(),
        rows: std::collections::BTreeMap::new(),
        repository: repository('b'),
        started_at: at(seconds),
    };
    let content = Content { bytes: 10, sha256: "a".repeat(64).parse().unwrap() };
    let manifest = Manifest::new(&about, &content, &"1".repeat(64).parse().unwrap(), at(seconds));
    State::Good { at: at(seconds), manifest: Box::new(manifest) }
}

fn failed(seconds: i64) -> State {
    State::Failed { at: at(seconds), stage: Stage::Dumping, reason: Failure::Empty }
}

/// A run from its beginning to this end.
async fn run(world: &World, what: What, target: &str, seconds: i64, end: State) -> BackupRunId {
    let target = name(target);
    let run = world.write(seconds, move |tx| tx.create_backup_run(&what, &target)).await;
    let id = run.id;
    let begun = world.write(seconds, move |tx| tx.begin_backup_run(id)).await;
    let progress = Progress { produced_bytes: 10, added_bytes: 4 };
    world.write(seconds, move |tx| tx.record_backup_state(id, &begun.state, &end, progress)).await;
    id
}

#[tokio::test]
async fn a_target_has_a_password_that_lies_nowhere_in_plain() {
    let world = World::new();
    let spec = folder("disk-two", "disk-two");
    let again = spec.clone();
    let (made, applied) = world.write(0, move |tx| tx.set_backup_target(&spec, None)).await;
    assert_eq!((applied, made.state, made.repository), (Applied::Created, TargetState::Waiting, None));
    let (_, applied) = world.write(1, move |tx| tx.set_backup_target(&again, None)).await;
    assert_eq!(applied, Applied::Unchanged);
    let s3: TargetSpec = serde_json::from_value(serde_json::json!({
        "name": "bucket", "medium": "bucket", "is_offsite": true, "location": { "kind": "s3", "endpoint": "https://s3.example.org",
        "bucket": "backups", "region": "eu-west-3", "path_style": false },
    }))
    .unwrap();
    let keys = Secret::from("planted-credential");
    world.write(2, move |tx| tx.set_backup_target(&s3, Some(&keys)).map(|_| ())).await;

    let world = world.reopen();
    let open = |text: &'static str| world.store.read(move |view| view.open_backup_target(&name(text)));
    let (disk, bucket) = (open("disk-two").await.unwrap(), open("bucket").await.unwrap());
    assert_eq!((disk.password.expose().len(), disk.credential.is_none()), (64, true));
    assert_ne!(disk.password.expose(), bucket.password.expose());
    assert_eq!(bucket.credential.unwrap().expose_text(), Some("planted-credential"));
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [disk.password.expose(), bucket.password.expose(), b"planted-credential"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret));
        }
    }
    assert_eq!(
        world.story().await,
        [
            "backup target disk-two is /mnt/disk-two on disk-two",
            "backup target bucket is s3:https://s3.example.org/backups on bucket, off-site",
        ]
    );
}

#[tokio::test]
async fn a_target_stays_where_it_is() {
    let world = World::new();
    target(&world, "one").await;
    let mut elsewhere = folder("two", "one");
    elsewhere.name = name("one");
    let error = world.try_write(1, move |tx| tx.set_backup_target(&elsewhere, None)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the backup target one is at /mnt/one, and cannot move: what was stored there would be lost from sight"
    );
    world.write(2, |tx| tx.record_repository(&name("one"), &repository('b'))).await;
    world.write(3, |tx| tx.record_repository(&name("one"), &repository('b'))).await;
    let error =
        world.try_write(4, |tx| tx.record_repository(&name("one"), &repository('c'))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the repository of the backup target one is bbbbbbbb, but cccccccc was found there"
    );
    world.write(5, |tx| tx.record_target_failure(&name("one"), "the disk is gone")).await;
    world.write(6, |tx| tx.record_target_failure(&name("one"), "the disk is gone")).await;
    let moved = TargetSpec { medium: "nas".parse().unwrap(), ..folder("one", "one") };
    let (set, applied) = world.write(7, move |tx| tx.set_backup_target(&moved, None)).await;
    assert_eq!(
        (applied, set.state, set.repository),
        (Applied::Changed, TargetState::Waiting, Some(repository('b')))
    );
    assert_eq!(
        world.story().await,
        [
            "backup target one is /mnt/one on one",
            "backup target one has the repository bbbbbbbb",
            "backup target one can be used",
            "backup target one cannot be used: the disk is gone",
            "backup target one is /mnt/one on nas",
        ]
    );
}

#[tokio::test]
async fn a_kit_is_shown_once() {
    let world = World::new();
    target(&world, "one").await;
    let show = |seconds, again| world.try_write(seconds, move |tx| tx.record_kit_shown(&name("one"), again));
    let error = show(1, false).await.unwrap_err();
    assert!(matches!(error, StoreError::NoRepository { .. }), "{error}");
    world.write(2, |tx| tx.record_repository(&name("one"), &repository('b'))).await;
    let error = world.try_write(2, |tx| tx.remove_backup_target(&name("one"), false)).await.unwrap_err();
    assert!(matches!(error, StoreError::KitNotShown { .. }), "{error}");
    show(3, false).await.unwrap();
    let error = show(4, false).await.unwrap_err();
    assert!(matches!(error, StoreError::KitShown { at: shown, .. } if shown == at(3)), "{error}");
    show(5, true).await.unwrap();
    let story = world.story().await;
    assert_eq!(
        story[story.len() - 2..],
        [
            "recovery kit of the backup target one shown",
            "recovery kit of the backup target one shown once more"
        ]
    );
}

#[tokio::test]
async fn a_run_waits_for_its_turn() {
    let world = World::new();
    target(&world, "one").await;
    let first = world.write(1, |tx| tx.create_backup_run(&db(), &name("one"))).await;
    assert_eq!((first.id.to_string().as_str(), first.shown_state()), ("u1", RunState::Waiting));
    let error = world.try_write(2, |tx| tx.create_backup_run(&db(), &name("one"))).await.unwrap_err();
    assert_eq!(error.to_string(), "u1, a backup of database dropit/production/db to one, is not over");
    let error = world.try_write(2, |tx| tx.create_backup_run(&db(), &name("two"))).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { kind: "backup target", .. }), "{error}");
    let second = world.write(3, |tx| tx.create_backup_run(&What::Platform, &name("one"))).await;
    let (first, second) = (first.id, second.id);
    let begun = world.write(4, move |tx| tx.begin_backup_run(first)).await;
    assert_eq!((begun.begun_at, begun.state.clone()), (Some(at(4)), State::Dumping { since: at(4) }));
    let error = world.try_write(5, move |tx| tx.begin_backup_run(second)).await.unwrap_err();
    assert_eq!(error.to_string(), "the backup target one is used by u1");
    let error = world.try_write(5, |tx| tx.remove_backup_target(&name("one"), true)).await.unwrap_err();
    assert!(matches!(error, StoreError::TargetBusy { .. }), "{error}");
    world
        .write(6, move |tx| tx.record_backup_progress(first, Progress { produced_bytes: 7, added_bytes: 0 }))
        .await;

    let unfinished = world.store.read(|view| view.list_unfinished_backup_runs()).await.unwrap();
    let seen: Vec<_> =
        unfinished.iter().map(|run| (run.shown_state(), run.progress.produced_bytes)).collect();
    assert_eq!(seen, [(RunState::Dumping, 7), (RunState::Waiting, 0)]);
    let from = begun.state.clone();
    world.write(7, move |tx| tx.record_backup_state(first, &from, &failed(7), Progress::default())).await;
    let again = world
        .try_write(8, move |tx| tx.record_backup_state(first, &begun.state, &failed(8), Progress::default()))
        .await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    world.write(9, move |tx| tx.request_backup_cancel(second)).await;
    world.write(9, move |tx| tx.request_backup_cancel(second)).await;
    world.write(9, move |tx| tx.request_backup_cancel(first)).await;
    let begun = world.write(10, move |tx| tx.begin_backup_run(second)).await;
    assert!(begun.cancel_requested);
    assert_eq!(
        world.story().await,
        [
            "backup target one is /mnt/one on one",
            "backup u1 of database dropit/production/db to one asked for",
            "backup u2 of platform to one asked for",
            "backup u1 of database dropit/production/db to one began",
            "backup u1 of database dropit/production/db to one failed while dumping: there was nothing to save: the producer wrote no \
             bytes",
            "backup u2 should be cancelled",
            "backup u2 of platform to one began",
        ]
    );
}

#[tokio::test]
async fn a_good_run_is_found_until_it_is_forgotten_or_seen_to_be_none() {
    let world = World::new();
    target(&world, "one").await;
    let old = run(&world, db(), "one", 10, good(db(), 10)).await;
    let new = run(&world, db(), "one", 20, good(db(), 20)).await;
    run(&world, db(), "one", 30, failed(30)).await;
    let newest = || world.store.read(|view| view.newest_good_backup_run(&db(), &name("one")));
    let last = || world.store.read(|view| view.last_backup_begun(&db(), &name("one")));
    let found = newest().await.unwrap().unwrap();
    assert_eq!((found.id, found.ended_at, found.is_good()), (new, Some(at(20)), true));
    assert_eq!(found.manifest.map(|manifest| manifest.snapshot), found.snapshot);
    assert_eq!(found.progress, Progress { produced_bytes: 10, added_bytes: 4 });
    assert_eq!(last().await.unwrap(), Some(at(30)), "also one that failed was tried");
    let never = world.store.read(|view| view.last_backup_begun(&What::Platform, &name("one"))).await;
    assert_eq!(never.unwrap(), None);

    let back = Failure::Repository { reason: "a pack is gone".to_owned() };
    let end = State::Failed { at: at(40), stage: Stage::Verifying, reason: back };
    world.write(40, move |tx| tx.record_backup_state(new, &good(db(), 20), &end, Progress::default())).await;
    assert_eq!(newest().await.unwrap().map(|run| run.id), Some(old));
    let row = world.store.read(move |view| view.get_backup_run(new)).await.unwrap();
    assert_eq!((row.ended_at, row.snapshot.is_some(), row.is_good()), (Some(at(20)), true, false));
    let mark = || world.write(50, move |tx| tx.mark_snapshots_forgotten(&db(), &name("one"), &[old]));
    mark().await;
    mark().await;
    assert_eq!(newest().await.unwrap(), None);
    let all = world.store.read(|view| view.list_good_backup_runs(&db(), &name("one"))).await.unwrap();
    assert!(all.is_empty(), "{all:?}");
    let story = world.story().await;
    assert_eq!(
        story[story.len() - 2..],
        [
            "backup u2 of database dropit/production/db to one failed while verifying: the repository failed: a pack is gone",
            "backups of database dropit/production/db in one removed, as the policy says: 1",
        ]
    );
}

#[tokio::test]
async fn runs_are_listed_by_what_is_asked_for() {
    let world = World::new();
    target(&world, "one").await;
    target(&world, "two").await;
    run(&world, db(), "one", 10, good(db(), 10)).await;
    run(&world, db(), "two", 20, failed(20)).await;
    run(&world, What::Platform, "one", 30, good(What::Platform, 30)).await;
    let list = |filter: RunFilter, limit| {
        let store = world.store.clone();
        async move {
            let runs = store.read(move |view| view.list_backup_runs(&filter, limit)).await.unwrap();
            runs.iter().map(|run| run.id.to_string()).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(RunFilter::default(), 2).await, ["u3", "u2"]);
    assert_eq!(list(RunFilter { what: Some(db()), ..RunFilter::default() }, 10).await, ["u2", "u1"]);
    assert_eq!(list(RunFilter { target: Some(name("one")), ..RunFilter::default() }, 10).await, ["u3", "u1"]);
    assert_eq!(list(RunFilter { state: Some(RunState::Failed), ..RunFilter::default() }, 10).await, ["u2"]);
}

#[tokio::test]
async fn the_place_of_a_newest_backup_is_not_removed_by_the_way() {
    let world = World::new();
    target(&world, "one").await;
    target(&world, "two").await;
    run(&world, db(), "two", 10, good(db(), 10)).await;
    run(&world, db(), "one", 20, good(db(), 20)).await;
    run(&world, What::Platform, "two", 30, failed(30)).await;
    let remove = |text: &'static str, force| {
        world.try_write(40, move |tx| tx.remove_backup_target(&name(text), force))
    };
    let error = remove("one", false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the newest backup of database dropit/production/db lies in the backup target one only"
    );
    remove("two", false).await.unwrap();
    remove("one", true).await.unwrap();
    let error = remove("one", true).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    let left = world.store.read(|view| view.list_backup_runs(&RunFilter::default(), 10)).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    let story = world.story().await;
    assert_eq!(
        story[story.len() - 2..],
        [
            "backup target two removed; its repository was left as it is",
            "backup target one removed by force; its repository was left as it is",
        ]
    );
}

#[tokio::test]
async fn another_policy_leaves_the_server_alone() {
    let world = World::new();
    let spec = |backup: serde_json::Value| -> DatabaseSpec {
        serde_json::from_value(serde_json::json!({
            "name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1", "backup": backup,
        }))
        .unwrap()
    };
    let apply = |seconds, spec: DatabaseSpec| {
        world.write(seconds, move |tx| {
            let environment = environment(tx)?;
            tx.apply_database(environment, &spec)
        })
    };
    apply(0, spec(serde_json::Value::Null)).await;
    let policy = serde_json::json!({ "every": "1d", "keep": { "daily": 7 }, "drill": "7d" });
    let (database, applied) = apply(1, spec(policy)).await;
    assert_eq!((applied, database.revision), (Applied::Changed, 1));
    assert!(database.spec.backup.is_some_and(|policy| policy.drill.is_some()));
    assert_eq!(
        world.story().await,
        ["database db wanted", "backup of database dropit/production/db: something else is promised"]
    );
}
