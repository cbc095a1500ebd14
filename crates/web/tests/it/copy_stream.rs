//! Dumps and what belongs to one person: streams that say their end, and records that name nobody.

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use futures_util::stream;
use havre_api::error::ErrorBody;
use havre_api::frame::{Decoder, Encoder, Frame};
use havre_web::task::streams::TaskStreamError;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, World, send};

const RULES: &str =
    "[person]\nkey = \"email\"\n[person.tables.\"public.users\"]\nby = \"email\"\nerase = \"delete\"\n";
const WHO: &str = "o'brien@dropit.example";

async fn world() -> World {
    let world = World::new();
    let db = json!({ "name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1" });
    let redis = json!({ "name": "cache", "engine": "redis", "version": 7, "memory": "64MB", "cpus": "1" });
    let body = json!({ "services": [], "databases": [db, redis] });
    assert_eq!(world.ask("PUT", ENVIRONMENT, body).await.0, 200);
    world
}

fn plant(world: &World, pieces: Vec<Result<Bytes, TaskStreamError>>) {
    let pieces = stream::iter(pieces).boxed();
    world.streams.pieces.lock().expect("no holder panics").push_back(Ok(pieces));
}

fn asked(world: &World) -> Vec<String> {
    world.streams.asked_for_databases.lock().expect("no holder panics").clone()
}

/// The frames of an answer.
async fn frames(world: &World, path: &str, body: Value) -> Vec<Frame> {
    let path = format!("{ENVIRONMENT}/databases/db/{path}");
    let response = send(&world.local, "POST", &path, &[], Body::from(body.to_string())).await;
    assert_eq!(response.status(), 200);
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame().expect("frames") {
        frames.push(frame);
    }
    frames
}

async fn story(world: &World) -> Vec<String> {
    let events = world.store.read(|view| view.events(0, None, 1000)).await.expect("a read");
    events.iter().map(|event| event.kind.to_string()).collect()
}

#[tokio::test]
async fn a_dump_says_whether_it_is_whole() {
    let world = world().await;
    plant(&world, vec![Ok(Bytes::from("--\n")), Ok(Bytes::from("rows"))]);
    let found = frames(&world, "dump", json!({ "format": "custom" })).await;
    assert_eq!(found, [Frame::Data(b"--\n".to_vec()), Frame::Data(b"rows".to_vec()), Frame::End]);

    let error = TaskStreamError::Unavailable("pg_dump: error: no".to_owned());
    plant(&world, vec![Ok(Bytes::from("--\n")), Err(error)]);
    let found = frames(&world, "dump", json!({})).await;
    let Some(Frame::Failed(ErrorBody { message, .. })) = found.last() else { panic!("{found:?}") };
    assert_eq!(message, "pg_dump: error: no");
    assert_eq!(asked(&world), ["m1 dump custom", "m1 dump plain"]);
    let story = story(&world).await;
    assert_eq!(story[story.len() - 2..], ["database db dumped (custom)", "database db dumped (plain)"]);

    let (status, body) = world.ask("POST", &format!("{ENVIRONMENT}/databases/cache/dump"), Value::Null).await;
    assert_eq!((status, &body["code"]), (422, &json!("copy_refused")), "{body}");
}

