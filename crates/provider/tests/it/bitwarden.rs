//! Bitwarden: the login, the key of the organisation, the value. What is sealed here was made with OpenSSL and the derivation of Bitwarden's own.

use havre_provider::Providers as _;
use serde_json::{Value, json};

use crate::server::{Seen, Server};
use crate::{asks, fetch, provider, refused};

const ID: &str = "ec2c1d46-6a4b-4751-a310-af9601317f2d";
/// Its key is `0123456789abcdef`.
const TOKEN: &str = "0.ec2c1d46-6a4b-4751-a310-af9601317f2d.planted_Secret:MDEyMzQ1Njc4OWFiY2RlZg==";
const SECRET: &str = "be8e0ad8-d545-4017-a55a-b02f014d4158";
const BROKEN: &str = "be8e0ad8-d545-4017-a55a-b02f014d4159";

/// Opened by the key of the token: the key of the organisation, the bytes 0 to 63.
const PAYLOAD: &str = "2.AAECAwQFBgcICQoLDA0ODw==|K4M+ndH3jTekNYYe6HqOmNJ1mSvsaa2SIv/tCPKgk6MoIG1PH9g1T4a25XZEbSvnBb9V7jbVxZrL8gvRdJHBGSy6Rm+jau35sXY11pWCcJLGpxdAZfRqwixrCrZ4Hx3d7GXz24WqwdOZHBmZuM/ZnQ==|heVC7ziKuntrjkWzZm0SqiO1+n3SqsCjRdPmGNXCkYY=";
/// Opened by the key of the organisation: `planted-of-bitwarden`.
const VALUE: &str = "2.AAECAwQFBgcICQoLDA0ODw==|vlG+Z3JIcyczkP9f42lQmy5bdEdcmJ3VQbPx+JbdpIM=|p6+gZqG1LZcm3ERVX1o+Wur+HeNx7khwalmEgyipOqU=";

/// As a server of one's own.
fn bitwarden(seen: &Seen) -> (u16, Value) {
    if seen.line == "POST /identity/connect/token" {
        let wanted = format!(
            "scope=api.secrets&client_id={ID}&client_secret=planted_Secret&grant_type=client_credentials"
        );
        let is_form = seen.header("content-type") == "application/x-www-form-urlencoded";
        return match is_form && seen.body == wanted {
            true => (
                200,
                json!({ "access_token": "planted.bearer", "expires_in": 3600, "encrypted_payload": PAYLOAD }),
            ),
            false => (400, json!({ "error": "invalid_client" })),
        };
    }
    if seen.header("authorization") != "Bearer planted.bearer" {
        return (401, Value::Null);
    }
    let secret =
        |value: &str| json!({ "id": SECRET, "value": value, "revisionDate": "2026-02-03T04:05:06.7Z" });
    match seen.line.strip_prefix("GET /api/secrets/") {
        Some(SECRET) => (200, secret(VALUE)),
        Some(BROKEN) => (200, secret(&VALUE.replace("2.AAEC", "2.BAEC"))),
        _ => (404, json!({ "message": "Resource not found." })),
    }
}

#[tokio::test]
async fn a_value_is_opened_here() {
    let server = Server::start(bitwarden).await;
    let main = provider(json!({ "kind": "bitwarden", "url": server.url() }), TOKEN);
    let found = fetch(&main, &[SECRET]).await.unwrap();
    assert_eq!(found[SECRET], "planted-of-bitwarden (version 2026-02-03T04:05:06.7Z)");
    assert_eq!(
        server.lines(),
        ["POST /identity/connect/token".to_owned(), format!("GET /api/secrets/{SECRET}")]
    );
    assert!(asks().look(&main).await.unwrap().contains("logged in"));
}

#[tokio::test]
async fn what_goes_wrong_is_said_without_a_secret() {
    let server = Server::start(bitwarden).await;
    let settings = json!({ "kind": "bitwarden", "url": server.url() });
    let main = provider(settings.clone(), TOKEN);
    for (place, part) in [
        (BROKEN, "cannot be opened with this access token"),
        ("be8e0ad8-d545-4017-a55a-000000000000", "it answered 404 (it says: Resource not found.)"),
        ("db/password", "write it as the id of a secret"),
    ] {
        let text = refused(fetch(&main, &[place]).await);
        assert!(text.contains(part) && !text.contains("planted"), "{place}: {text}");
    }
    for (token, part) in [
        (TOKEN.replace("planted_Secret", "planted_Other"), "it says: invalid_client"),
        // The same account with the key of another token.
        (TOKEN.replace("MDEy", "MDEz"), "gave no key that this access token opens"),
        ("planted".to_owned(), "no access token of a machine account"),
    ] {
        let text = refused(fetch(&provider(settings.clone(), &token), &[SECRET]).await);
        assert!(text.contains(part) && !text.contains("planted"), "{text}");
    }
}
