//! Events read by cursor and followed.

use std::time::Duration;

use axum::body::Body;
use havre_web::Limits;
use serde_json::{Value, json};

use crate::world::{LineReader, World, read, send, site, tasks};

async fn open(world: &World, query: &str) -> LineReader {
    LineReader::new(send(&world.local, "GET", &format!("/v1/events{query}"), &[], Body::empty()).await)
}

async fn texts(world: &World, query: &str) -> Vec<(u64, String)> {
    let lines = open(world, query).await.all().await;
    lines
        .iter()
        .map(|line| {
            (line["seq"].as_u64().expect("a number"), line["text"].as_str().expect("text").to_owned())
        })
        .collect()
}

#[tokio::test]
async fn by_cursor_and_service() {
    let world = World::new();
    world.apply(&[tasks("api", "api.example"), site("web", "web.example")]).await;
    world
        .ask(
            "POST",
            "/v1/projects/dropit/environments/production/services/api/scale",
            json!({ "replicas": 3 }),
        )
        .await;
    let first = open(&world, "").await.all().await;
    insta::assert_json_snapshot!("events", first);
    let scaled = (3, "scaled from 2 to 3 tasks".to_owned());
    let made = |seq| (seq, "service created".to_owned());
    assert_eq!(texts(&world, "?after=2").await, vec![scaled.clone()]);
    assert_eq!(texts(&world, "?after=0&limit=2").await, [made(1), made(2)]);
    assert_eq!(texts(&world, "?limit=1").await, vec![scaled.clone()]);
    assert_eq!(texts(&world, "?service=dropit/production/api").await, [made(1), scaled.clone()]);
    assert_eq!(texts(&world, "?service=s1&limit=1").await, [scaled]);
    assert_eq!(texts(&world, "?service=s1&after=3").await, []);
    let (status, body) = world.get("/v1/events?service=dropit/production/apu").await;
    assert_eq!((status, &body["code"]), (404, &json!("service_not_found")));
    let (status, body) = world.get("/v1/events?limit=10001").await;
    assert_eq!((status, &body["code"]), (400, &json!("query_invalid")));
}

#[tokio::test]
async fn follow_misses_nothing_and_ends_with_the_server() {
    let world = World::with(Limits { keep_alive: Duration::from_millis(100), ..Limits::default() });
    world.apply(&[site("a", "a.example")]).await;
    let mut lines = open(&world, "?follow=true&after=0").await;
    assert_eq!(lines.next().await.expect("the first")["seq"], 1);
    assert_eq!(lines.raw().await.as_deref(), Some(""), "an empty line while nothing happens");
    world.apply(&[site("a", "a.example"), site("b", "b.example")]).await;
    let second = lines.next().await.expect("the second");
    assert_eq!((&second["seq"], &second["place"]["service"]), (&json!(2), &json!("b")));
    // Far more than one page, written at once.
    world
        .write(move |tx| {
            for generation in 0..1200 {
                tx.append(
                    havre_core::event::Subject::Node,
                    havre_core::event::EventKind::Route(havre_core::route::event::Event::TableStored {
                        generation,
                    }),
                )?;
            }
            Ok(())
        })
        .await;
    for count in 0..1200_u64 {
        let line = lines.next().await.expect("an event");
        assert_eq!((&line["seq"], &line["kind"]["generation"]), (&json!(3 + count), &json!(count)));
        assert_eq!(line["place"], Value::Null);
    }
    world.stop.cancel();
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn events_outlive_their_service() {
    let world = World::new();
    world.apply(&[site("a", "a.example")]).await;
    world
        .ask("DELETE", "/v1/projects/dropit/environments/production/services/a?confirm=a", Value::Null)
        .await;
    let id = world.service("a").await.id;
    world.write(move |tx| tx.remove_service(id)).await;
    let lines = open(&world, "?service=s1").await.all().await;
    let seen: Vec<(&Value, &Value)> = lines.iter().map(|line| (&line["text"], &line["place"])).collect();
    let texts = ["service created", "destruction requested", "service destroyed"].map(|text| json!(text));
    assert_eq!(seen, texts.iter().map(|text| (text, &Value::Null)).collect::<Vec<_>>());
}

#[tokio::test]
async fn streams_are_bounded() {
    let world = World::with(Limits { streams: 1, ..Limits::default() });
    let first = open(&world, "?follow=true").await;
    let (status, body) = read(send(&world.local, "GET", "/v1/events", &[], Body::empty()).await).await;
    assert_eq!(
        (status, body),
        (
            429,
            json!({
                "code": "too_many_streams",
                "message": "1 streams and uploads are open already",
                "hint": "close some, or try again in a moment",
            })
        )
    );
    drop(first);
    crate::world::soon(async {
        while send(&world.local, "GET", "/v1/events", &[], Body::empty()).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_log_that_was_written_to_by_others_says_where() {
    let world = World::new();
    world.apply(&[site("a", "a.example"), site("b", "b.example")]).await;
    let (status, chain) = world.get("/v1/events/chain").await;
    assert_eq!((status, &chain["events"], &chain["unchained"]), (200, &json!(2), &json!(0)));
    assert_eq!(chain["newest_hash"].as_str().map(str::len), Some(64), "{chain}");
    assert_eq!(chain.get("broken_at"), None, "{chain}");
}
