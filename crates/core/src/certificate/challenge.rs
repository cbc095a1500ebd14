//! How control over a name is proven, and which way is tried next. Tests at the end of the file.

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::dns::TxtRecord;
use crate::name::{CertificateName, HostName};

/// A way to prove control over a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChallengeKind {
    /// A file over plain HTTP (RFC 8555, 8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate for this purpose only, over TLS (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A record in the zone (RFC 8555, 8.4): the only way to a wildcard.
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeKind {
    /// The word the protocol uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

impl std::fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for ChallengeKind {
    type Err = ChallengeError;

    fn from_str(text: &str) -> Result<Self, ChallengeError> {
        [Self::Http01, Self::TlsAlpn01, Self::Dns01]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| ChallengeError { text: text.chars().take(32).collect() })
    }
}

/// Text that names no challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a challenge: expected http-01, tls-alpn-01 or dns-01")]
pub struct ChallengeError {
    text: String,
}

/// What must be answered so that an issuer believes us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Proof {
    /// A file over plain HTTP.
    File {
        /// On which host.
        host: HostName,
        /// Last segment of its path.
        token: String,
        /// What is in it.
        answer: String,
    },
    /// A certificate over TLS.
    Handshake {
        /// On which host.
        host: HostName,
        /// Its material.
        digest: Digest,
    },
    /// A record in the zone.
    Txt {
        /// Which.
        record: TxtRecord,
    },
}

/// The way that is tried next: a wildcard, and whatever lies in a zone whose provider we know, by DNS. Else the ways an
/// issuer was set up with, the next one after each failure, because a proxy or firewall often breaks just one of them.
pub fn choose(
    names: &[CertificateName],
    has_provider: bool,
    allowed: &[ChallengeKind],
    failures: u32,
) -> Option<ChallengeKind> {
    if has_provider && allowed.contains(&ChallengeKind::Dns01) {
        return Some(ChallengeKind::Dns01);
    }
    if names.iter().any(CertificateName::is_wildcard) {
        return None;
    }
    let ways: Vec<ChallengeKind> =
        allowed.iter().copied().filter(|kind| *kind != ChallengeKind::Dns01).collect();
    let turn = usize::try_from(failures).unwrap_or(usize::MAX).checked_rem(ways.len())?;
    ways.get(turn).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChallengeKind::{Dns01, Http01, TlsAlpn01};

    #[test]
    fn ways_take_turns_and_wildcards_need_dns() {
        let name: Vec<CertificateName> = vec!["api.example.org".parse().unwrap()];
        let wild: Vec<CertificateName> = vec!["*.example.org".parse().unwrap()];
        let all = [Http01, TlsAlpn01, Dns01];
        let turns: Vec<_> = (0..3).map(|failures| choose(&name, false, &all, failures)).collect();
        assert_eq!(turns, [Some(Http01), Some(TlsAlpn01), Some(Http01)]);
        assert_eq!(choose(&name, true, &all, 1), Some(Dns01));
        assert_eq!(choose(&wild, true, &all, 1), Some(Dns01));
        assert_eq!(choose(&wild, false, &all, 0), None);
        assert_eq!(choose(&name, false, &[Dns01], 0), None);
        assert_eq!(choose(&name, true, &[Http01], 0), Some(Http01));
    }
}
