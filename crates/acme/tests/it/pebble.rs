//! Pebble with its own servers of names and answers, for one test. Names resolve to this machine; what is served on the ports it
//! looks at is what the test publishes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use havre_acme::Authority;
use havre_acme::authority::{Account, Challenge, ChallengeKind, Issuer, NewAccount};
use havre_acme::client::{AcmeClient, Limits};
use havre_core::name::CertificateName;
use havre_core::time::Timestamp;
use havre_x509::issuer::PretendIssuer;
use havre_x509::material::Material;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::program::{Program, free_port, listens, unpacked};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What is switched on.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// One in how many nonces is refused, in percent.
    pub(crate) refused_nonces: u8,
    /// Seconds it dawdles before it looks at a challenge, at most.
    pub(crate) slow: u8,
    /// Whether a proven name stays proven, in percent of the cases.
    pub(crate) reuse: u8,
    /// Seconds a certificate is valid.
    pub(crate) validity: u32,
    /// Whether it wants external credentials.
    pub(crate) external: bool,
    /// Whether it is the newer one.
    pub(crate) newer: bool,
    /// Whom it asks for names; its own server if none is given.
    pub(crate) names: Option<SocketAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            refused_nonces: 5,
            slow: 0,
            reuse: 0,
            validity: 7_776_000,
            external: false,
            newer: false,
            names: None,
        }
    }
}

pub(crate) struct Pebble {
    pub(crate) client: AcmeClient,
    pub(crate) issuer: Issuer,
    /// What plain HTTP answers, by path.
    pages: Arc<Mutex<HashMap<String, String>>>,
    tls: SocketAddr,
    management: SocketAddr,
    _programs: Vec<Program>,
    _folder: tempfile::TempDir,
}

impl Pebble {
    pub(crate) async fn start(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..5).map(|_| free_port(HERE)).collect();
        let at = |index: usize| SocketAddr::new(HERE, ports[index]);
        let root = certificate(&folder);
        let http = TcpListener::bind((HERE, 0)).await.unwrap();
        let config = json!({ "pebble": {
            "listenAddress": at(0).to_string(), "managementListenAddress": at(1).to_string(),
            "certificate": folder.path().join("chain.pem"), "privateKey": folder.path().join("key.pem"),
            "httpPort": http.local_addr().unwrap().port(), "tlsPort": ports[2], "ocspResponderURL": "",
            "externalAccountBindingRequired": options.external,
            "externalAccountMACKeys": { "kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W" },
            "domainBlocklist": ["blocked.example.test"], "certificateValidityPeriod": options.validity,
            "profiles": { "default": { "description": "the usual", "validityPeriod": options.validity },
                          "short": { "description": "a day", "validityPeriod": 86_400 } },
            "retryAfter": { "authz": 1, "order": 2 },
        } });
        std::fs::write(folder.path().join("pebble.json"), config.to_string()).unwrap();
        let names = Program::start(
            Command::new("pebble-challtestsrv").stdout(Stdio::null()).stderr(Stdio::null()).args([
                "-defaultIPv6",
                "",
                "-defaultIPv4",
                "127.0.0.1",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-dns01",
                &at(3).to_string(),
                "-management",
                &at(4).to_string(),
            ]),
        );
        listens(at(4)).await;
        let program =
            if options.newer { unpacked("pebble-newer/usr/bin/pebble") } else { PathBuf::from("pebble") };
        let mut command = Command::new(program);
        command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir(folder.path());
        command.args(["-config", "pebble.json", "-dnsserver", &options.names.unwrap_or(at(3)).to_string()]);
        command.env("PEBBLE_WFE_NONCEREJECT", options.refused_nonces.to_string());
        command.env("PEBBLE_AUTHZREUSE", options.reuse.to_string());
        match options.slow {
            0 => command.env("PEBBLE_VA_NOSLEEP", "1"),
            slow => command.env("PEBBLE_VA_SLEEPTIME", slow.to_string()),
        };
        let pebble = Program::start(&mut command);
        listens(at(0)).await;
        let pages = Arc::new(Mutex::new(HashMap::new()));
        tokio::spawn(serve(http, Arc::clone(&pages)));
        Self {
            client: AcmeClient::with_limits(Limits { answer: Duration::from_secs(20), ..Limits::default() }),
            issuer: Issuer {
                directory: format!("https://localhost:{}/dir", ports[0]),
                extra_roots: Some(root),
                allow_private: true,
            },
            pages,
            tls: at(2),
            management: at(4),
            _programs: vec![names, pebble],
            _folder: folder,
        }
    }

    /// An account with a key of its own.
    pub(crate) async fn account(&self) -> Account {
        let key = havre_x509::key::make_key().unwrap();
        let wanted = NewAccount {
            key: key.clone(),
            contacts: vec!["ops@example.test".into()],
            terms_agreed: true,
            external: None,
        };
        let url = self.client.ensure_account(&self.issuer, &wanted).await.unwrap();
        Account { issuer: self.issuer.clone(), url, key }
    }

    /// Makes the right answer findable, or a wrong one.
    pub(crate) async fn publish(&self, name: &CertificateName, challenge: &Challenge, is_right: bool) {
        match challenge.kind {
            ChallengeKind::Http01 => {
                let answer =
                    if is_right { challenge.key_authorization.clone() } else { "something else".to_owned() };
                let path = format!("/.well-known/acme-challenge/{}", challenge.token);
                self.pages.lock().unwrap().insert(path, answer);
            }
            ChallengeKind::Dns01 => {
                let value = if is_right { challenge.txt.clone() } else { "something else".to_owned() };
                let host = format!("{}.", name.challenge_record().unwrap());
                self.manage("/set-txt", &json!({ "host": host, "value": value })).await;
            }
            ChallengeKind::TlsAlpn01 => {
                let digest = if is_right { challenge.digest } else { [0; 32] };
                let now = Timestamp::from_millis(now_ms());
                let material =
                    havre_x509::challenge::challenge_certificate(&name.host(), digest, now).unwrap();
                crate::https::serve_alpn(self.tls, &material, b"acme-tls/1").await;
            }
        }
    }

    async fn manage(&self, path: &str, body: &serde_json::Value) {
        let body = body.to_string();
        let mut stream = tokio::net::TcpStream::connect(self.management).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}

pub(crate) fn now_ms() -> i64 {
    let passed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(passed.as_millis()).unwrap()
}

/// Pebble's own certificate, written where it looks for it; answers the root to trust.
fn certificate(folder: &tempfile::TempDir) -> String {
    let root = PretendIssuer::new("Pebble of a test").unwrap();
    let (from, until) =
        (Timestamp::from_millis(now_ms() - 3_600_000), Timestamp::from_millis(now_ms() + 86_400_000));
    let made = root.issue(&["localhost".parse().unwrap()], from, until).unwrap();
    let whole = String::from_utf8(made.to_pem().expose().to_vec()).unwrap();
    let key = whole.find("-----BEGIN PRIVATE KEY").unwrap();
    let Material { chain, .. } = made;
    std::fs::write(folder.path().join("chain.pem"), chain).unwrap();
    std::fs::write(folder.path().join("key.pem"), &whole[key..]).unwrap();
    root.root()
}

/// Plain HTTP for challenges: one request a connection.
async fn serve(listener: TcpListener, pages: Arc<Mutex<HashMap<String, String>>>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let mut head = vec![0; 8192];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let page = pages.lock().unwrap().get(&path).cloned();
            let (status, body) = page.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
            let answer = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}
