//! Databases: applied with the services, listed, looked into, and never destroyed by the way. No answer holds a password.

use axum::body::Body;
use futures_util::StreamExt as _;
use havre_api::database::{DatabaseInsight, DatabaseLogEntry};
use havre_api::task::LogStream;
use havre_core::database::state::State;
use havre_core::id::DatabaseId;
use havre_core::time::Timestamp;
use havre_decide::database::insight::Facts;
use havre_decide::database::insight::redis::RedisFacts;
use havre_web::task::streams::TaskStreamError;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, LineReader, START, World, send, tasks};

fn db() -> Value {
    json!({ "name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1" })
}

fn user() -> Value {
    let mut api = tasks("api", "api.example");
    api["work"]["uses"] = json!(["db"]);
    api
}

async fn apply(world: &World, services: &[Value], databases: &[Value]) -> (u16, Value) {
    world.ask("PUT", ENVIRONMENT, json!({ "services": services, "databases": databases })).await
}

/// An environment with a service and the database it uses.
async fn used() -> World {
    let world = World::new();
    let (status, body) = apply(&world, &[user()], &[db()]).await;
    assert_eq!(status, 200, "{body}");
    world
}

fn wire() -> Value {
    let at = "2026-11-24T10:00:00.000Z";
    json!({
        "id": "m1", "name": "db", "environment_id": "e1", "spec": db(), "revision": 1,
        "state": { "state": "starting", "since": at, "failures": 0 }, "status": "creating", "waiting": "", "task": 1,
        "image": null, "ready_at": null, "roles": [], "users": ["api"], "created_at": at,
    })
}

#[tokio::test]
async fn they_come_with_an_apply() {
    let world = used().await;
    let path = format!("{ENVIRONMENT}/databases");
    assert_eq!(world.get(&path).await, (200, json!({ "databases": [wire()] })));
    assert_eq!(world.get(&format!("{path}/db")).await, (200, wire()));
    let (_, status) = world.get(ENVIRONMENT).await;
    assert_eq!(status["databases"], json!([wire()]));

    let mut larger = db();
    larger["memory"] = json!("1GB");
    let (status, body) = apply(&world, &[user()], &[larger.clone()]).await;
    assert_eq!(status, 200, "{body}");
    let fields = json!([{ "path": "memory", "from": "512MB", "to": "1GB" }]);
    assert_eq!(body["databases"], json!([{ "database": "db", "action": "changed", "fields": fields }]));
    let said = "db: its server is stopped and started again; services get no connection for some seconds";
    assert!(body["warnings"].as_array().expect("a list").contains(&json!(said)), "{body}");

    let (status, body) =
        world.ask("PUT", ENVIRONMENT, json!({ "services": [user()], "prune": true, "dry_run": true })).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body["databases"],
        json!([{ "database": "db", "action": "not_named" }]),
        "prune leaves it alone"
    );
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_as_a_whole() {
    let world = World::new();
    let with = |key: &str, value: Value| {
        let mut spec = db();
        spec[key] = value;
        spec
    };
    for (services, databases, said) in [
        (vec![user()], vec![], "api: there is no database db"),
        (vec![], vec![db(), db()], "the database db is named twice"),
        (vec![], vec![with("version", json!(13))], "postgres 13 is not known here"),
        (vec![], vec![with("memory", json!("32MB"))], "postgres needs at least 128MB of memory"),
        (vec![], vec![with("name", json!("template1"))], "every PostgreSQL server has by itself"),
        (vec![tasks("db", "db.example")], vec![db()], "db is the name of a database and of a service"),
    ] {
        let (status, body) = apply(&world, &services, &databases).await;
        assert_eq!((status, &body["code"]), (422, &json!("spec_invalid")), "{said}");
        assert!(body["message"].as_str().expect("text").contains(said), "{body}");
    }
    let wrong = with("settings", json!({ "archive_command": "x" }));
    assert_eq!(apply(&world, &[], &[wrong]).await.0, 400, "no such setting can be said");
    assert_eq!(world.get("/v1/projects").await, (200, json!({ "projects": [] })));

    let world = used().await;
    let (status, body) = apply(&world, &[user()], &[with("version", json!(17))]).await;
    assert_eq!((status, &body["code"]), (409, &json!("other_kind")), "{body}");
}

#[tokio::test]
async fn one_that_is_used_stays() {
    let world = used().await;
    let path = format!("{ENVIRONMENT}/databases/db");
    let gone = |users: Value| json!({ "database": "db", "server": "postgres 16", "users": users });
    let (status, body) = world.ask("DELETE", &format!("{path}?dry_run=true"), Value::Null).await;
    assert_eq!((status, &body["database"]), (200, &gone(json!(["api"]))));
    let (status, body) = world.ask("DELETE", &path, Value::Null).await;
    assert_eq!((status, &body["code"]), (400, &json!("confirm_missing")));
    let (status, body) = world.ask("DELETE", &format!("{path}?confirm=db"), Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("database_in_use")));
    assert_eq!(body["message"], "the database dropit/production/db is used by api");

    apply(&world, &[tasks("api", "api.example")], &[]).await;
    let (status, body) = world.ask("DELETE", &format!("{path}?confirm=db"), Value::Null).await;
    assert_eq!((status, body), (202, json!({ "dry_run": false, "database": gone(json!([])) })));
    assert_eq!(world.get(&path).await.1["status"], "destroying");
    let (status, body) = apply(&world, &[user()], &[db()]).await;
    assert_eq!((status, &body["code"]), (409, &json!("being_destroyed")), "{body}");
}

