//! The bodies in `fixture/`, each with the headers its sender would send. A file is called `SENDER.EVENT.WHAT.json`.

use std::path::PathBuf;

use havre_webhook::headers::Headers;
use havre_webhook::provider::Provider;

/// Of all that sign or send it as it is.
pub(crate) const SECRET: &[u8] = b"correct horse battery staple";

/// Of GitLab's signing token: the bytes 0 to 31.
pub(crate) const SIGNING_TOKEN: &[u8] = b"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How many there are, so that none is lost unnoticed.
pub(crate) const COUNT: usize = 77;

pub(crate) const DELIVERY: &str = "0b6f1d3e-8c2a-4f57-9b1d-6a7e5c4d3b21";
const TIME: &str = "1790000000";

/// One delivery.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) provider: Provider,
    pub(crate) secret: &'static [u8],
    pub(crate) lines: Vec<(&'static str, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Fixture {
    /// Calls with the headers as the crate wants them.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&Headers<'_>) -> T) -> T {
        let lines: Vec<(&str, &[u8])> =
            self.lines.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        act(&Headers::new(&lines))
    }

    /// The header with the signature or the secret.
    pub(crate) fn proof(&self) -> &'static str {
        match self.provider {
            Provider::GitLab => "webhook-signature",
            provider => {
                let mut names = provider.signature_headers().iter().copied();
                names.find(|name| self.lines.iter().any(|(line, _)| line == name)).expect("is signed")
            }
        }
    }

    /// Without this header.
    pub(crate) fn without(&self, header: &str) -> Self {
        let mut fixture = self.clone();
        fixture.lines.retain(|(name, _)| *name != header);
        fixture
    }

    /// With one more line.
    pub(crate) fn and(&self, header: &'static str, value: &[u8]) -> Self {
        let mut fixture = self.clone();
        fixture.lines.push((header, value.to_vec()));
        fixture
    }

    /// The value of a header.
    pub(crate) fn value(&self, header: &str) -> Vec<u8> {
        let found = self.lines.iter().find(|(name, _)| *name == header);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixture")
}

/// All of them, by name.
pub(crate) fn all() -> Vec<Fixture> {
    let signatures = std::fs::read_to_string(folder().join("signatures.txt")).expect("there are signatures");
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("there is a folder")
        .map(|entry| entry.expect("can be read").file_name().into_string().expect("is ASCII"))
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    names.into_iter().map(|name| load(name, &signatures)).collect()
}

/// The one of this name.
pub(crate) fn one(name: &str) -> Fixture {
    all().into_iter().find(|fixture| fixture.name == name).expect("there is such a fixture")
}

fn load(name: String, signatures: &str) -> Fixture {
    let body = std::fs::read(folder().join(&name)).expect("can be read");
    let mut parts = name.split('.');
    let sender = parts.next().expect("has a sender").to_owned();
    let event = parts.next().expect("has an event").to_owned();
    let provider: Provider = sender.parse().expect("is a sender");
    let signature = signatures.lines().find_map(|line| line.strip_prefix(name.as_str())?.strip_prefix(' '));
    let signature = signature.unwrap_or_default().as_bytes().to_vec();
    let delivery = DELIVERY.as_bytes().to_vec();
    let event = event.into_bytes();
    let mut secret = SECRET;
    let mut lines: Vec<(&'static str, Vec<u8>)> = match sender.as_str() {
        "github" => vec![
            ("X-GitHub-Event", event),
            ("X-GitHub-Delivery", delivery),
            // The old one is sent as well, and nobody looks at it.
            ("X-Hub-Signature", b"sha1=0000000000000000000000000000000000000000".to_vec()),
            ("X-Hub-Signature-256", signature),
        ],
        "gitlab" => {
            secret = SIGNING_TOKEN;
            vec![
                ("X-Gitlab-Event", gitlab_event(&event)),
                ("X-Gitlab-Event-UUID", b"another".to_vec()),
                ("Idempotency-Key", delivery.clone()),
                ("webhook-id", delivery),
                ("webhook-timestamp", TIME.as_bytes().to_vec()),
                ("webhook-signature", signature),
            ]
        }
        "gitea" => {
            vec![("X-Gitea-Event", event), ("X-Gitea-Delivery", delivery), ("X-Gitea-Signature", signature)]
        }
        "forgejo" => vec![
            ("X-Forgejo-Event", event.clone()),
            ("X-Forgejo-Delivery", delivery.clone()),
            ("X-Forgejo-Signature", signature.clone()),
            ("X-Gitea-Event", event),
            ("X-Gitea-Delivery", delivery),
            ("X-Gitea-Signature", signature),
        ],
        "bitbucket" => vec![
            ("X-Event-Key", String::from_utf8_lossy(&event).replacen('-', ":", 1).into_bytes()),
            ("X-Hook-UUID", b"the webhook".to_vec()),
            ("X-Request-UUID", delivery),
            ("X-Hub-Signature", signature),
        ],
        "generic" => vec![("X-Havre-Delivery", delivery), ("X-Havre-Signature", signature)],
        _ => vec![("Authorization", [b"Bearer ", SECRET].concat())],
    };
    lines.push(("Content-Type", b"application/json".to_vec()));
    Fixture { name, provider, secret, lines, body }
}

/// `merge_request` is `Merge Request Hook`.
fn gitlab_event(event: &[u8]) -> Vec<u8> {
    let words = String::from_utf8_lossy(event);
    let words = words.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    let words: Vec<String> = words.chain([String::from("Hook")]).collect();
    words.join(" ").into_bytes()
}
