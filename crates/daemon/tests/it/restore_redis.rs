//! Restores of a real Redis: keys in, a backup, a new database with the same keys that keeps them when it starts again; a drill without a
//! network that leaves nothing; and snapshots that somebody has damaged on their way, which are found out.

use havre_api::backup::{BackupRun, BackupRunList, BackupTarget};
use havre_api::database::Database;
use havre_api::environment::ApplyResponse;
use havre_api::restore::{CreateRestoreResponse, Drill, DrillReport, Restore};
use havre_core::backup::run::RunState;
use hyper::Method;
use serde_json::{Value, json};

use crate::world::docker::{docker, label, need};
use crate::world::{ENVIRONMENT, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const REDIS: &str = "redis:7";
const WHAT: &str = "database/e2e/production/sessions";
/// Two thousand keys, one of them long, one that ends by itself in an hour, and one in another database.
const FILL: &str = "for i = 1, 1997 do redis.call('SET', 'key:' .. i, string.rep(tostring(i), 20)) end \
    redis.call('SET', 'long', string.rep('x', 200000)) redis.call('SET', 'later', '1', 'EX', '3600') \
    redis.call('SELECT', '3') redis.call('HSET', 'other', 'a', '1') return redis.call('DBSIZE')";

/// The container of a database, once it answers.
async fn container(world: &World, name: &str) -> String {
    let look = async || {
        let found = world.api.find::<Database>(&format!("{ENVIRONMENT}/databases/{name}")).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    let found = until("the database answers", look).await;
    format!("havre-{}-{}-{name}-production-e2e", found.id, found.task)
}

fn ask(container: &str, words: &[&str]) -> String {
    let words = [&["exec", container, "redis-cli"], words].concat();
    docker(&words).expect("the client runs").trim().to_owned()
}

/// Keys of both databases, and one that says whether their values are right.
fn content(container: &str) -> (String, String, String) {
    let long = ask(container, &["STRLEN", "long"]);
    (ask(container, &["DBSIZE"]), ask(container, &["-n", "3", "HGET", "other", "a"]), long)
}

async fn good(world: &World, others: usize) -> BackupRun {
    let look = async || {
        let runs: Vec<BackupRun> =
            world.api.find::<BackupRunList>(&format!("/v1/backup-runs?what={WHAT}")).await?.runs;
        let mut good: Vec<BackupRun> = runs.into_iter().filter(|run| run.status == RunState::Good).collect();
        (good.len() > others).then(|| good.remove(0))
    };
    until("a backup is good", look).await
}

/// A database with keys, and a good backup of it; its container.
async fn saved(world: &World) -> String {
    let sessions = json!({
        "name": "sessions", "engine": "redis", "version": 7, "memory": "64MB", "cpus": "1",
        "settings": { "maxmemory-policy": "allkeys-lru" }, "backup": { "every": "1d", "keep": { "last": 9 } },
    });
    let request = json!({ "services": [], "databases": [sessions] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    let container = container(world, "sessions").await;
    ask(&container, &["EVAL", FILL, "0"]);
    let place = world.folder.path().join("repository");
    let target = json!({ "location": { "kind": "folder", "path": place }, "medium": "two" });
    let _: BackupTarget = world.api.send(Method::PUT, "/v1/backup-targets/disk", &target).await;
    let run = good(world, 0).await;
    assert_eq!(run.manifest.expect("it is good").rows["db0"], 1999);
    container
}

async fn restored(world: &World) -> Restore {
    let path = format!("{ENVIRONMENT}/databases/sessions/restores");
    let asked: CreateRestoreResponse = world.api.send(Method::POST, &path, &json!({})).await;
    let path = format!("/v1/restores/{}", asked.restore.expect("it is no dry run").id);
    until("the restore is over", async || world.api.find::<Restore>(&path).await.filter(|one| one.is_final))
        .await
}

async fn drilled(world: &World) -> Drill {
    let path = format!("{ENVIRONMENT}/databases/sessions/drills");
    let asked: Drill = world.api.send(Method::POST, &path, &()).await;
    let path = format!("/v1/drills/{}", asked.id);
    until("the drill is over", async || world.api.find::<Drill>(&path).await.filter(|one| one.is_final)).await
}

/// Containers of drills that are there.
fn left(world: &World) -> String {
    let ours = label(&world.installation);
    let filter = ["--filter", &ours, "--filter", "label=dev.havre.purpose=drill", "--format", "{{.Names}}"];
    docker(&[["ps", "-a"].as_slice(), &filter].concat()).expect("a list")
}

/// In place of the client that gives snapshots out: the same, and then something is done to the file.
fn sabotage(container: &str, what: &str) {
    let script = format!(
        "set -eu; c=$(command -v redis-cli); [ -e \"$c.real\" ] || mv \"$c\" \"$c.real\"; \
         printf '%s\\n' '#!/bin/sh' '\"$0.real\" \"$@\" || exit' '[ \"${{1:-}}\" = --rdb ] || exit 0' '{what}' >\"$c\"; chmod 755 \"$c\""
    );
    docker(&["exec", container, "sh", "-c", &script]).expect("the client is another one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_back_beside_what_is_there_and_stay() {
    need(REDIS);
    let world = World::start_sealed().await;
    let old = saved(&world).await;
    ask(&old, &["FLUSHALL"]);
    let restore = restored(&world).await;
    assert_eq!(restore.status, "ready", "{}", restore.failure);
    let state: Value = serde_json::to_value(&restore.state).expect("is written");
    assert_eq!(state["findings"]["keys"], json!({ "expiring": 1, "saved": 2000 }));

    let new = container(&world, "sessions-restored-1").await;
    let all = ("1999".to_owned(), "1".to_owned(), "200000".to_owned());
    assert_eq!(content(&new), all);
    assert!(
        ask(&new, &["TTL", "later"]).parse::<u64>().is_ok_and(|seconds| seconds > 0),
        "it ends by itself"
    );
    assert_eq!(ask(&old, &["DBSIZE"]), "0", "the old one was not touched");
    // It is what the old one is, and not what it was while it was filled.
    assert_eq!(ask(&new, &["CONFIG", "GET", "appendonly"]), "appendonly\nyes");
    assert_eq!(ask(&new, &["CONFIG", "GET", "maxmemory-policy"]), "maxmemory-policy\nallkeys-lru");
    assert_eq!(docker(&["exec", &new, "ls", "-A", "/data"]).expect("a list").trim(), "appendonlydir");

    // Killed, its next task has what was restored and what was written since.
    ask(&new, &["SET", "since", "1"]);
    docker(&["kill", &new]).expect("it runs");
    let next = async || {
        let found = container(&world, "sessions-restored-1").await;
        (found != new).then_some(found)
    };
    let next = until("the next task answers", next).await;
    assert_eq!(ask(&next, &["DBSIZE"]), "2000");
    assert_eq!(ask(&next, &["GET", "since"]), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_proves_the_keys_and_finds_what_was_damaged() {
    need(REDIS);
    let world = World::start_sealed().await;
    let server = saved(&world).await;
    let asked: Drill =
        world.api.send(Method::POST, &format!("{ENVIRONMENT}/databases/sessions/drills"), &()).await;
    let name = format!("havre-{}-drill-sessions-production-e2e", asked.id);
    let mode = ["inspect", "--format", "{{.HostConfig.NetworkMode}} {{len .NetworkSettings.Ports}}", &name];
    let mode = until("its server is there", async || docker(&mode).ok()).await;
    assert_eq!(mode.trim(), "none 0");
    let path = format!("/v1/drills/{}", asked.id);
    let over = async || world.api.find::<Drill>(&path).await.filter(|drill| drill.is_final);
    let passed = until("the drill is over", over).await;
    assert_eq!(passed.status, "passed", "{}", passed.failure);
    let report: DrillReport = world.api.get(&format!("{path}/report")).await;
    assert!(report.is_signed, "{report:?}");
    let proven =
        r#""keys":{"expiring":1,"saved":2000},"rows":{"db0":1999,"db3":1},"structure":{"structure":"sound"}"#;
    assert!(report.text.contains(proven), "{}", report.text);
    assert_eq!(left(&world), "");

    // A backup cannot know; whoever reads it as a server would, does.
    let flip = "printf XXXX | dd of=\"$2\" bs=1 seek=5000 conv=notrunc status=none";
    let cut = "truncate -s 5000 \"$2\"";
    for (number, what) in [flip, cut].into_iter().enumerate() {
        sabotage(&server, what);
        let what = json!({ "kind": "database", "project": "e2e", "environment": "production", "database": "sessions" });
        let _: BackupRunList =
            world.api.send(Method::POST, "/v1/backup-runs", &json!({ "what": what })).await;
        good(&world, number + 1).await;
        let failed = drilled(&world).await;
        assert_eq!(failed.status, "failed");
        assert!(failed.failure.contains("its structure is damaged: "), "{}", failed.failure);
        assert_eq!(left(&world), "");
    }
    let failed = restored(&world).await;
    assert!(failed.failure.contains("its structure is damaged: "), "{}", failed.failure);
}
