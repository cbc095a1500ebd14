//! The call itself, against small servers on this machine; and what holds for the fake of the loop's tests as well.

use std::time::Duration;

use havre_core::pipeline::status::CommitStatus;
use havre_core::secret::Secret;
use havre_core::source::RemoteUrl;
use havre_core::source::forge::Forge;
use havre_forge::call::Call;
use havre_forge::comment::list;
use havre_forge::repository::Repository;
use havre_forge::status::{Note, tell};
use havre_outward::CallError;
use havre_reconcile::forge::{ForgeAnswer, Forges, HttpForges};
use tokio_rustls::rustls::RootCertStore;

use crate::outward::FakeForge;
use crate::purge_http::{serve, serve_tls};

const MADE: &str = "HTTP/1.1 201 Created\r\nX-RateLimit-Remaining: 7\r\ncontent-length: 8\r\n\r\n{\"id\":1}";
const REFUSED: &str =
    "HTTP/1.1 403 Forbidden\r\nretry-after: 60\r\ncontent-length: 15\r\n\r\n{\"message\":\"x\"}";

/// The status of a commit for a forge at this address.
fn status(forge: Forge, url: &str) -> Call {
    let url: RemoteUrl = url.parse().unwrap();
    let repository = Repository::at(forge, &url).unwrap();
    let (commit, reference, environment) =
        ("a".repeat(40).parse().unwrap(), "refs/heads/main".parse().unwrap(), "production".parse().unwrap());
    let note = Note {
        commit: &commit,
        reference: &reference,
        environment: &environment,
        status: CommitStatus::Success,
        line: "i7",
        link: None,
    };
    tell(&repository, &note)
}

fn token() -> Secret {
    Secret::from("5ecret-of-the-forge")
}

async fn fails(forges: &HttpForges, call: &Call) -> CallError {
    let error = forges.call(call, &token()).await.expect_err("must fail");
    assert!(!format!("{error} {error:?}").contains("5ecret"), "{error}");
    error
}

/// What every implementation does when the forge answers so.
async fn brings_the_answer(forges: &dyn Forges, call: &Call, status: u16, header: (&str, &str), body: &str) {
    let answer = forges.call(call, &token()).await.expect("every answer is one");
    assert_eq!((answer.status, answer.body.as_slice()), (status, body.as_bytes()));
    let (name, value) = header;
    assert!(answer.headers.contains(&(name.to_owned(), value.to_owned())), "{:?}", answer.headers);
}

#[tokio::test]
async fn fake_and_real_bring_every_answer() {
    let (made, _) = serve(MADE).await;
    let (refused, _) = serve(REFUSED).await;
    let real = HttpForges::new(true);
    let fake = FakeForge::default();
    for (address, status_wanted, header, body) in [
        (made, 201, ("x-ratelimit-remaining", "7"), "{\"id\":1}"),
        (refused, 403, ("retry-after", "60"), "{\"message\":\"x\"}"),
    ] {
        let call = status(Forge::Gitea, &format!("http://{address}/acme/shop.git"));
        brings_the_answer(&real, &call, status_wanted, header, body).await;
        let headers = vec![(header.0.to_owned(), header.1.to_owned())];
        fake.answer_next(Ok(ForgeAnswer { status: status_wanted, headers, body: body.as_bytes().to_vec() }));
        brings_the_answer(&fake, &call, status_wanted, header, body).await;
    }
}

#[tokio::test]
async fn the_call_is_sent_as_it_is() {
    let (address, requests) = serve(MADE).await;
    let forges = HttpForges::new(true);
    let call = status(Forge::GitLab, &format!("http://{address}/acme/web/shop.git"));
    forges.call(&call, &token()).await.unwrap();
    let request = requests.lock().unwrap().join("\n---\n");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let first = format!("POST /api/v4/projects/acme%2Fweb%2Fshop/statuses/{} HTTP/1.1", "a".repeat(40));
    assert_eq!(lines.next(), Some(first.as_str()));
    let mut lines: Vec<String> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            format!("{}: {value}", name.to_ascii_lowercase())
        })
        .filter(|line| !line.starts_with("user-agent: havre/") && !line.starts_with("content-length: "))
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "accept: application/json".to_owned(),
            "connection: close".to_owned(),
            "content-type: application/json".to_owned(),
            format!("host: {address}"),
            "private-token: 5ecret-of-the-forge".to_owned(),
        ]
    );
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), call.body.unwrap());
}

