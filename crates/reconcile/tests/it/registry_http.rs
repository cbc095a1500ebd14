//! The question itself, against small servers on this machine: what is sent to whom, and what is made of the answers.

use std::net::SocketAddr;

use havre_core::quantity::Span;
use havre_core::registry::{Credentials, RegistryHost};
use havre_decide::registry::limit::PullLimit;
use havre_reconcile::registry::{HttpPullLimits, PullLimits};
use tokio_rustls::rustls::RootCertStore;

use crate::purge_http::{Requests, serve_tls};

const TOKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"token\":\"5ecret-token\"}";
const LEFT: &str = "HTTP/1.1 200 OK\r\nratelimit-limit: 100;w=21600\r\nratelimit-remaining: 34;w=21600\r\n\
    docker-ratelimit-source: 192.0.2.1\r\ncontent-length: 500\r\n\r\n";

fn origin(address: SocketAddr) -> String {
    format!("https://localhost:{}", address.port())
}

/// Two servers, what each has read, and who asks them.
async fn servers(token: &'static str, left: &'static str) -> (HttpPullLimits, Requests, Requests) {
    let (token_address, token_requests, token_roots) = serve_tls(token).await;
    let (left_address, left_requests, left_roots) = serve_tls(left).await;
    let mut roots = RootCertStore::empty();
    roots.roots.extend(token_roots.roots);
    roots.roots.extend(left_roots.roots);
    let limits = HttpPullLimits::of_test(&origin(token_address), &origin(left_address), roots);
    (limits, token_requests, left_requests)
}

fn ada() -> Credentials {
    Credentials { host: RegistryHost::hub(), user: "ada".parse().unwrap(), password: "pl~nted>".into() }
}

#[tokio::test]
async fn a_token_then_the_head_of_the_manifest() {
    let (limits, tokens, heads) = servers(TOKEN, LEFT).await;
    let expected = PullLimit { remaining: 34, limit: 100, window: Span::seconds(21_600) };
    assert_eq!(limits.ask(None).await, Ok(Some(expected)));
    assert_eq!(limits.ask(Some(&ada())).await, Ok(Some(expected)));
    let tokens = tokens.lock().unwrap().clone();
    let heads = heads.lock().unwrap().clone();
    assert_eq!((tokens.len(), heads.len()), (2, 2));
    assert!(tokens[0].starts_with("GET /token?service="), "{}", tokens[0]);
    assert!(!tokens[0].to_ascii_lowercase().contains("authorization:"), "{}", tokens[0]);
    // The user and the password go to the server of tokens only.
    assert!(tokens[1].contains("authorization: Basic YWRhOnBsfm50ZWQ+\r\n"), "{}", tokens[1]);
    for head in &heads {
        assert!(head.starts_with("HEAD /v2/ratelimitpreview/test/manifests/latest HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("authorization: Bearer 5ecret-token\r\n") && !head.contains("Basic"), "{head}");
    }
}

#[tokio::test]
async fn nothing_left_is_an_answer_and_no_limit_is_none() {
    let none = "HTTP/1.1 429 Too Many Requests\r\nratelimit-limit: 100;w=21600\r\nratelimit-remaining: 0;w=21600\r\n\
        content-length: 0\r\n\r\n";
    let (limits, _, _) = servers(TOKEN, none).await;
    let said = limits.ask(None).await.unwrap().unwrap();
    assert_eq!((said.remaining, said.is_low()), (0, true));
    let (limits, _, _) = servers(TOKEN, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(limits.ask(None).await, Ok(None));
}

#[tokio::test]
async fn what_goes_wrong_names_the_server_and_no_secret() {
    let refused = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
    let nonsense = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let odd = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"token\":\"\\n\"}";
    let moved =
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://evil.example/\r\ncontent-length: 0\r\n\r\n";
    for (token, left, says) in [
        (refused, LEFT, "localhost: answered 401"),
        (nonsense, LEFT, "localhost: answered without a token that could be read"),
        (odd, LEFT, "the token is no value of a header"),
        (moved, LEFT, "localhost: answered 307"),
        (TOKEN, refused, "localhost: answered 401"),
        (TOKEN, moved, "localhost: answered 307"),
    ] {
        let (limits, _, heads) = servers(token, left).await;
        let error = limits.ask(Some(&ada())).await.unwrap_err().to_string();
        assert_eq!(error, says);
        let asked = heads.lock().unwrap().len();
        assert_eq!(asked, usize::from(token == TOKEN), "without a token nobody is asked");
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_gets_nothing() {
    let (address, requests, _) = serve_tls(TOKEN).await;
    let limits = HttpPullLimits::of_test(&origin(address), &origin(address), RootCertStore::empty());
    let error = limits.ask(Some(&ada())).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("localhost:{}: TLS: ", address.port())), "{error}");
    assert!(requests.lock().unwrap().is_empty());
}
