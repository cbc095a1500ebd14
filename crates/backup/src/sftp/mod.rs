//! A folder of another machine, reached over SSH: where it is, who logs in, which key the machine must show, and how long anything may
//! take. `russh` is named in here and nowhere else, and in here only in this file and in `ssh`; the file protocol above it is `packet` and
//! `session`, and what a repository needs of it is `client`. The private key is in memory only. Tests at the ends of the files, and in
//! `tests/it`: `sftp_failures.rs`, `sftp_sabotage.rs`, against the server of OpenSSH.

pub(crate) mod client;
mod packet;
mod session;
mod ssh;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use havre_core::backup::location::{MachineHost, SftpUser};
use havre_core::name::AbsolutePath;
use havre_core::secret::Secret;
use havre_core::ssh_key::Fingerprint;
use russh::keys::{Algorithm, HashAlg, PrivateKey, decode_secret_key};

pub use crate::bucket::Limits;

/// Longest wait for a connection. Servers look names up, and check keys, before they answer.
const CONNECT: Duration = Duration::from_secs(30);

/// Why there can be no such place. Never says anything of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SftpError {
    /// The text is no private key, or one with a passphrase.
    #[error(
        "the private key for SSH cannot be read: give one without a passphrase, as `ssh-keygen -t ed25519` writes it"
    )]
    Unreadable,
    /// It is a key of a kind that is not used.
    #[error("the private key for SSH is of the kind {kind}; take one of `ssh-keygen -t ed25519`")]
    Kind {
        /// Which.
        kind: String,
    },
}

/// Where a folder of another machine is: the fields of the location of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SftpLocation {
    /// The machine.
    pub host: MachineHost,
    /// Its port for SSH.
    pub port: u16,
    /// Who logs in.
    pub user: SftpUser,
    /// The folder.
    pub path: AbsolutePath,
    /// The key the machine must show.
    pub host_key: Fingerprint,
}

/// A folder of another machine that can be asked.
#[derive(Clone)]
pub struct Sftp {
    location: SftpLocation,
    key: Arc<PrivateKey>,
    /// Without a slash at its end.
    root: String,
    shown: String,
    may_reach: fn(IpAddr) -> bool,
    limits: Limits,
}

impl std::fmt::Debug for Sftp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sftp({})", self.shown)
    }
}

fn anywhere(_: IpAddr) -> bool {
    true
}

impl Sftp {
    /// That folder, for whoever has this private key. Opens no connection.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn new(location: &SftpLocation, key: &Secret) -> Result<Self, SftpError> {
        let key = read_key(key)?;
        let (host, port, user) = (location.host.as_str(), location.port, location.user.as_str());
        let root = location.path.as_str().trim_end_matches('/').to_owned();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        // Two slashes: with one the path would be seen from the home of the user.
        let shown = format!("sftp://{user}@{host}:{port}/{root}");
        let limits = Limits { connect: CONNECT, ..Limits::default() };
        let key = Arc::new(key);
        Ok(Self { location: location.clone(), key, root, shown, may_reach: anywhere, limits })
    }

    /// Connects only to addresses this allows, for installations whose owners may not look into the network around them.
    #[must_use]
    pub fn reaching(self, may_reach: fn(IpAddr) -> bool) -> Self {
        Self { may_reach, ..self }
    }

    /// With other limits. A try is one file, or one list.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The public half of the key, as people compare keys.
    fn public_half(&self) -> String {
        self.key.public_key().fingerprint(HashAlg::Sha256).to_string()
    }
}

/// Kinds of keys that are used: of machines, the first that both sides have, and of users.
const KINDS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP521 },
];

/// No error of the library is handed on: nobody has promised that they say nothing of the text.
fn read_key(text: &Secret) -> Result<PrivateKey, SftpError> {
    let text = text.expose_text().ok_or(SftpError::Unreadable)?;
    let key = match decode_secret_key(text, None) {
        Ok(key) => key,
        Err(russh::keys::Error::UnsupportedKeyType { .. }) => {
            return Err(SftpError::Kind { kind: "RSA, or another one".to_owned() });
        }
        Err(_) => return Err(SftpError::Unreadable),
    };
    let kind = key.algorithm();
    if KINDS.contains(&kind) { Ok(key) } else { Err(SftpError::Kind { kind: kind.to_string() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8410, section 10.3.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";

    fn location(host: &str, path: &str) -> SftpLocation {
        SftpLocation {
            host: host.parse().expect("is one"),
            port: 22,
            user: "backup".parse().expect("is one"),
            path: path.parse().expect("is one"),
            host_key: "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4".parse().expect("is one"),
        }
    }

    #[test]
    fn it_is_shown_as_restic_takes_it_and_without_the_key() {
        let one = Sftp::new(&location("b.example.org", "/srv/havre/"), &Secret::from(KEY)).expect("is one");
        assert_eq!(format!("{one:?}"), "Sftp(sftp://backup@b.example.org:22//srv/havre)");
        assert_eq!(one.root, "/srv/havre");
        assert_eq!(one.public_half(), "SHA256:ebCT4wkJOqO5AIlHG03cHvn3Cr3ZZEEh8m81duHhR3Q");
        let six = Sftp::new(&location("2001:db8::1", "/srv"), &Secret::from(KEY)).expect("is one");
        assert_eq!(six.shown, "sftp://backup@[2001:db8::1]:22//srv");
    }

    #[test]
    fn a_key_that_cannot_be_used_is_said_and_not_told() {
        let refused = |text: &str| {
            let error = Sftp::new(&location("b", "/srv"), &Secret::from(text)).expect_err("is none");
            assert!(!error.to_string().contains("AAAA"), "{error}");
            error
        };
        let cut = KEY.replace("MC4CAQAwBQYDK2Vw", "AAAA");
        assert_eq!(refused(&cut), SftpError::Unreadable);
        assert_eq!(refused("AAAA"), SftpError::Unreadable);
        let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(matches!(refused(rsa), SftpError::Kind { .. }));
    }
}
