//! Issuers and DNS providers over the API: presets, what is refused, and that secrets never come back.

use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn presets_and_ones_own() {
    let world = World::new();
    let (status, refused) = world.ask("PUT", "/v1/issuers/letsencrypt", json!({})).await;
    assert_eq!((status, &refused["code"]), (422, &json!("issuer_invalid")));
    let set = json!({ "terms_agreed": true, "contact": "me@example.org" });
    let (status, answer) = world.ask("PUT", "/v1/issuers/letsencrypt", set).await;
    assert_eq!(
        (status, answer),
        (
            200,
            json!({
                "name": "letsencrypt",
                "rank": 10,
                "directory": "https://acme-v02.api.letsencrypt.org/directory",
                "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
                "contact": "me@example.org",
                "challenges": ["http-01", "tls-alpn-01", "dns-01"],
                "eab_key_id": null,
                "has_root": false,
                "accounts": [],
            })
        )
    );
    let own = json!({
        "terms_agreed": true, "directory": "https://127.0.0.1:14000/dir", "rank": 1, "challenges": ["tls-alpn-01"],
        "eab_key_id": "kid", "eab_key": "cGxhbnRlZA", "root_pem": "-----BEGIN CERTIFICATE-----",
    });
    assert_eq!(world.ask("PUT", "/v1/issuers/own", own).await.0, 200);
    let (_, list) = world.get("/v1/issuers").await;
    let names: Vec<&Value> =
        list["issuers"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("own"), &json!("letsencrypt")]);
    assert!(!list.to_string().contains("cGxhbnRlZA"));
    assert_eq!(world.ask("DELETE", "/v1/issuers/own", Value::Null).await.0, 204);
    assert_eq!(world.ask("DELETE", "/v1/issuers/own", Value::Null).await.1["code"], "issuer_not_found");
}

#[tokio::test]
async fn what_an_issuer_cannot_be() {
    let world = World::new();
    let agreed = |mut body: Value| {
        body["terms_agreed"] = json!(true);
        body
    };
    for (name, body) in [
        ("own", agreed(json!({}))),
        ("zerossl", agreed(json!({}))),
        ("zerossl", agreed(json!({ "eab_key_id": "kid" }))),
        ("letsencrypt", agreed(json!({ "contact": "nobody" }))),
        ("letsencrypt", agreed(json!({ "challenges": [] }))),
    ] {
        let (status, refused) = world.ask("PUT", &format!("/v1/issuers/{name}"), body.clone()).await;
        assert_eq!((status, &refused["code"]), (422, &json!("issuer_invalid")), "{name} {body}");
    }
    for body in
        [json!({ "directory": "http://a/dir" }), json!({ "challenges": ["http"] }), json!({ "mail": "x" })]
    {
        let (status, refused) = world.ask("PUT", "/v1/issuers/own", agreed(body)).await;
        assert_eq!((status, &refused["code"]), (400, &json!("body_invalid")));
    }
    assert_eq!(world.get("/v1/issuers").await.1, json!({ "issuers": [] }));
}

#[tokio::test]
async fn credentials_go_in_and_never_come_out() {
    let world = World::new();
    let path = "/v1/dns-providers/example.org";
    let (status, refused) = world.ask("PUT", path, json!({ "kind": "infomaniak", "fields": {} })).await;
    assert_eq!((status, &refused["code"]), (422, &json!("provider_invalid")));
    assert_eq!(refused["message"], "the DNS provider infomaniak also needs `token`");
    let body = json!({ "kind": "infomaniak", "fields": { "token": "planted-token" } });
    let (status, answer) = world.ask("PUT", path, body).await;
    assert_eq!((status, answer), (200, json!({ "zone": "example.org", "kind": "infomaniak" })));
    let (_, list) = world.get("/v1/dns-providers").await;
    assert_eq!(list, json!({ "providers": [{ "zone": "example.org", "kind": "infomaniak" }] }));
    let events = world.get("/v1/events").await.1.to_string();
    assert!(!events.contains("planted-token"));
    assert_eq!(world.ask("DELETE", path, Value::Null).await.0, 204);
    assert_eq!(world.ask("DELETE", path, Value::Null).await.1["code"], "provider_not_found");
}
