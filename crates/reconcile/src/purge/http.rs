//! Calls a CDN over HTTPS: the certificate is checked, addresses inside networks are refused unless the server allows them,
//! redirects are not followed, and everything has an end. Keeps nothing. Tests: `tests/it/purge_http.rs`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use havre_core::outward::OutwardUrl;
use havre_core::secret::Secret;
use havre_core::site::purge::{PurgeSpec, SecretName};
use hyper::header::{HeaderName, HeaderValue};
use tokio::io::AsyncReadExt as _;
use tokio_rustls::rustls::RootCertStore;

use super::{PurgeError, Purger};
use havre_outward::{Caller, Request};

/// Largest secret, in bytes.
const SECRET_MAX: u64 = 4096;

/// Where secrets are, and what may be called.
#[derive(Debug, Clone)]
pub struct PurgeSettings {
    /// A folder for each host that may be called with a secret, in it one file for each secret. The host is part of the place
    /// so that who may deploy cannot have a secret sent to a server of their own.
    pub secrets_dir: PathBuf,
    /// Whether addresses that are not public may be called too, and over plain HTTP.
    pub allow_private: bool,
}

/// Calls over the network.
#[derive(Debug, Clone)]
pub struct HttpPurger {
    secrets_dir: PathBuf,
    caller: Caller,
}

impl HttpPurger {
    /// Calls what `settings` allow, with the usual limit, and trusts whom the machine trusts. Nothing is read of an answer's body:
    /// CDNs answer at once and forget afterwards.
    pub fn new(settings: PurgeSettings) -> Self {
        let PurgeSettings { secrets_dir, allow_private } = settings;
        Self { secrets_dir, caller: Caller::new(allow_private, Some("purge_private"), 0) }
    }

    /// With another limit for the whole call, for tests of what happens at it.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { caller: self.caller.with_limit(limit), ..self }
    }

    /// Trusts these and nobody else, for tests with a server of their own.
    #[must_use]
    pub fn with_roots(self, roots: RootCertStore) -> Self {
        Self { caller: self.caller.with_roots(roots), ..self }
    }

    /// The one line of the secret's file, as the value of a header that is never printed.
    async fn secret(&self, url: &OutwardUrl, name: &SecretName) -> Result<HeaderValue, PurgeError> {
        let path = self.secrets_dir.join(url.host()).join(name.as_str());
        let wrong = |what: &str| PurgeError::new(format!("the secret {} {what}", path.display()));
        let unreadable = |error: std::io::Error| wrong(&format!("cannot be read: {error}"));
        let file = tokio::fs::File::open(&path).await.map_err(unreadable)?;
        let about = file.metadata().await.map_err(unreadable)?;
        if !about.is_file() {
            return Err(wrong("is no file"));
        }
        if about.permissions().mode() & 0o007 != 0 {
            return Err(wrong("can be opened by everybody on the machine; `chmod 640` it"));
        }
        let mut bytes = Vec::new();
        // One more than allowed, to see that it is too long.
        let read = file.take(SECRET_MAX + 1).read_to_end(&mut bytes).await;
        let secret = Secret::new(bytes);
        let length = read.map_err(unreadable)?;
        if u64::try_from(length).is_ok_and(|length| length > SECRET_MAX) {
            return Err(wrong("has more than 4096 bytes"));
        }
        let line = secret.expose().trim_ascii();
        let is_shown = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        if line.is_empty() || !line.iter().all(is_shown) {
            return Err(wrong("is not one line of visible ASCII characters"));
        }
        let mut value = HeaderValue::from_bytes(line).map_err(|_| wrong("is no value of a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[async_trait]
impl Purger for HttpPurger {
    async fn purge(&self, spec: &PurgeSpec, tag: &str) -> Result<u16, PurgeError> {
        let secret = self.secret(&spec.url, &spec.secret).await?;
        let header = HeaderName::from_bytes(spec.header.as_str().as_bytes());
        let header = header.map_err(|error| failed(&spec.url, &error.to_string()))?;
        let request = Request {
            url: &spec.url,
            method: spec.method.as_str(),
            target: spec.url.target_of(tag),
            headers: vec![(header, secret)],
            body: spec.body.filled(tag),
        };
        let answer = self.caller.call(request).await;
        let status = answer.map_err(|error| PurgeError::new(error.to_string()))?.status;
        match status {
            200..=299 => Ok(status),
            300..=399 => {
                Err(failed(&spec.url, &format!("answered {status}, and redirects are not followed")))
            }
            _ => Err(failed(&spec.url, &format!("answered {status}"))),
        }
    }
}

fn failed(url: &OutwardUrl, message: &str) -> PurgeError {
    PurgeError::new(format!("{}: {message}", url.authority()))
}
