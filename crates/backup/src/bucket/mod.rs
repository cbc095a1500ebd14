//! A bucket of an object storage that speaks S3: where it is, who may use it, and how long anything may take. Requests are signed by
//! `rusty-s3` in the address, so a signed address is a secret for as long as it is good, and is neither logged nor part of an error. What
//! a repository needs of a bucket is `client`; one request is `wire`; what an answer means is `answer`; a page of a list is `page`.
//! Tests at the ends of the files, and in `tests/it`: `bucket_failures.rs`, `bucket_sabotage.rs`, `bucket_tls.rs`, `s3_server.rs`.

mod answer;
pub(crate) mod client;
mod page;
mod wire;

use std::net::IpAddr;
use std::time::Duration;

use havre_core::secret::Secret;
use rusty_s3::{Credentials, UrlStyle};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// Why there can be no such bucket. Never says a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// The address of the storage.
    #[error(
        "`{text}` is not the address of a storage: https://host[:port], or http:// to this machine itself"
    )]
    Endpoint {
        /// It, or what it becomes with the bucket in front.
        text: String,
    },
    /// The name of the bucket, its region or the prefix.
    #[error("the {what} may not be `{text}`")]
    Name {
        /// Which of them.
        what: &'static str,
        /// It.
        text: String,
    },
    /// The keys.
    #[error("the keys of the bucket are empty, or not a text")]
    Keys,
    /// The certificate authority.
    #[error("that is no certificate authority in PEM: {reason}")]
    Authority {
        /// What is wrong with it.
        reason: String,
    },
}

/// Where a bucket is: the fields of the location of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketLocation {
    /// Address of the storage, such as `https://s3.example.org`.
    pub endpoint: String,
    /// The bucket. It is never made.
    pub bucket: String,
    /// Where the storage says it is; part of every signature.
    pub region: String,
    /// What the names of all objects begin with, such as `servers/one`.
    pub prefix: Option<String>,
    /// Whether the bucket stands in the path and not in the host.
    pub path_style: bool,
}

/// Who uses a bucket.
#[derive(Debug, Clone)]
pub struct BucketKeys {
    /// Which key it is.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: Secret,
    /// What keys that were lent for some hours come with.
    pub session_token: Option<Secret>,
}

/// How long anything may take, and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest wait for a connection, from looking up the name to the end of the handshake.
    pub connect: Duration,
    /// Longest time without a byte in either direction, also while the storage thinks. Bytes count when the system takes them, and a slow
    /// line needs a minute for what it has taken.
    pub idle: Duration,
    /// Longest request of all.
    pub whole: Duration,
    /// Tries of one request; at least one is made. Each can be repeated: all of them say what should be, not what should change.
    pub tries: u32,
    /// Pause before the second try. It doubles each time, up to [`PAUSE_MAX`].
    pub pause: Duration,
}

/// Longest pause between two tries, also where the storage asks for a longer one.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            whole: Duration::from_secs(3600),
            tries: 6,
            pause: Duration::from_millis(500),
        }
    }
}

/// A bucket that can be asked.
#[derive(Clone)]
pub struct Bucket {
    signer: rusty_s3::Bucket,
    credentials: Credentials,
    /// With a `/` at its end, or empty.
    prefix: String,
    shown: String,
    is_plain: bool,
    authority: Option<RootCertStore>,
    may_reach: fn(IpAddr) -> bool,
    limits: Limits,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({})", self.shown)
    }
}

fn anywhere(_: IpAddr) -> bool {
    true
}

impl Bucket {
    /// That bucket, for whoever has these keys. Opens no connection.
    ///
    /// # Errors
    /// Something in it cannot be used.
    pub fn new(location: &BucketLocation, keys: &BucketKeys) -> Result<Self, BucketError> {
        let endpoint = location.endpoint.strip_suffix('/').unwrap_or(&location.endpoint);
        let is_plain = check_endpoint(endpoint)?;
        check_name("name of the bucket", &location.bucket)?;
        check_name("region", &location.region)?;
        for part in location.prefix.iter().flat_map(|prefix| prefix.split('/')) {
            check_name("prefix", part)?;
        }
        let wrong = || BucketError::Endpoint { text: printable(endpoint) };
        let style = if location.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let url = endpoint.parse().map_err(|_| wrong())?;
        let signer = rusty_s3::Bucket::new(url, style, location.bucket.clone(), location.region.clone());
        let prefix = location.prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let shown = format!("s3:{endpoint}/{}/{prefix}", location.bucket).trim_end_matches('/').to_owned();
        Ok(Self {
            signer: signer.map_err(|_| wrong())?,
            credentials: credentials(keys)?,
            prefix,
            shown,
            is_plain,
            authority: None,
            may_reach: anywhere,
            limits: Limits::default(),
        })
    }

