//! The calls themselves, against small servers on this machine: what is sent, where it may go, and that nothing is there that is not what the
//! pointer says.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use havre_core::secret::Secret;
use havre_core::source::RemoteUrl;
use havre_decide::source::lfs::answer::parse;
use havre_decide::source::lfs::{Download, LfsError, Pointer};
use havre_reconcile::lfs::{LfsClient, LfsServer};
use serde_json::json;
use tokio_rustls::rustls::RootCertStore;

use crate::lfs_server::{FakeLfs, Fault, pointer_of};
use crate::purge_http::{serve, serve_tls};

const CONTENT: &[u8] = b"hello, this is large";
/// `x-access-token:planted-token`
const TOKEN_LINE: &str = "authorization: Basic eC1hY2Nlc3MtdG9rZW46cGxhbnRlZC10b2tlbg==";

fn at(remote: &str) -> LfsServer {
    LfsServer { remote: remote.parse().unwrap(), token: Some(Secret::from("planted-token")) }
}

fn remote(lfs: &FakeLfs) -> LfsServer {
    at(&format!("http://{}/acme/shop", lfs.address))
}

/// A place for a content that is removed with its folder.
struct Target(tempfile::TempDir);

impl Target {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("content")
    }
}

/// An offer of a content at this address.
fn offer(remote: &RemoteUrl, pointer: &Pointer, href: &str) -> Download {
    let object = json!({ "oid": pointer.oid().hex(), "actions": { "download": { "href": href } } });
    let body = json!({ "objects": [object] }).to_string();
    parse(remote, std::slice::from_ref(pointer), body.as_bytes()).unwrap().remove(0)
}

/// Asks for the content and downloads it.
async fn fetch(
    client: &LfsClient,
    server: &LfsServer,
    pointer: &Pointer,
    target: &Target,
) -> Result<Vec<u8>, LfsError> {
    let offers = client.ask(server, std::slice::from_ref(pointer)).await?;
    client.download(server, pointer, &offers[0], &target.path()).await?;
    Ok(std::fs::read(target.path()).unwrap())
}

/// Why the content does not come; nothing of it is there under its name.
async fn fails(client: &LfsClient, server: &LfsServer, pointer: &Pointer) -> LfsError {
    let target = Target::new();
    let error = fetch(client, server, pointer, &target).await.expect_err("must fail");
    assert!(!target.path().exists(), "{error}");
    assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
    error
}

