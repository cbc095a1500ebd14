//! Issuers: who may be asked for certificates, in which order, and how often each lets itself be asked.
//! Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::challenge::ChallengeKind;
use super::{Stage, budget::Limits};
use crate::name::{CertificateName, IssuerName};
use crate::text::text_json;

/// Address of an ACME directory: `https://` and a closed set of characters, at most 512 of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirectoryUrl(String);

/// Text that is not the address of a directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the address of an ACME directory, such as https://acme.example.org/directory")]
pub struct UrlError {
    text: String,
}

impl DirectoryUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host, without a port.
    pub fn host(&self) -> &str {
        let rest = self.0.strip_prefix("https://").unwrap_or(&self.0);
        let authority = rest.split('/').next().unwrap_or(rest);
        authority.split(':').next().unwrap_or(authority)
    }
}

impl FromStr for DirectoryUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let is_fine = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:%?=&[]".contains(&b);
        let rest = text.strip_prefix("https://");
        let is_url = rest.is_some_and(|rest| {
            let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
            !host.is_empty() && rest.bytes().all(is_fine)
        });
        if is_url && text.len() <= 512 {
            return Ok(Self(text.to_owned()));
        }
        Err(UrlError { text: text.chars().take(80).flat_map(char::escape_default).collect() })
    }
}

impl fmt::Display for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_json! { DirectoryUrl }

/// What a person said about an issuer. Keys and secrets of it are kept apart, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Its name here.
    pub name: IssuerName,
    /// The lowest is asked first, the others when it fails by itself again and again.
    pub rank: u32,
    /// Directory whose certificates are trusted.
    pub directory: DirectoryUrl,
    /// Directory to rehearse with; `None` when it has none.
    pub staging: Option<DirectoryUrl>,
    /// Where it may write to about the account; may be empty.
    pub contact: Option<String>,
    /// Ways to prove control, in the order they are tried.
    pub challenges: Vec<ChallengeKind>,
    /// Key id of the external account binding (RFC 8555, 7.3.4), where the issuer wants one.
    pub eab_key_id: Option<String>,
    /// PEM of a root that is trusted for talking to it, for one of your own.
    pub root_pem: Option<String>,
}

impl Issuer {
    /// The directory of a stage.
    pub fn directory_of(&self, stage: Stage) -> Option<&DirectoryUrl> {
        match stage {
            Stage::Production => Some(&self.directory),
            Stage::Rehearsal => self.staging.as_ref(),
        }
    }

    /// How often it may be asked.
    pub fn limits(&self, stage: Stage) -> Limits {
        Preset::of(self).map_or(Limits::OTHER, |preset| match stage {
            Stage::Production => preset.limits,
            Stage::Rehearsal => preset.staging_limits,
        })
    }

    /// Whether it signs for names of the public internet only.
    pub fn is_public(&self) -> bool {
        Preset::of(self).is_some()
    }

    /// The domains it calls itself in CAA records (RFC 8659), where we know them.
    pub fn caa_domains(&self) -> &'static [&'static str] {
        Preset::of(self).map_or(&[], |preset| preset.caa)
    }
}

/// An issuer whose facts we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Its directory.
    pub directory: &'static str,
    /// Its staging directory.
    pub staging: Option<&'static str>,
    /// Whether it wants an external account binding.
    pub needs_eab: bool,
    /// What it calls itself in CAA records.
    pub caa: &'static [&'static str],
    /// How often it may be asked.
    pub limits: Limits,
    /// How often its staging directory may be asked.
    pub staging_limits: Limits,
}

