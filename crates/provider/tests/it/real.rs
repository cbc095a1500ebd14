//! What holds for all kinds: which addresses may be called, whom we trust, and that everything has an end.

use std::time::Duration;

use havre_decide::secret::provider::reference::REFERENCES_MAX;
use havre_provider::{ProviderSettings, Providers as _, RealProviders};
use serde_json::{Value, json};

use crate::server::{Seen, Server};
use crate::{asks, away, fetch, places, provider, refused};

fn good(_seen: &Seen) -> (u16, Value) {
    (200, json!({ "data": { "password": "planted" } }))
}

fn silent(_seen: &Seen) -> (u16, Value) {
    (0, Value::Null)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_and_nobody_else() {
    let (server, authority) = Server::start_tls(good).await;
    let settings = json!({ "kind": "vault", "url": server.tls_url(), "ca": authority });
    let found = fetch(&provider(settings, "hvs.x"), &["kv/app#password"]).await.unwrap();
    assert_eq!(found["kv/app#password"], "planted (without a version)");

    let (_, other) = Server::start_tls(good).await;
    server.take();
    for settings in [
        json!({ "kind": "vault", "url": server.tls_url() }),
        json!({ "kind": "vault", "url": server.tls_url(), "ca": other }),
    ] {
        // The machine may have no authorities at all; both are no answer.
        assert!(fetch(&provider(settings, "hvs.x"), &["kv/app#password"]).await.is_err());
    }
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let settings = json!({ "kind": "vault", "url": server.tls_url(), "ca": broken });
    let text = refused(fetch(&provider(settings, "hvs.x"), &["kv/app#password"]).await);
    assert!(text.contains("the certificates of its authority cannot be read"), "{text}");
    assert_eq!(server.lines(), Vec::<String>::new(), "no token was sent to who is not trusted");
}

#[tokio::test]
async fn addresses_inside_networks_need_the_administrator() {
    let server = Server::start(good).await;
    let strict = RealProviders::new(ProviderSettings { files: None, allow_private: false });
    for url in [server.url(), server.url().replace("http://", "https://")] {
        let main = provider(json!({ "kind": "vault", "url": url }), "hvs.x");
        let text = refused(strict.fetch(&main, &places(&["kv/app#password"])).await);
        assert!(text.contains("`provider_private` in havred.toml allows"), "{text}");
    }
    assert_eq!(server.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let server = Server::start(silent).await;
    let main = provider(json!({ "kind": "vault", "url": server.url() }), "hvs.x");
    let quick = asks().with_limit(Duration::from_millis(100));
    let text = away(quick.fetch(&main, &places(&["kv/app#password"])).await);
    assert!(text.contains("not everything came within 100ms"), "{text}");
}

#[tokio::test]
async fn limits_and_forms_hold_before_anybody_is_asked() {
    let server = Server::start(good).await;
    let main = provider(json!({ "kind": "vault", "url": server.url() }), "hvs.x");
    let many: Vec<String> = (0..=REFERENCES_MAX).map(|number| format!("kv/app#f{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(refused(fetch(&main, &many).await).contains("64 are fetched at most"));
    assert!(refused(fetch(&main, &["op://a/b/c"]).await).contains("write it as path#field"));
    let mut bare = main.clone();
    bare.credential = None;
    assert!(refused(fetch(&bare, &["kv/app#password"]).await).contains("it has no credential"));
    assert_eq!(server.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn files_are_read_where_the_administrator_allows_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mut files = provider(json!({ "kind": "file" }), "");
    files.credential = None;
    assert!(refused(fetch(&files, &["password"]).await).contains("sets `provider_files` in havred.toml"));

    std::fs::create_dir(folder.path().join("shop")).unwrap();
    let path = folder.path().join("shop/password");
    std::fs::write(&path, "planted-in-a-file\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let settings = ProviderSettings { files: Some(folder.path().to_owned()), allow_private: false };
    let real = RealProviders::new(settings);
    let found = real.fetch(&files, &places(&["password"])).await.unwrap();
    let value = found.values().next().unwrap();
    assert_eq!(value.value.expose_text(), Some("planted-in-a-file"));
    assert!(real.look(&files).await.unwrap().ends_with("shop is there"));
    files.project = "other".parse().unwrap();
    assert!(refused(real.fetch(&files, &places(&["password"])).await).contains("is not there"));
}