#[tokio::test]
async fn a_content_comes_as_it_is() {
    let lfs = FakeLfs::start().await;
    let client = LfsClient::new(true);
    for content in [CONTENT.to_vec(), vec![b'x'; 300_000], vec![0, 255, 10, 13], Vec::new()] {
        let pointer = lfs.keep(&content);
        let target = Target::new();
        assert_eq!(fetch(&client, &remote(&lfs), &pointer, &target).await.unwrap(), content);
        let mode = std::fs::metadata(target.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(target.0.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn who_asks_is_said_to_each_in_its_own_way() {
    let lfs = FakeLfs::start().await;
    let pointer = lfs.keep(CONTENT);
    let server = remote(&lfs);
    fetch(&LfsClient::new(true), &server, &pointer, &Target::new()).await.unwrap();
    let requests = lfs.take();
    let [batch, download] = &requests[..] else { panic!("{requests:?}") };
    let (head, body) = batch.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head
        .lines()
        .filter(|line| !line.starts_with("user-agent: havre/") && !line.starts_with("content-length: "))
        .collect();
    lines[1..].sort_unstable();
    let host = format!("host: {}", lfs.address);
    let expected = [
        "POST /acme/shop.git/info/lfs/objects/batch HTTP/1.1",
        "accept: application/vnd.git-lfs+json",
        TOKEN_LINE,
        "connection: close",
        "content-type: application/vnd.git-lfs+json",
        host.as_str(),
    ];
    assert_eq!(lines, expected);
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["objects"], json!([{ "oid": pointer.oid().hex(), "size": CONTENT.len() }]));
    assert!(
        download.starts_with(&format!("GET /store/{}?signature=planted HTTP/1.1\r\n", pointer.oid().hex()))
    );
    assert!(
        download.contains("\r\nauthorization: Bearer planted-bearer\r\n") && !download.contains(TOKEN_LINE)
    );

    // Without a word of the server the token goes to its own address, and to no other.
    for (address, has_token) in
        [(lfs.address.to_string(), true), (format!("localhost:{}", lfs.address.port()), false)]
    {
        let offer =
            offer(&server.remote, &pointer, &format!("http://{address}/store/{}", pointer.oid().hex()));
        let target = Target::new();
        LfsClient::new(true).download(&server, &pointer, &offer, &target.path()).await.unwrap();
        assert_eq!(lfs.take()[0].contains(TOKEN_LINE), has_token, "{address}");
    }
    let nobody = LfsServer { token: None, ..server };
    fetch(&LfsClient::new(true), &nobody, &pointer, &Target::new()).await.unwrap();
    assert!(!lfs.take()[0].contains("authorization"));
}

#[tokio::test]
async fn what_is_not_what_the_pointer_says_is_never_there() {
    let lfs = FakeLfs::start().await;
    let pointer = lfs.keep(CONTENT);
    let client = LfsClient::new(true);
    let answer = |length: &str, body: &str| Fault::Download(format!("HTTP/1.1 200 OK\r\n{length}\r\n{body}"));
    let more = format!("{}!", String::from_utf8_lossy(CONTENT));
    for (fault, is_away, words) in [
        (Fault::Flipped, false, "and the pointer names sha256:"),
        (answer("content-length: 20\r\n", "hello"), true, "it broke off"),
        (answer("connection: close\r\n", "hello"), true, "it sent only 5 of 20 bytes"),
        (answer("content-length: 5\r\n", "hello"), true, "it sent only 5 of 20 bytes"),
        (answer("content-length: 21\r\n", &more), false, "more than the 20 bytes"),
        (answer("connection: close\r\n", &more), false, "more than the 20 bytes"),
        (answer("content-length: 0\r\n", ""), true, "it sent only 0 of 20 bytes"),
        (
            Fault::Download("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()),
            false,
            "push it again",
        ),
        (
            Fault::Download("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned()),
            false,
            "(status 403)",
        ),
        (
            Fault::Download("HTTP/1.1 206 Partial Content\r\ncontent-length: 0\r\n\r\n".to_owned()),
            false,
            "(status 206)",
        ),
        (
            Fault::Download("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned()),
            true,
            "cannot answer now",
        ),
        (Fault::Download("garbage\r\n\r\n".to_owned()), true, "127.0.0.1"),
    ] {
        lfs.set(fault.clone());
        let error = fails(&client, &remote(&lfs), &pointer).await;
        assert_eq!(matches!(error, LfsError::Away(_)), is_away, "{fault:?}: {error:?}");
        assert!(error.to_string().contains(words), "{fault:?}: {error}");
    }
    // A silence has an end.
    lfs.set(Fault::Hang("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhello".to_owned()));
    let error = fails(&client.with_limit(Duration::from_secs(1)), &remote(&lfs), &pointer).await;
    assert!(matches!(&error, LfsError::Away(text) if text.contains("nothing came for 1s")), "{error:?}");
}

#[tokio::test]
async fn a_content_that_is_not_offered_says_why() {
    let lfs = FakeLfs::start().await;
    let client = LfsClient::new(true);
    let (kept, unknown) = (lfs.keep(CONTENT), pointer_of(b"never pushed"));
    let error =
        client.ask(&remote(&lfs), &[kept.clone(), unknown.clone()]).await.expect_err("one is missing");
    assert!(matches!(&error, LfsError::Object { oid, .. } if oid == unknown.oid()), "{error:?}");
    assert!(error.to_string().contains("does not have it (Object does not exist)"), "{error}");
    let answer = |status: &str, body: &str| {
        Fault::Batch(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    };
    let large = " ".repeat(3 * 1024 * 1024);
    for (fault, words) in [
        (
            answer("401 Unauthorized", "{\"message\":\"Credentials needed\"}"),
            "(status 401: Credentials needed)",
        ),
        (answer("403 Forbidden", "no"), "--token-stdin` (status 403)"),
        (answer("404 Not Found", ""), "has no Git LFS for this repository"),
        (answer("507 Full", ""), "its storage is full"),
        (answer("302 Found\r\nlocation: http://127.0.0.1:1/", ""), "a redirect, which is not followed"),
        (answer("200 OK", "<html>"), "its answer is not one of the batch API"),
        (answer("200 OK", "{\"objects\":[]}"), "the server says nothing about it"),
        (answer("200 OK", &large), "it has more than 2097152 bytes"),
    ] {
        lfs.set(fault);
        let error = fails(&client, &remote(&lfs), &kept).await;
        assert!(!matches!(error, LfsError::Away(_)) && error.to_string().contains(words), "{words}: {error}");
    }
    lfs.set(answer("503 Busy", ""));
    assert!(matches!(fails(&client, &remote(&lfs), &kept).await, LfsError::Away(_)));
}

#[tokio::test]
async fn a_redirect_is_one_more_address_that_is_checked() {
    let (lfs, storage) = (FakeLfs::start().await, FakeLfs::start().await);
    let pointer = lfs.keep(CONTENT);
    storage.keep(CONTENT);
    let client = LfsClient::new(true);
    for to in [format!("http://{}/moved/", storage.address), "/moved/".to_owned()] {
        lfs.set(Fault::Redirect(to));
        assert_eq!(fetch(&client, &remote(&lfs), &pointer, &Target::new()).await.unwrap(), CONTENT);
    }
    let moved: Vec<String> = storage
        .take()
        .into_iter()
        .chain(lfs.take())
        .filter(|request| request.starts_with("GET /moved/"))
        .collect();
    assert_eq!(moved.len(), 2);
    assert!(moved.iter().all(|request| !request.contains("authorization")), "{moved:?}");
    for (to, words) in [
        ("/store/", "more than 3 redirects"),
        ("ftp://127.0.0.1/", "a redirect to something else"),
        ("//127.0.0.1/", "a redirect to something else"),
        ("http://ada:pw@127.0.0.1/", "a redirect to something else"),
    ] {
        lfs.set(Fault::Redirect(to.to_owned()));
        let error = fails(&client, &remote(&lfs), &pointer).await;
        assert!(
            matches!(error, LfsError::Refused(_)) && error.to_string().contains(words),
            "{to}: {error:?}"
        );
    }
}

/// A client that takes this server for a public one, and nothing else.
fn outside(address: std::net::SocketAddr, roots: &RootCertStore) -> LfsClient {
    LfsClient::new(false).with_public(address).with_roots(roots.clone())
}

#[tokio::test]
async fn addresses_inside_are_refused_wherever_they_come_from() {
    let inside = FakeLfs::start().await;
    let pointer = inside.keep(CONTENT);
    let oid = pointer.oid().hex();
    let end =
        "is at 127.0.0.1, which is not a public address (`remote_private` in havred.toml allows others)";
    let private = format!("https://127.0.0.1:{}", inside.address.port());
    // The remote repository itself.
    let error = fails(&LfsClient::new(false), &at(&format!("{private}/acme/shop.git")), &pointer).await;
    assert!(matches!(&error, LfsError::Refused(text) if text.ends_with(end)), "{error:?}");
    let error = fails(&LfsClient::new(false), &remote(&inside), &pointer).await;
    assert!(
        matches!(&error, LfsError::Refused(text) if text.contains("only https:// may be called")),
        "{error:?}"
    );

    // What a public server offers, and where it redirects to.
    for (href, words) in [
        (format!("{private}/store/{oid}"), end),
        (format!("http://{}/store/{oid}", inside.address), "would give it over http://"),
    ] {
        let object = json!({ "oid": oid, "actions": { "download": { "href": href } } });
        let body = json!({ "objects": [object] }).to_string();
        let batch: &'static str =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).leak();
        let (address, requests, roots) = serve_tls(batch).await;
        let server = at(&format!("https://localhost:{}/acme/shop.git", address.port()));
        let error = fails(&outside(address, &roots), &server, &pointer).await;
        assert!(!matches!(error, LfsError::Away(_)) && error.to_string().contains(words), "{error:?}");
        assert_eq!(requests.lock().unwrap().len(), 1, "the server itself was asked");

        let answer: &'static str =
            format!("HTTP/1.1 302 Found\r\nlocation: {href}\r\ncontent-length: 0\r\n\r\n").leak();
        let (address, requests, roots) = serve_tls(answer).await;
        let own = format!("https://localhost:{}", address.port());
        let server = at(&format!("{own}/acme/shop.git"));
        let (offer, target) = (offer(&server.remote, &pointer, &format!("{own}/1")), Target::new());
        let error = outside(address, &roots).download(&server, &pointer, &offer, &target.path()).await;
        let error = error.expect_err("leads inside");
        assert!(matches!(&error, LfsError::Refused(text) if text.contains(words)), "{error:?}");
        assert_eq!(requests.lock().unwrap().len(), 1, "the server itself was asked");
    }
    assert_eq!(inside.take(), Vec::<String>::new(), "nobody has called");
}

#[tokio::test]
async fn over_tls_only_a_server_that_is_trusted_gets_the_token() {
    let (address, requests, roots) = serve_tls("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let server = at(&format!("https://localhost:{}/acme/shop.git", address.port()));
    let pointer = pointer_of(CONTENT);
    let error = fails(&outside(address, &RootCertStore::empty()), &server, &pointer).await;
    assert!(matches!(&error, LfsError::Away(text) if text.contains(": TLS: ")), "{error:?}");
    assert!(requests.lock().unwrap().is_empty());
    let error = fails(&outside(address, &roots), &server, &pointer).await;
    assert!(matches!(error, LfsError::Refused(_)), "{error:?}");
    assert!(requests.lock().unwrap()[0].to_ascii_lowercase().contains(&TOKEN_LINE.to_ascii_lowercase()));
}

#[tokio::test]
async fn what_hangs_is_cut() {
    let (address, _) = serve("").await;
    let client = LfsClient::new(true).with_limit(Duration::from_secs(1));
    let error = fails(&client, &at(&format!("http://{address}/shop.git")), &pointer_of(CONTENT)).await;
    assert!(matches!(&error, LfsError::Away(text) if text.contains("no answer within 1s")), "{error:?}");
}
