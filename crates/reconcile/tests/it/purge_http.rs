//! The call itself, against small servers on this machine: what is sent, where it may go, and when it is cut.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use havre_core::site::purge::PurgeSpec;
use havre_core::time::Timestamp;
use havre_reconcile::purge::{HttpPurger, PurgeSettings, Purger};
use havre_x509::issuer::PretendIssuer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

const SECRET: &str = "Bearer 5ecret-of-the-cdn";
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What servers have read.
pub(crate) type Requests = Arc<Mutex<Vec<String>>>;

/// Reads one whole request, keeps it, and answers; with nothing it hangs.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str, requests: &Requests) {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !is_whole(&text) {
        match stream.read(&mut buffer).await {
            Ok(length) if length > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..length])),
            _ => return,
        }
    }
    requests.lock().unwrap().push(text);
    if answer.is_empty() {
        std::future::pending::<()>().await;
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Whether head and body are there.
fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    body.len() >= length.unwrap_or(0)
}

/// A server without TLS that answers everything with this.
async fn serve(text: &'static str) -> (SocketAddr, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move { answer(stream, text, &kept).await });
        }
    });
    (address, requests)
}

/// The same with TLS, for `localhost`; also whom to trust.
pub(crate) async fn serve_tls(text: &'static str) -> (SocketAddr, Requests, RootCertStore) {
    let issuer = PretendIssuer::new("CDN of a test").unwrap();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let (from, until) = (Timestamp::from_millis(now - 3_600_000), Timestamp::from_millis(now + 86_400_000));
    let material = issuer.issue(&["localhost".parse().unwrap()], from, until).unwrap();
    let chain = CertificateDer::pem_slice_iter(material.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::try_from(material.key.expose().to_vec()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(issuer.root().as_bytes()).unwrap()).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, text, &kept).await;
                }
            });
        }
    });
    (address, requests, roots)
}

/// A folder with the secret `cdn` for calls to `host`.
fn secrets(host: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    put_secret(&folder.path().join(host).join("cdn"), &format!("{SECRET}\n"), 0o600);
    folder
}

fn put_secret(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn purger(folder: &tempfile::TempDir, allow_private: bool) -> HttpPurger {
    HttpPurger::new(PurgeSettings { secrets_dir: folder.path().to_owned(), allow_private })
}

fn spec(url: &str) -> PurgeSpec {
    serde_json::from_value(serde_json::json!({
        "url": url, "header": "Authorization", "secret": "cdn", "body": "{\"tags\":[\"{tag}\"]}",
    }))
    .unwrap()
}

async fn fails(purger: &HttpPurger, spec: &PurgeSpec) -> String {
    let error = purger.purge(spec, "p-e-web-pages").await.expect_err("must fail").to_string();
    assert!(!error.contains("5ecret"), "{error}");
    error
}

#[tokio::test]
async fn the_call_carries_tag_and_secret() {
    let (address, requests) = serve(FINE).await;
    let folder = secrets("127.0.0.1");
    let spec = spec(&format!("http://{address}/zones/7/purge/{{tag}}?soft=1"));
    assert_eq!(purger(&folder, true).purge(&spec, "p-e-web-pages").await, Ok(200));
    let request = requests.lock().unwrap().join("\n---\n");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /zones/7/purge/p-e-web-pages?soft=1 HTTP/1.1"));
    let mut lines: Vec<String> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            format!("{}: {value}", name.to_ascii_lowercase())
        })
        .filter(|line| !line.starts_with("user-agent: havre/"))
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            format!("authorization: {SECRET}"),
            "connection: close".to_owned(),
            "content-length: 26".to_owned(),
            "content-type: application/json".to_owned(),
            format!("host: {address}"),
        ]
    );
    assert_eq!(body, "{\"tags\":[\"p-e-web-pages\"]}");
}

#[tokio::test]
async fn over_tls_only_a_server_that_is_trusted_gets_the_secret() {
    let (address, requests, roots) = serve_tls(FINE).await;
    let folder = secrets("localhost");
    let spec = spec(&format!("https://localhost:{}/{{tag}}", address.port()));
    let error = fails(&purger(&folder, true).with_roots(RootCertStore::empty()), &spec).await;
    assert!(error.starts_with(&format!("localhost:{}: TLS: ", address.port())), "{error}");
    assert!(requests.lock().unwrap().is_empty());
    let answered = purger(&folder, true).with_roots(roots).purge(&spec, "p-e-web-pages").await;
    assert_eq!(answered, Ok(200));
    assert!(requests.lock().unwrap()[0].contains(SECRET));
}

