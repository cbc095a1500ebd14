//! 1Password: vaults and items by name and by id, fields in and outside of sections.

use havre_provider::Providers as _;
use serde_json::{Value, json};

use crate::server::{Seen, Server};
use crate::{asks, fetch, provider, refused};

const TOKEN: &str = "planted.connect.token";
const VAULT: &str = "hfnjvi6aymbsnfc2xeeoheizda";
const ITEM: &str = "wepiqdxdzncjtnvmv5fegud4qy";

/// As a Connect server with one vault.
fn connect(seen: &Seen) -> (u16, Value) {
    if seen.header("authorization") != format!("Bearer {TOKEN}") {
        return (401, json!({ "status": 401, "message": "Invalid token signature" }));
    }
    let items = format!("GET /v1/vaults/{VAULT}/items");
    let line = seen.line.as_str();
    if line == "GET /v1/vaults" {
        return (200, json!([{ "id": VAULT, "name": "Live Data" }]));
    }
    if line == "GET /v1/vaults?filter=name%20eq%20%22Live%20Data%22" {
        return (200, json!([{ "id": VAULT, "name": "Live Data" }]));
    }
    if line == format!("{items}?filter=title%20eq%20%22db%22") {
        return (200, json!([{ "id": ITEM, "title": "db" }]));
    }
    if line == format!("{items}?filter=title%20eq%20%22twice%22") {
        return (200, json!([{ "id": ITEM, "title": "twice" }, { "id": VAULT, "title": "twice" }]));
    }
    if line == format!("{items}?filter=title%20eq%20%22evil%22") {
        return (200, json!([{ "id": "../../../v1/other", "title": "evil" }]));
    }
    if line == format!("{items}/{ITEM}") {
        let item = json!({
            "id": ITEM, "title": "db", "version": 3,
            "sections": [{ "id": "s1", "label": "Admin" }, { "id": "s2", "label": "App" }],
            "fields": [
                { "id": "password", "label": "password", "value": "planted-plain" },
                { "id": "f1", "label": "password", "value": "planted-admin", "section": { "id": "s1" } },
                { "id": "f2", "label": "token", "value": "planted-token-1", "section": { "id": "s1" } },
                { "id": "f3", "label": "token", "value": "planted-token-2", "section": { "id": "s2" } },
                { "id": "f4", "label": "empty" },
            ],
        });
        return (200, item);
    }
    (200, json!([]))
}

#[tokio::test]
async fn vaults_and_items_are_found_once() {
    let server = Server::start(connect).await;
    let main = provider(json!({ "kind": "onepassword", "url": server.url() }), TOKEN);
    let places = [
        "op://Live Data/db/password",
        "op://Live Data/db/Admin/password",
        "op://Live Data/db/s2/f3",
        &format!("op://{VAULT}/{ITEM}/f2"),
    ];
    let found: Vec<String> = fetch(&main, &places).await.unwrap().into_values().collect();
    assert_eq!(
        found,
        [
            "planted-admin (version 3)",
            "planted-plain (version 3)",
            "planted-token-2 (version 3)",
            "planted-token-1 (version 3)"
        ]
    );
    let items = format!("GET /v1/vaults/{VAULT}/items");
    assert_eq!(
        server.lines(),
        [
            "GET /v1/vaults?filter=name%20eq%20%22Live%20Data%22".to_owned(),
            format!("{items}?filter=title%20eq%20%22db%22"),
            format!("{items}/{ITEM}"),
            format!("{items}/{ITEM}"),
        ],
        "the last one was named by its id"
    );
    assert_eq!(asks().look(&main).await.unwrap(), "the token opens the vaults Live Data");
}

#[tokio::test]
async fn what_goes_wrong_is_said_without_a_secret() {
    let server = Server::start(connect).await;
    let main = provider(json!({ "kind": "onepassword", "url": server.url() }), TOKEN);
    for (place, part) in [
        ("op://other/db/password", "there is no `other`"),
        ("op://Live Data/none/password", "there is no `none`"),
        ("op://Live Data/twice/password", "several are named `twice`"),
        ("op://Live Data/evil/password", "the id of `evil` is none"),
        ("op://Live Data/db/user", "no such field"),
        ("op://Live Data/db/token", "several such fields"),
        ("op://Live Data/db/App/password", "no such field"),
        ("op://Live Data/db/empty", "is no text"),
    ] {
        let text = refused(fetch(&main, &[place]).await);
        assert!(text.contains(part) && !text.contains("planted"), "{place}: {text}");
    }
    let stranger = provider(json!({ "kind": "onepassword", "url": server.url() }), "planted-other");
    let text = refused(asks().look(&stranger).await);
    assert!(text.contains("it answered 401 (it says: Invalid token signature)"), "{text}");
}