    /// Trusts these certificate authorities, in PEM, in place of those of this machine.
    ///
    /// # Errors
    /// There is none in it, or one that cannot be read.
    pub fn trusting(self, pem: &str) -> Result<Self, BucketError> {
        let wrong = |reason: String| BucketError::Authority { reason };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("there is no certificate in it".to_owned()));
        }
        Ok(Self { authority: Some(roots), ..self })
    }

    /// Connects only to addresses this allows, for installations whose owners may not look into the network around them.
    #[must_use]
    pub fn reaching(self, may_reach: fn(IpAddr) -> bool) -> Self {
        Self { may_reach, ..self }
    }

    /// With other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}

fn credentials(keys: &BucketKeys) -> Result<Credentials, BucketError> {
    let text = |secret: &Secret| {
        let text = secret.expose_text().filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or(BucketError::Keys)
    };
    if keys.access_key_id.is_empty() {
        return Err(BucketError::Keys);
    }
    let (id, key) = (keys.access_key_id.clone(), text(&keys.secret_access_key)?);
    Ok(match &keys.session_token {
        Some(token) => Credentials::new_with_token(id, key, text(token)?),
        None => Credentials::new(id, key),
    })
}

/// Whether it is plain, which only this machine itself may be: nobody else is on the way.
fn check_endpoint(endpoint: &str) -> Result<bool, BucketError> {
    let wrong = || BucketError::Endpoint { text: printable(endpoint) };
    let (scheme, authority) = endpoint.split_once("://").ok_or_else(wrong)?;
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if authority.is_empty() || authority.len() > 255 || !authority.bytes().all(is_sound) {
        return Err(wrong());
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    match scheme {
        "https" => Ok(false),
        "http" if matches!(host, "localhost" | "127.0.0.1" | "[::1]") => Ok(true),
        _ => Err(wrong()),
    }
}

/// What can stand in a path or a host without meaning anything else there.
fn check_name(what: &'static str, text: &str) -> Result<(), BucketError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=255).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_plain) {
        return Ok(());
    }
    Err(BucketError::Name { what, text: printable(text) })
}

fn printable(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(endpoint: &str) -> BucketLocation {
        BucketLocation {
            endpoint: endpoint.to_owned(),
            bucket: "backups".to_owned(),
            region: "eu-west-3".to_owned(),
            prefix: Some("servers/one".to_owned()),
            path_style: true,
        }
    }

    fn keys() -> BucketKeys {
        BucketKeys {
            access_key_id: "AKIAPLANTED".to_owned(),
            secret_access_key: Secret::from("planted-secret"),
            session_token: Some(Secret::from("planted-token")),
        }
    }

    #[test]
    fn both_styles_have_their_address() {
        let one = Bucket::new(&location("https://s3.example.org:9000/"), &keys()).expect("is one");
        assert_eq!(one.signer.base_url().as_str(), "https://s3.example.org:9000/backups/");
        assert_eq!(format!("{one:?}"), "Bucket(s3:https://s3.example.org:9000/backups/servers/one)");
        let hosted = BucketLocation { path_style: false, prefix: None, ..location("https://s3.example.org") };
        let one = Bucket::new(&hosted, &keys()).expect("is one");
        assert_eq!(one.signer.base_url().as_str(), "https://backups.s3.example.org/");
        assert_eq!(one.shown, "s3:https://s3.example.org/backups");
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_open() {
        for right in ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:9000"] {
            assert!(Bucket::new(&location(right), &keys()).expect(right).is_plain);
        }
        for wrong in [
            "http://s3.example.org",
            "http://10.0.0.1",
            "http://127.0.0.1.example.org",
            "ftp://localhost",
            "s3.example.org",
            "https://",
            "https://ada:planted@s3.example.org",
            "https://s3.example.org/path",
            "https://s3.example.org?x",
        ] {
            let refused = Bucket::new(&location(wrong), &keys());
            assert!(matches!(refused, Err(BucketError::Endpoint { .. })), "{wrong}: {refused:?}");
        }
    }

    #[test]
    fn names_stay_in_their_place() {
        for wrong in ["", "..", "a/b", "a?b", "a b", "é"] {
            let bucket = BucketLocation { bucket: wrong.to_owned(), ..location("https://s3.example.org") };
            assert!(Bucket::new(&bucket, &keys()).is_err(), "{wrong:?}");
            let region = BucketLocation { region: wrong.to_owned(), ..location("https://s3.example.org") };
            assert!(Bucket::new(&region, &keys()).is_err(), "{wrong:?}");
        }
        for wrong in ["", "/a", "a/", "a/../b", "a//b"] {
            let prefix =
                BucketLocation { prefix: Some(wrong.to_owned()), ..location("https://s3.example.org") };
            assert!(Bucket::new(&prefix, &keys()).is_err(), "{wrong:?}");
        }
        let nobody = BucketKeys { secret_access_key: Secret::from(""), ..keys() };
        let refused = Bucket::new(&location("https://s3.example.org"), &nobody);
        assert_eq!(refused.err(), Some(BucketError::Keys));
        let one = Bucket::new(&location("https://s3.example.org"), &keys()).expect("is one");
        assert!(matches!(one.trusting("no certificate"), Err(BucketError::Authority { .. })));
        assert!(!format!("{:?}", keys()).contains("planted-"));
    }
}
