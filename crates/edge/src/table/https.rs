//! What a table says about HTTPS, in the workers' form: certificates by name, challenge answers, policies of hosts.
//! It loads no material (`certificate`). Tests: `table/tests.rs`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use havre_api::route_table::{self as wire, CertificatePurpose, RouteTable};

use super::{TableError, build, check_text};
use crate::certificate::Digest;

/// Older certificates that are remembered for a name while the material of the newest is on its way.
const MOST_OLDER: usize = 2;

/// One certificate the table names.
#[derive(Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Names its material.
    pub digest: Digest,
    /// What earlier tables named for the same host, newest first: presented until the material is here.
    pub older: Vec<Digest>,
    names: Vec<Box<str>>,
}

impl Certificate {
    /// Whether it answers for `host`.
    pub fn covers(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(below) => parent == Some(below),
            None => **name == *host,
        })
    }
}

/// Everything about HTTPS but the policies, which stand with the routes of their host. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Https {
    certificates: Arc<ByName>,
    challenges: Arc<HashMap<Box<str>, Vec<Challenge>>>,
}

/// Certificates by the names they answer for.
#[derive(Debug, Default)]
struct ByName {
    exact: HashMap<Box<str>, Arc<Certificate>>,
    /// By what stands behind `*.`.
    wildcards: HashMap<Box<str>, Arc<Certificate>>,
    tls_alpn_01: HashMap<Box<str>, Digest>,
}

/// An open HTTP-01 challenge of one host.
#[derive(Debug)]
struct Challenge {
    token: Box<str>,
    answer: Box<str>,
}

/// How a host treats plain HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPolicy {
    /// Plain requests are sent to HTTPS.
    pub redirect_to_https: bool,
    /// What answers over HTTPS say of the future.
    pub hsts: Option<Hsts>,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    max_age: u64,
    subdomains: bool,
    preload: bool,
}

impl Hsts {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split("; ");
        let max_age = parts.next()?.strip_prefix("max-age=")?.parse().ok()?;
        let mut hsts = Self { max_age, subdomains: false, preload: false };
        for part in parts {
            match part {
                "includeSubDomains" => hsts.subdomains = true,
                "preload" => hsts.preload = true,
                _ => return None,
            }
        }
        Some(hsts)
    }

    /// Appends the header's value.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"max-age=");
        crate::proxy::number(out, self.max_age);
        if self.subdomains {
            out.extend_from_slice(b"; includeSubDomains");
        }
        if self.preload {
            out.extend_from_slice(b"; preload");
        }
    }
}

impl Https {
    pub(super) fn build(wire: &RouteTable, previous: Option<&Self>) -> Result<Self, TableError> {
        let nothing = Self::default();
        let previous = previous.unwrap_or(&nothing);
        previous.change(Some(&wire.certificates), Some(&wire.challenges))
    }

    /// The same with other certificates, or other challenges.
    pub(super) fn change(
        &self,
        certificates: Option<&[wire::Certificate]>,
        challenges: Option<&[wire::Challenge]>,
    ) -> Result<Self, TableError> {
        let mut https = self.clone();
        if let Some(certificates) = certificates {
            let mut named = ByName::default();
            for certificate in certificates {
                named.add(certificate, &self.certificates)?;
            }
            https.certificates = Arc::new(named);
        }
        if let Some(challenges) = challenges {
            https.challenges = Arc::new(answers(challenges)?);
        }
        Ok(https)
    }

    /// Whether both name the same certificates because one has them from the other.
    pub(crate) fn shares_certificates(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.certificates, &other.certificates)
    }

    /// The certificate for `host`: its own, else the wildcard one label above.
    pub fn find(&self, host: &str) -> Option<&Arc<Certificate>> {
        let ByName { exact, wildcards, .. } = &*self.certificates;
        exact.get(host).or_else(|| wildcards.get(host.split_once('.')?.1))
    }

    /// The challenge certificate for `host`.
    pub fn find_challenge(&self, host: &str) -> Option<Digest> {
        self.certificates.tls_alpn_01.get(host).copied()
    }

    /// The answer to an HTTP-01 challenge.
    pub fn answer(&self, host: &str, token: &str) -> Option<&str> {
        let answers = self.challenges.get(host)?;
        answers.iter().find(|challenge| *challenge.token == *token).map(|challenge| &*challenge.answer)
    }

    /// Material the table wants, and what may stand in for it.
    pub fn digests(&self) -> (HashSet<Digest>, HashSet<Digest>) {
        let ByName { exact, wildcards, tls_alpn_01 } = &*self.certificates;
        let certificates = || exact.values().chain(wildcards.values());
        let wanted = certificates().map(|certificate| certificate.digest);
        let older = certificates().flat_map(|certificate| certificate.older.iter().copied());
        (wanted.chain(tls_alpn_01.values().copied()).collect(), older.collect())
    }
}

fn answers(challenges: &[wire::Challenge]) -> Result<HashMap<Box<str>, Vec<Challenge>>, TableError> {
    let mut answers: HashMap<Box<str>, Vec<Challenge>> = HashMap::new();
    for challenge in challenges {
        build::check_host(&challenge.host)?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        check_text("challenge token", &challenge.token, is_token)?;
        check_text("challenge answer", &challenge.answer, |byte| byte.is_ascii_graphic())?;
        answers.entry(challenge.host.as_str().into()).or_default().push(Challenge {
            token: challenge.token.as_str().into(),
            answer: challenge.answer.as_str().into(),
        });
    }
    Ok(answers)
}

impl ByName {
    fn add(&mut self, wire: &wire::Certificate, previous: &Self) -> Result<(), TableError> {
        let digest: Digest = wire.digest.parse().map_err(|_| TableError::Text {
            what: "certificate digest",
            text: wire.digest.chars().take(64).collect(),
        })?;
        for name in &wire.names {
            build::check_host(name.strip_prefix("*.").unwrap_or(name))?;
        }
        if wire.purpose == CertificatePurpose::TlsAlpn01 {
            self.tls_alpn_01.extend(wire.names.iter().map(|name| (name.as_str().into(), digest)));
            return Ok(());
        }
        let mut older = Vec::new();
        for known in wire.names.iter().filter_map(|name| previous.named(name)) {
            for &known in std::iter::once(&known.digest).chain(&known.older) {
                if known != digest && !older.contains(&known) && older.len() < MOST_OLDER {
                    older.push(known);
                }
            }
        }
        let names = wire.names.iter().map(|name| name.as_str().into()).collect();
        let certificate = Arc::new(Certificate { digest, older, names });
        for name in &wire.names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(below) => (&mut self.wildcards, below),
                None => (&mut self.exact, name.as_str()),
            };
            map.entry(name.into()).or_insert_with(|| Arc::clone(&certificate));
        }
        Ok(())
    }

    /// The certificate for a name as tables write it, wildcards included.
    fn named(&self, name: &str) -> Option<&Arc<Certificate>> {
        match name.strip_prefix("*.") {
            Some(below) => self.wildcards.get(below),
            None => self.exact.get(name),
        }
    }
}

pub(super) fn policy(wire: &wire::HostPolicy) -> Result<HostPolicy, TableError> {
    let parse = |text: &String| {
        let shortened = || text.chars().take(64).collect();
        Hsts::parse(text)
            .ok_or_else(|| TableError::Text { what: "Strict-Transport-Security", text: shortened() })
    };
    let hsts = wire.hsts.as_ref().map(parse).transpose()?;
    Ok(HostPolicy { redirect_to_https: wire.redirect_to_https, hsts })
}