#[tokio::test]
async fn other_methods_and_no_body() {
    let (address, requests) = serve("HTTP/1.1 204 No Content\r\n\r\n").await;
    let folder = secrets("127.0.0.1");
    let spec: PurgeSpec = serde_json::from_value(serde_json::json!({
        "url": format!("http://{address}/{{tag}}"), "method": "PURGE", "header": "X-Key", "secret": "cdn",
    }))
    .unwrap();
    assert_eq!(purger(&folder, true).purge(&spec, "p-e-web-pages").await, Ok(204));
    let request = requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(request.starts_with("purge /p-e-web-pages http/1.1\r\n"), "{request}");
    assert!(!request.contains("content-type"), "{request}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, reached) = serve(FINE).await;
    let text = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
    );
    // The server wants text that lives as long as the program; a test may leak that much.
    let (address, _) = serve(Box::leak(text.into_boxed_str())).await;
    let folder = secrets("127.0.0.1");
    let error = fails(&purger(&folder, true), &spec(&format!("http://{address}/"))).await;
    assert_eq!(error, format!("{address}: answered 307, and redirects are not followed"));
    assert!(reached.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_no_success_says_its_status() {
    let (address, _) = serve("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let folder = secrets("127.0.0.1");
    let error = fails(&purger(&folder, true), &spec(&format!("http://{address}/"))).await;
    assert_eq!(error, format!("{address}: answered 403"));
}

#[tokio::test]
async fn addresses_inside_are_refused_unless_the_server_allows_them() {
    let (address, requests, roots) = serve_tls(FINE).await;
    let port = address.port();
    let folder = secrets("localhost");
    put_secret(&folder.path().join("127.0.0.1").join("cdn"), SECRET, 0o600);
    put_secret(&folder.path().join("169.254.169.254").join("cdn"), SECRET, 0o600);
    let strict = purger(&folder, false).with_roots(roots);
    // A name is what its addresses are.
    for host in ["localhost", "127.0.0.1", "169.254.169.254"] {
        let error = fails(&strict, &spec(&format!("https://{host}:{port}/"))).await;
        assert!(error.starts_with(&format!("{host}:{port}: it is at ")), "{error}");
        let end = "which is not a public address (`purge_private` in havred.toml allows others)";
        assert!(error.ends_with(end), "{error}");
    }
    let error = fails(&strict, &spec(&format!("http://localhost:{port}/"))).await;
    assert!(error.contains("only https:// may be called"), "{error}");
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_cut() {
    let (address, requests) = serve("").await;
    let folder = secrets("127.0.0.1");
    let impatient = purger(&folder, true).with_limit(Duration::from_secs(1));
    let error = fails(&impatient, &spec(&format!("http://{address}/"))).await;
    assert_eq!(error, format!("{address}: no answer within 1s"));
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_head_without_end_is_cut() {
    let text = format!("HTTP/1.1 200 OK\r\nx-filler: {}\r\n\r\n", "a".repeat(200_000));
    let (address, _) = serve(Box::leak(text.into_boxed_str())).await;
    let folder = secrets("127.0.0.1");
    let error = fails(&purger(&folder, true), &spec(&format!("http://{address}/"))).await;
    assert!(error.starts_with(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_secret_goes_only_to_the_host_it_lies_under() {
    let (address, requests) = serve(FINE).await;
    let folder = secrets("api.example.org");
    let error = fails(&purger(&folder, true), &spec(&format!("http://{address}/"))).await;
    assert!(error.contains("127.0.0.1/cdn cannot be read"), "{error}");
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_secret_must_be_one_line_that_not_everybody_can_read() {
    let (address, requests) = serve(FINE).await;
    let folder = secrets("127.0.0.1");
    let path = folder.path().join("127.0.0.1").join("cdn");
    let (purger, spec) = (purger(&folder, true), spec(&format!("http://{address}/")));
    let long = "a".repeat(5000);
    for (text, mode, reason) in [
        (SECRET, 0o644, "can be opened by everybody on the machine; `chmod 640` it"),
        ("", 0o600, "is not one line of visible ASCII characters"),
        ("5ecret\r\nX: y", 0o600, "is not one line of visible ASCII characters"),
        (long.as_str(), 0o600, "has more than 4096 bytes"),
    ] {
        put_secret(&path, text, mode);
        let error = fails(&purger, &spec).await;
        assert!(error.ends_with(reason), "{error}");
    }
    assert!(requests.lock().unwrap().is_empty());
}