#[tokio::test]
async fn a_dump_that_is_sent_needs_its_end() {
    let world = world().await;
    let path = format!("{ENVIRONMENT}/databases/db/imports?as=old");
    let mut encoder = Encoder::default();
    let mut stream = encoder.data(b"a dump");
    let half = stream.clone();
    stream.extend(encoder.end());

    let response = send(&world.local, "POST", &path, &[], Body::from(stream)).await;
    assert_eq!(response.status(), 202);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((&body["id"], &body["beside"]), (&json!("q1"), &json!("old")), "{body}");
    assert_eq!(body["origin"], json!({ "from": "upload" }));
    // One at a time; this one waits for its loop, which is not here.
    let response = send(&world.local, "POST", &path, &[], Body::empty()).await;
    assert_eq!(response.status(), 409);

    let other = self::world().await;
    let response = send(&other.local, "POST", &path, &[], Body::from(half)).await;
    assert_eq!(response.status(), 400);
    let ended = async |world: &World| loop {
        if let Some(found) = world.streams.imported.lock().expect("no holder panics").pop() {
            return (found.1, found.2);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!(ended(&world).await, (b"a dump".to_vec(), true));
    assert_eq!(ended(&other).await, (b"a dump".to_vec(), false), "without its end it has broken off");
    let path = format!("{ENVIRONMENT}/databases/db/imports?as=template1");
    let response = send(&other.local, "POST", &path, &[], Body::empty()).await;
    assert_eq!(response.status(), 422);
}

#[tokio::test]
async fn what_belongs_to_a_person_is_exported_counted_and_erased_and_nobody_is_named() {
    let world = world().await;
    let request = |dry_run: bool| json!({ "policy": RULES, "person": WHO, "dry_run": dry_run });
    let line = "{\"table\": \"public.users\", \"row\": {\"id\": 1}}\n";
    plant(&world, vec![Ok(Bytes::from(line))]);
    let found = frames(&world, "person/export", request(false)).await;
    assert_eq!(found, [Frame::Data(line.as_bytes().to_vec()), Frame::End]);

    let path = format!("{ENVIRONMENT}/databases/db/person/erase");
    let answer = Bytes::from("{\"rows\": 2, \"table\": \"public.users\"}\n");
    for dry_run in [true, false] {
        plant(&world, vec![Ok(answer.clone())]);
        let (status, body) = world.ask("POST", &path, request(dry_run)).await;
        let tables = json!([{ "table": "public.users", "rows": 2 }]);
        assert_eq!((status, body), (200, json!({ "dry_run": dry_run, "tables": tables, "rows": 2 })));
    }
    let asked = asked(&world);
    assert!(asked[0].contains("READ ONLY;\nSELECT pg_catalog.jsonb_build_object"), "{}", asked[0]);
    assert!(asked[1].contains("READ ONLY;\nSELECT") && !asked[1].contains("DELETE"), "{}", asked[1]);
    let erase = &asked[2];
    assert!(erase.contains("BEGIN;\nWITH gone AS (DELETE FROM \"public\".\"users\""), "{erase}");
    assert!(erase.ends_with("COMMIT;\n") && erase.contains("'o''brien@dropit.example'"), "{erase}");

    let story = story(&world).await;
    let mine: Vec<&String> = story.iter().filter(|text| text.contains("a person (")).collect();
    assert_eq!(mine.len(), 4, "{story:?}");
    assert!(mine[3].ends_with(" erased, 2 rows"), "{}", mine[3]);
    let named = |text: &str| {
        text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name.to_owned())
    };
    assert_eq!(named(mine[0]), named(mine[3]), "the same person is the same in the record");
    let events = world.store.read(|view| view.events(0, None, 1000)).await.expect("a read");
    let text = serde_json::to_string(&events).expect("JSON");
    assert!(!text.contains("brien"), "nobody is named");
}

#[tokio::test]
async fn what_says_nothing_about_persons_and_what_the_server_refuses_is_told() {
    let world = world().await;
    let path = format!("{ENVIRONMENT}/databases/db/person/erase");
    for (policy, who, status, code) in [
        ("", WHO, 422, "policy_invalid"),
        ("x = 1", WHO, 422, "policy_invalid"),
        (RULES, "", 400, "body_invalid"),
    ] {
        let (found, body) = world.ask("POST", &path, json!({ "policy": policy, "person": who })).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{body}");
    }
    let error = TaskStreamError::Unavailable("ERROR:  relation \"public.users\" does not exist".to_owned());
    plant(&world, vec![Err(error)]);
    let (status, body) = world.ask("POST", &path, json!({ "policy": RULES, "person": WHO })).await;
    assert_eq!((status, &body["code"]), (503, &json!("unavailable")), "{body}");
    let story = story(&world).await;
    assert!(story.last().expect("one").ends_with("about to be erased"), "{story:?}");
}