#[tokio::test]
async fn an_environment_takes_them_with_it() {
    let world = used().await;
    let (_, body) = world.ask("DELETE", &format!("{ENVIRONMENT}?dry_run=true"), Value::Null).await;
    let gone = json!([{ "database": "db", "server": "postgres 16", "users": ["api"] }]);
    assert_eq!(body["databases"], gone);
    let (status, _) = world.ask("DELETE", &format!("{ENVIRONMENT}?confirm=production"), Value::Null).await;
    assert_eq!(status, 202);
    assert_eq!(world.get(&format!("{ENVIRONMENT}/databases/db")).await.1["status"], "destroying");
}

#[tokio::test]
async fn a_new_password_for_everybody_who_has_one() {
    let world = used().await;
    let row = world.write(|tx| tx.get_database(DatabaseId::new(1))).await;
    let (database, api) = (row.clone(), "api".parse().expect("a name"));
    let first = world.write(move |tx| tx.add_database_role(&database, &api)).await;
    let database = row.clone();
    world.write(move |tx| tx.set_role_made(&database, &first).map(|_| ())).await;
    let path = format!("{ENVIRONMENT}/databases/db/rotate");
    let (status, body) = world.ask("POST", &path, Value::Null).await;
    let roles = json!([
        { "name": "api_a", "state": { "state": "made" } },
        { "name": "api_b", "state": { "state": "wanted" } },
    ]);
    assert_eq!((status, &body["roles"]), (202, &roles));
    let (status, body) = world.ask("POST", &path, Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("rotation_running")));
}

#[tokio::test]
async fn no_answer_and_no_event_holds_a_password() {
    let world = used().await;
    let row = world.write(|tx| tx.get_database(DatabaseId::new(1))).await;
    let password = world.write(move |tx| Ok(tx.get_database_superuser(&row)?.password)).await;
    let password = password.expose_text().expect("is text").to_owned();
    for path in
        [ENVIRONMENT.to_owned(), format!("{ENVIRONMENT}/databases"), format!("{ENVIRONMENT}/databases/db")]
    {
        let (_, body) = world.get(&path).await;
        assert!(!body.to_string().contains(&password), "{path}");
    }
    let events = world.write(|tx| tx.events(0, None, 100)).await;
    assert!(!serde_json::to_string(&events).expect("is JSON").contains(&password));
}

#[tokio::test]
async fn its_log_and_what_is_not_there() {
    let world = used().await;
    let entry = DatabaseLogEntry {
        at: Timestamp::from_millis(START),
        task: 1,
        stream: LogStream::Stderr,
        line: "ready to accept connections".to_owned(),
    };
    let stream = futures_util::stream::iter([Ok(entry)]).boxed();
    world.streams.database_logs.lock().expect("no holder panics").push_back(Ok(stream));
    let path = format!("{ENVIRONMENT}/databases/db/logs?tail=5");
    let mut lines = LineReader::new(send(&world.local, "GET", &path, &[], Body::empty()).await);
    let line = json!({
        "at": "2026-11-24T10:00:00.000Z", "task": 1, "stream": "stderr", "line": "ready to accept connections",
    });
    assert_eq!(lines.next().await, Some(line));
    assert_eq!(
        *world.streams.asked_for_databases.lock().expect("no holder panics"),
        ["m1 tail=5 follow=false"]
    );
    let (status, body) = world.get(&format!("{ENVIRONMENT}/databases/bd")).await;
    assert_eq!((status, &body["code"]), (404, &json!("database_not_found")));
    assert_eq!(body["message"], "there is no database `bd` in dropit/production; did you mean `db`?");
}

#[tokio::test]
async fn what_its_server_says_about_itself() {
    let world = used().await;
    let plant = |answer| world.streams.insights.lock().expect("no holder panics").push_back(answer);
    let facts = Facts::Redis(RedisFacts { version: "7.0.15".to_owned(), keys: 3, ..RedisFacts::default() });
    let hints = vec!["memory at 95 %".to_owned()];
    plant(Ok(DatabaseInsight { at: Timestamp::from_millis(START), facts, hints, missing: Vec::new() }));
    let path = format!("{ENVIRONMENT}/databases/db/insight");
    let (status, body) = world.get(&path).await;
    assert_eq!((status, &body["facts"]["kind"], &body["facts"]["keys"]), (200, &json!("redis"), &json!(3)));
    assert_eq!(
        (&body["at"], &body["hints"]),
        (&json!("2026-11-24T10:00:00.000Z"), &json!(["memory at 95 %"]))
    );

    plant(Err(TaskStreamError::NotRunning("it is starting".to_owned())));
    let (status, body) = world.get(&path).await;
    assert_eq!((status, &body["code"]), (409, &json!("task_not_running")));
    plant(Err(TaskStreamError::Unavailable("could not look into the database".to_owned())));
    let (status, body) = world.get(&path).await;
    assert_eq!((status, &body["code"]), (503, &json!("unavailable")));
    let asked = world.streams.asked_for_databases.lock().expect("no holder panics").clone();
    assert_eq!(asked, ["m1 insight"; 3]);
    let (status, body) = world.get(&format!("{ENVIRONMENT}/databases/bd/insight")).await;
    assert_eq!((status, &body["code"]), (404, &json!("database_not_found")));
}

#[tokio::test]
async fn what_it_waits_for_is_said() {
    let world = used().await;
    world.write(|tx| tx.set_waiting("database", 1, "does not answer yet: no response")).await;
    let path = format!("{ENVIRONMENT}/databases/db");
    assert_eq!(world.get(&path).await.1["waiting"], "does not answer yet: no response");
    let row = world.write(|tx| tx.get_database(DatabaseId::new(1))).await;
    let since = Timestamp::from_millis(START);
    world.write(move |tx| tx.set_database_state(row.id, &row.state, State::Ready { since })).await;
    assert_eq!(world.get(&path).await.1["status"], "ready");
}