/// Those that can be set by name alone.
pub const PRESETS: [Preset; 3] = [
    Preset {
        name: "letsencrypt",
        directory: "https://acme-v02.api.letsencrypt.org/directory",
        staging: Some("https://acme-staging-v02.api.letsencrypt.org/directory"),
        needs_eab: false,
        caa: &["letsencrypt.org"],
        limits: Limits::LETS_ENCRYPT,
        staging_limits: Limits::LETS_ENCRYPT_STAGING,
    },
    Preset {
        name: "google",
        directory: "https://dv.acme-v02.api.pki.goog/directory",
        staging: Some("https://dv.acme-v02.test-api.pki.goog/directory"),
        needs_eab: true,
        caa: &["pki.goog"],
        limits: Limits::OTHER,
        staging_limits: Limits::OTHER,
    },
    Preset {
        name: "zerossl",
        directory: "https://acme.zerossl.com/v2/DV90",
        staging: None,
        needs_eab: true,
        caa: &["sectigo.com", "zerossl.com"],
        limits: Limits::OTHER,
        staging_limits: Limits::OTHER,
    },
];

impl Preset {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The one whose directory this is, whatever name it was given.
    pub fn of(issuer: &Issuer) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.directory == issuer.directory.as_str())
    }
}

/// After so many failures in a row that were the issuer's own, the next one is asked.
pub const FALLBACK_AFTER: u32 = 3;

/// Whom to ask now: the first by rank, the next after every [`FALLBACK_AFTER`] failures that were an issuer's own, and
/// round again. `issuers` are sorted by rank.
pub fn choose(issuers: &[Issuer], issuer_failures: u32) -> Option<&Issuer> {
    let turn = usize::try_from(issuer_failures / FALLBACK_AFTER).unwrap_or(0);
    issuers.get(turn.checked_rem(issuers.len())?)
}

/// Names below these are of no public zone (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476 and ICANN's `.internal`).
const NOT_PUBLIC: [&str; 11] = [
    "alt",
    "example",
    "home.arpa",
    "internal",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "test",
];

/// Whether a name can be one of the public internet at all; an issuer would refuse others, and count that.
pub fn is_public_name(name: &CertificateName) -> bool {
    let host = name.host();
    let host = host.as_str();
    let is_below =
        |zone: &str| host == zone || host.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
    host.contains('.') && !NOT_PUBLIC.iter().any(|zone| is_below(zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_https_and_closed() {
        for right in
            ["https://127.0.0.1:14000/dir", "https://acme.example.org/a?b=c", "https://localhost/dir"]
        {
            assert!(right.parse::<DirectoryUrl>().is_ok(), "{right:?} must parse");
        }
        for wrong in [
            "",
            "http://a/dir",
            "https://",
            "https:///dir",
            "https://a b/",
            "https://a/\n",
            "ftp://a/",
            "https://u@a/",
        ] {
            assert!(wrong.parse::<DirectoryUrl>().is_err(), "{wrong:?} must not parse");
        }
        assert_eq!("https://127.0.0.1:14000/dir".parse::<DirectoryUrl>().unwrap().host(), "127.0.0.1");
    }

    #[test]
    fn presets_are_directories() {
        for preset in PRESETS {
            assert!(preset.directory.parse::<DirectoryUrl>().is_ok());
            assert!(preset.staging.is_none_or(|url| url.parse::<DirectoryUrl>().is_ok()));
            assert!(preset.name.parse::<IssuerName>().is_ok());
        }
    }

    #[test]
    fn the_next_one_is_asked_after_three_failures_of_its_own() {
        let issuer = |name: &str, rank| Issuer {
            name: name.parse().unwrap(),
            rank,
            directory: "https://acme.example.org/dir".parse().unwrap(),
            staging: None,
            contact: None,
            challenges: vec![ChallengeKind::Http01],
            eab_key_id: None,
            root_pem: None,
        };
        let issuers = [issuer("first", 1), issuer("second", 2)];
        let asked: Vec<_> = (0..8).map(|n| choose(&issuers, n).unwrap().name.to_string()).collect();
        assert_eq!(asked, ["first", "first", "first", "second", "second", "second", "first", "first"]);
        assert_eq!(choose(&[], 0), None);
    }

    #[test]
    fn names_nobody_signs_for() {
        let is_public = |name: &str| is_public_name(&name.parse().unwrap());
        assert!(is_public("api.example.org") && is_public("*.example.org") && is_public("testing.org"));
        for private in ["localhost", "dropit", "dropit.localhost", "a.test", "nas.home.arpa", "*.a.internal"]
        {
            assert!(!is_public(private), "{private}");
        }
    }
}