#[tokio::test]
async fn what_is_read_has_no_body() {
    let (address, requests) = serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await;
    let url: RemoteUrl = format!("http://{address}/git/acme/shop.git").parse().unwrap();
    let repository = Repository::at(Forge::Gitea, &url).unwrap();
    let answer =
        HttpForges::new(true).call(&list(&repository, "12".parse().unwrap(), 1), &token()).await.unwrap();
    assert_eq!(answer.body, b"[]");
    let request = requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(
        request.starts_with("get /git/api/v1/repos/acme/shop/issues/12/comments http/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("authorization: token 5ecret") && !request.contains("content-type"),
        "{request}"
    );
}

#[tokio::test]
async fn over_tls_only_a_server_that_is_trusted_gets_the_token() {
    let (address, requests, roots) = serve_tls(MADE).await;
    let call = status(Forge::Gitea, &format!("https://localhost:{}/acme/shop.git", address.port()));
    let error = fails(&HttpForges::new(true).with_roots(RootCertStore::empty()), &call).await;
    assert!(matches!(&error, CallError::Away(text) if text.contains(": TLS: ")), "{error:?}");
    assert!(requests.lock().unwrap().is_empty());
    let answer = HttpForges::new(true).with_roots(roots).call(&call, &token()).await.unwrap();
    assert_eq!(answer.status, 201);
    assert!(requests.lock().unwrap()[0].contains("5ecret-of-the-forge"));
}

#[tokio::test]
async fn addresses_inside_are_refused_unless_repositories_may_be_there() {
    let (address, requests, roots) = serve_tls(MADE).await;
    let strict = HttpForges::new(false).with_roots(roots);
    for host in ["localhost", "127.0.0.1", "169.254.169.254", "[::1]"] {
        let call = status(Forge::Gitea, &format!("https://{host}:{}/acme/shop.git", address.port()));
        let CallError::Refused(text) = fails(&strict, &call).await else {
            panic!("{host}: only a person helps")
        };
        let end = "which is not a public address (`remote_private` in havred.toml allows others)";
        assert!(text.ends_with(end), "{text}");
    }
    let plain = status(Forge::Gitea, &format!("http://localhost:{}/acme/shop.git", address.port()));
    let CallError::Refused(text) = fails(&strict, &plain).await else { panic!("only a person helps") };
    assert!(text.contains("only https:// may be called (`remote_private`"), "{text}");
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (elsewhere, reached) = serve(MADE).await;
    let text = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
    );
    // The server wants text that lives as long as the program; a test may leak that much.
    let (address, _) = serve(Box::leak(text.into_boxed_str())).await;
    let call = status(Forge::Gitea, &format!("http://{address}/acme/shop.git"));
    let answer = HttpForges::new(true).call(&call, &token()).await.unwrap();
    assert_eq!(answer.status, 307);
    assert!(reached.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_cut_and_a_long_answer_is_read_in_part() {
    let (address, _) = serve("").await;
    let impatient = HttpForges::new(true).with_limit(Duration::from_secs(1));
    let call = status(Forge::Gitea, &format!("http://{address}/acme/shop.git"));
    assert_eq!(fails(&impatient, &call).await, CallError::Away(format!("{address}: no answer within 1s")));

    let length = 5 * 1024 * 1024;
    let text = format!("HTTP/1.1 500 No\r\ncontent-length: {length}\r\n\r\n{}", "a".repeat(length));
    let (address, _) = serve(Box::leak(text.into_boxed_str())).await;
    let call = status(Forge::Gitea, &format!("http://{address}/acme/shop.git"));
    let answer = HttpForges::new(true).call(&call, &token()).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (500, havre_forge::answer::BODY_MAX));
}

#[tokio::test]
async fn a_token_that_is_no_header_is_sent_nowhere() {
    let (address, requests) = serve(MADE).await;
    let call = status(Forge::Gitea, &format!("http://{address}/acme/shop.git"));
    let error =
        HttpForges::new(true).call(&call, &Secret::from("5ecret\r\nX: y")).await.expect_err("must fail");
    assert!(matches!(&error, CallError::Refused(text) if !text.contains("5ecret")), "{error:?}");
    assert!(requests.lock().unwrap().is_empty());
}
