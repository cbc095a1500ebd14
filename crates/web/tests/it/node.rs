//! The installation's own answers, and the OpenAPI document.

use havre_api::node::{EngineStatus, LoopStatus};
use havre_core::time::Timestamp;
use havre_web::NodeView;
use serde_json::{Value, json};

use crate::world::{START, World};

/// `UPDATE_OPENAPI=1 cargo nextest run -p havre-web openapi` writes the document anew.
#[test]
fn openapi_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let now = havre_web::openapi();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &now).expect("the document");
    }
    let kept = std::fs::read_to_string(path).expect("the document");
    assert!(
        kept == now,
        "openapi.json is out of date: run this test with UPDATE_OPENAPI=1 and look at the difference"
    );
}

#[test]
fn every_operation_is_documented() {
    let document: Value = serde_json::from_str(&havre_web::openapi()).expect("JSON");
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            assert!(operation["summary"].is_string(), "{method} {path} needs a summary");
            ids.push(operation["operationId"].as_str().expect("an id").to_owned());
        }
    }
    assert_eq!(ids.len(), 144);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 144, "operation ids must differ");
}

#[tokio::test]
async fn status() {
    let world = World::new();
    world.node.send_replace(NodeView {
        engine: EngineStatus {
            is_ready: true,
            text: "docker 20.10.24, API 1.41".to_owned(),
            warnings: vec!["live-restore is off".to_owned()],
        },
        loops: vec![LoopStatus {
            name: "deployment".to_owned(),
            is_running: false,
            last_run_at: Some(Timestamp::from_millis(START)),
            last_error: String::new(),
        }],
    });
    let (status, body) = world.get("/v1/status").await;
    assert_eq!(status, 200);
    assert_eq!(
        body,
        json!({
            "version": "0.0.0-test",
            "installation": "test-installation",
            "engine": { "is_ready": true, "text": "docker 20.10.24, API 1.41", "warnings": ["live-restore is off"] },
            "edges": [],
            "generation": 0,
            "last_event": 0,
            "loops": [{
                "name": "deployment", "is_running": false, "last_run_at": "2026-11-24T10:00:00.000Z", "last_error": "",
            }],
        })
    );
}

#[tokio::test]
async fn health_and_document_need_no_token() {
    let world = World::new();
    let answer = crate::world::send(&world.public, "GET", "/v1/health", &[], axum::body::Body::empty()).await;
    assert_eq!(crate::world::read(answer).await, (200, json!({ "status": "ok" })));
    let answer =
        crate::world::send(&world.public, "GET", "/v1/openapi.json", &[], axum::body::Body::empty()).await;
    let (status, document) = crate::world::read(answer).await;
    assert_eq!((status, &document["info"]["title"]), (200, &json!("Havre")));
}
