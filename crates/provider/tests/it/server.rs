//! A server of HTTP that answers each request by a function, and keeps what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use havre_core::time::Timestamp;
use havre_x509::issuer::PretendIssuer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `GET /v1/x`.
    pub(crate) line: String,
    /// Header lines, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let (line, headers) = head.split_once("\r\n").unwrap();
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let line = line.strip_suffix(" HTTP/1.1").unwrap().to_owned();
        Self { line, headers: headers.lines().map(pair).collect(), body: body.to_owned() }
    }

    /// The header line of this name, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Status and body for a request.
pub(crate) type Answers = fn(&Seen) -> (u16, Value);

/// One server.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&server.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, answers, Arc::clone(&seen)));
            }
        });
        server
    }

    /// The same with TLS, for `localhost`; also the authority that vouches for it.
    pub(crate) async fn start_tls(answers: Answers) -> (Self, String) {
        let issuer = PretendIssuer::new("a provider of a test").unwrap();
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let (from, until) =
            (Timestamp::from_millis(now - 3_600_000), Timestamp::from_millis(now + 86_400_000));
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&server.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        answer(stream, answers, seen).await;
                    }
                });
            }
        });
        (server, issuer.root().to_owned())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Every request since the last time this was asked.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Only what was asked for.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|seen| seen.line).collect()
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: Answers,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !is_whole(&text) {
        match stream.read(&mut buffer).await {
            Ok(length) if length > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..length])),
            _ => return,
        }
    }
    let request = Seen::parse(&text);
    let (status, body) = answers(&request);
    seen.lock().unwrap().push(request);
    // Stands for a server that never answers.
    if status == 0 {
        std::future::pending::<()>().await;
    }
    let body = match body {
        Value::Null => String::new(),
        // As it is: for what is no JSON.
        Value::String(text) => text,
        body => body.to_string(),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
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
