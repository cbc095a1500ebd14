//! Issuers that are down, slow, broken or hostile: each gives the right class of error, in bounded time and memory.

use std::time::Duration;

use havre_acme::Authority;
use havre_acme::authority::{Account, Issuer, NewOrder};
use havre_acme::client::{AcmeClient, Limits};
use havre_acme::error::AuthorityError;

use crate::https::{Act, answer, serve};

/// Impatient, so that tests of hanging servers end.
fn client() -> AcmeClient {
    AcmeClient::with_limits(Limits {
        connect: Duration::from_secs(5),
        answer: Duration::from_millis(700),
        body: 100_000,
    })
}

fn issuer(port: u16, root: String) -> Issuer {
    Issuer {
        directory: format!("https://localhost:{port}/dir"),
        extra_roots: Some(root),
        allow_private: true,
    }
}

/// The directory of a server that does this with every request.
async fn directory(act: Act) -> AuthorityError {
    let (port, root) = serve(move |_, _| act.clone()).await;
    client().directory(&issuer(port, root)).await.expect_err("it misbehaves")
}

#[tokio::test]
async fn a_server_that_is_down_is_unreachable() {
    let port = crate::program::free_port([127, 0, 0, 1].into());
    let error = client().directory(&issuer(port, String::new())).await.unwrap_err();
    assert!(
        matches!(&error, AuthorityError::Unreachable { address, .. } if address == &format!("localhost:{port}")),
        "{error}"
    );
    assert!(error.is_passing());
}

#[tokio::test]
async fn a_server_nobody_vouches_for_is_unreachable() {
    let (port, _) = serve(|_, _| answer("200 OK", "", "{}")).await;
    let error = client().directory(&issuer(port, String::new())).await.unwrap_err();
    assert!(
        matches!(&error, AuthorityError::Unreachable { message, .. } if message.contains("TLS")),
        "{error}"
    );
}

#[tokio::test]
async fn trouble_of_its_own_passes() {
    let error = directory(answer("503 Service Unavailable", "retry-after: 120\r\n", "<html>")).await;
    assert!(matches!(error, AuthorityError::Unavailable { .. }), "{error}");
    assert_eq!((error.is_passing(), error.retry_after()), (true, Some(Duration::from_secs(120))));
}

#[tokio::test]
async fn garbage_is_said_to_be_garbage() {
    for body in ["", "hello", "[]", "{\"newOrder\":7}", "{\"newOrder\":\"https://x/\"", "\u{0}\u{1}"] {
        let error = directory(answer("200 OK", "content-type: application/json\r\n", body)).await;
        assert!(matches!(error, AuthorityError::Garbled { .. }), "{body:?}: {error}");
    }
}

#[tokio::test]
async fn what_is_not_even_http_is_unreachable() {
    let error = directory(Act::Say("SSH-2.0-OpenSSH_9.2\r\n".into())).await;
    assert!(matches!(error, AuthorityError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
    for act in [Act::Hang, Act::Stall("HTTP/1.1 200".into()), Act::Stall(half.into())] {
        let error = tokio::time::timeout(Duration::from_secs(20), directory(act.clone()))
            .await
            .expect("in bounded time");
        assert!(matches!(error, AuthorityError::Unreachable { .. }), "{act:?}: {error}");
    }
}

#[tokio::test]
async fn a_huge_answer_is_not_read() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let error = directory(Act::Flood(head.into(), 1 << 26)).await;
    assert!(
        matches!(&error, AuthorityError::Garbled { message, .. } if message.contains("100000")),
        "{error}"
    );
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let error =
        directory(answer("302 Found", "location: http://169.254.169.254/latest/meta-data\r\n", "")).await;
    assert!(
        matches!(&error, AuthorityError::Garbled { message, .. } if message.contains("169.254.169.254")),
        "{error}"
    );
}

#[tokio::test]
async fn only_https_to_public_addresses() {
    let said = |directory: &'static str| async move {
        client().directory(&Issuer::public(directory)).await.unwrap_err()
    };
    for url in [
        "http://acme.example.test/dir",
        "ftp://x/",
        "file:///etc/passwd",
        "https://127.0.0.1/dir",
        "https://[::1]/dir",
        "https://10.0.0.1:8443/",
    ] {
        let error = said(url).await;
        assert!(matches!(error, AuthorityError::NotAllowed { .. }), "{url}: {error}");
        assert!(!error.is_passing());
    }
    // A name that leads inside, as a directory of a hostile issuer could give.
    let (port, root) = serve(|_, _| answer("200 OK", "", "{}")).await;
    let inside = Issuer { allow_private: false, ..issuer(port, root) };
    let error = client().directory(&inside).await.unwrap_err();
    assert!(matches!(error, AuthorityError::NotAllowed { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_that_points_elsewhere_is_held_to_the_same_rules() {
    let (port, root) = serve(|_, _| {
        let inside = "http://169.254.169.254/x";
        let body = format!(r#"{{"newNonce":"{inside}","newAccount":"{inside}","newOrder":"{inside}"}}"#);
        answer("200 OK", "", &body)
    })
    .await;
    let key = havre_x509::key::make_key().unwrap();
    let account = Account { issuer: issuer(port, root), url: "https://localhost/account/1".into(), key };
    let order = NewOrder { names: vec!["one.example.test".parse().unwrap()], replaces: None, profile: None };
    let error = client().new_order(&account, &order).await.unwrap_err();
    assert!(matches!(error, AuthorityError::NotAllowed { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_of_nonsense_is_garbage_and_no_panic() {
    for place in ["http://[", "", "\\u0000", "https://x/ y"] {
        let body = format!(r#"{{"newNonce":"{place}","newAccount":"{place}","newOrder":"{place}"}}"#);
        let (port, root) = serve(move |_, _| answer("200 OK", "", &body)).await;
        let key = havre_x509::key::make_key().unwrap();
        let account = Account { issuer: issuer(port, root), url: "https://localhost/account/1".into(), key };
        let order =
            NewOrder { names: vec!["one.example.test".parse().unwrap()], replaces: None, profile: None };
        let error = client().new_order(&account, &order).await.unwrap_err();
        assert!(matches!(error, AuthorityError::Garbled { .. }), "{place:?}: {error}");
    }
}

#[tokio::test]
async fn an_order_that_was_made_is_never_lost() {
    // The answer is a created order whose body cannot be read: its address is known, so it is kept.
    let (port, root) = {
        let known = std::sync::Arc::new(std::sync::OnceLock::<u16>::new());
        let inner = std::sync::Arc::clone(&known);
        let (port, root) = serve(move |method, _| match method {
            "GET" => {
                let at = format!("https://localhost:{}/x", inner.get().unwrap());
                answer(
                    "200 OK",
                    "",
                    &format!(r#"{{"newNonce":"{at}","newAccount":"{at}","newOrder":"{at}"}}"#),
                )
            }
            "HEAD" => answer("200 OK", "replay-nonce: abc\r\n", ""),
            _ => {
                answer("201 Created", "location: https://issuer.test/order/7\r\nreplay-nonce: def\r\n", "{}")
            }
        })
        .await;
        known.set(port).unwrap();
        (port, root)
    };
    let key = havre_x509::key::make_key().unwrap();
    let account = Account { issuer: issuer(port, root), url: "https://localhost/account/1".into(), key };
    let order = NewOrder { names: vec!["one.example.test".parse().unwrap()], replaces: None, profile: None };
    assert_eq!(client().new_order(&account, &order).await, Ok("https://issuer.test/order/7".to_owned()));
}
