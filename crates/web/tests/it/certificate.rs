//! Certificates over the API: uploads with everything that can be wrong with them, lists, and the material for edges.

use axum::body::Body;
use havre_core::certificate::{Current, Source, State};
use havre_core::time::Timestamp;
use havre_x509::issuer::PretendIssuer;
use havre_x509::material::Material;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::world::{START, World, send};

fn at(days: i64) -> Timestamp {
    Timestamp::from_millis(START + days * 86_400_000)
}

fn pair(names: &[&str], from: i64, until: i64) -> Material {
    let names: Vec<_> = names.iter().map(|name| name.parse().expect("a name")).collect();
    PretendIssuer::new("Pretended").expect("an issuer").issue(&names, at(from), at(until)).expect("a pair")
}

fn body(pair: &Material) -> Value {
    let pem = String::from_utf8(pair.to_pem().expose().to_vec()).expect("text");
    let (chain, key) = pem.split_at(pem.find("-----BEGIN PRIVATE").expect("a key"));
    json!({ "chain": chain, "key": key })
}

#[tokio::test]
async fn a_pair_is_taken_listed_fetched_by_edges_and_removed() {
    let world = World::new();
    let pair = pair(&["api.example.org", "www.example.org"], -1, 60);
    let mut dry = body(&pair);
    dry["dry_run"] = json!(true);
    let (status, answer) = world.ask("POST", "/v1/certificates", dry).await;
    assert_eq!((status, &answer["id"]), (200, &Value::Null));
    assert_eq!(world.get("/v1/certificates").await.1, json!({ "certificates": [] }));

    let (status, answer) = world.ask("POST", "/v1/certificates", body(&pair)).await;
    assert_eq!((status, &answer["id"]), (201, &json!("c1")), "{answer}");
    let (_, listed) = world.get("/v1/certificates").await;
    let one = &listed["certificates"][0];
    assert_eq!(one["names"], json!(["api.example.org", "www.example.org"]));
    assert_eq!((&one["source"], &one["state"]), (&json!("uploaded"), &json!("resting")));
    assert_eq!(one["current"]["not_after"], json!(at(60)));
    assert_eq!(world.get("/v1/certificates/c1").await.1, *one);
    assert!(!listed.to_string().contains("PRIVATE"));

    let path = format!("/v1/edge/certificates/{}", one["current"]["digest"].as_str().expect("a digest"));
    let response = send(&world.edge, "GET", &path, &[], Body::empty()).await;
    assert_eq!(response.headers()["content-type"], "application/x-pem-file");
    let pem = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    let digest: String = Sha256::digest(&pem).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(path.ends_with(&digest));
    for door in [&world.local, &world.public] {
        assert_ne!(send(door, "GET", &path, &[], Body::empty()).await.status(), 200, "only edges get keys");
    }

    let (status, refused) = world.ask("POST", "/v1/certificates/c1/renew", Value::Null).await;
    assert_eq!((status, &refused["code"]), (409, &json!("not_renewable")));
    assert_eq!(world.ask("DELETE", "/v1/certificates/c1", Value::Null).await.0, 204);
    let (status, gone) = world.get("/v1/certificates/c1").await;
    assert_eq!((status, &gone["code"]), (404, &json!("certificate_not_found")));
    let response = send(&world.edge, "GET", &path, &[], Body::empty()).await;
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_is_said() {
    let world = World::new();
    let (one, other) = (pair(&["a.example.org"], -1, 60), pair(&["a.example.org"], -1, 60));
    let mixed = json!({ "chain": body(&one)["chain"], "key": body(&other)["key"] });
    let old = body(&pair(&["a.example.org"], -60, -1));
    let cases = [
        (mixed, "the private key does not belong to"),
        (old, "has expired on"),
        (json!({ "chain": "", "key": body(&one)["key"] }), "certificate"),
        (json!({ "chain": body(&one)["chain"], "key": "" }), "there is no private key"),
        (json!({ "chain": "nonsense", "key": "nonsense" }), "PEM"),
    ];
    for (body, said) in cases {
        let (status, refused) = world.ask("POST", "/v1/certificates", body).await;
        assert_eq!((status, &refused["code"]), (422, &json!("certificate_invalid")));
        let message = refused["message"].as_str().expect("a message");
        assert!(message.contains(said), "{message}");
        assert!(!refused.to_string().contains("BEGIN PRIVATE"), "no key comes back");
    }
    assert_eq!(world.get("/v1/certificates").await.1, json!({ "certificates": [] }));
}

#[tokio::test]
async fn a_waiting_certificate_says_why_and_can_be_hurried() {
    let world = World::new();
    let names = vec!["api.example.org".parse().expect("a name")];
    world
        .write({
            let names = names.clone();
            move |tx| tx.want_certificates(&[names])
        })
        .await;
    let until = at(1);
    world
        .write(move |tx| {
            let row = tx.get_certificate(havre_core::id::CertificateId::new(1))?;
            tx.set_certificate_state(&row, State::BackingOff { since: at(0), until })?;
            tx.set_waiting("certificate", 1, "failed 2 times")
        })
        .await;
    let (_, one) = world.get("/v1/certificates/c1").await;
    assert_eq!((&one["state"], &one["waiting"]), (&json!("backing_off"), &json!("failed 2 times")));
    assert_eq!(one["not_before"], json!(until));
    let (status, one) = world.ask("POST", "/v1/certificates/c1/renew", Value::Null).await;
    assert_eq!((status, &one["state"]), (202, &json!("resting")));
    let row = world.store.read(|view| view.list_certificates()).await.expect("rows").remove(0);
    assert!(row.record.is_renewal_asked && row.source == Source::Automatic);
    assert_eq!(row.current, None::<Current>);
}
