//! What servers of the domain name system say, as data, and what follows from it: does a name point here ([`pointing`]), may
//! this issuer sign for it (`caa`), at which provider are its records ([`provider`]). Asking is done in `havre-acme`.
//! Tests are in the files below.

pub mod pointing;
pub mod provider;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::name::DnsName;

/// Who was asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Server {
    /// A resolver, which answers from its cache or asks around for us.
    Resolver {
        /// Its address.
        address: SocketAddr,
    },
    /// A server the zone itself names: what it says is the truth, and what issuers look at.
    Authoritative {
        /// Its name.
        name: String,
        /// Its address.
        address: SocketAddr,
    },
    /// Nobody could be asked: how the zone's own servers were looked for failed before there was an address.
    Zone {
        /// The name whose zone was looked for.
        name: String,
    },
}

impl Server {
    /// Whether its word is the zone's own.
    pub const fn is_authoritative(&self) -> bool {
        matches!(self, Self::Authoritative { .. } | Self::Zone { .. })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolver { address } => write!(f, "the resolver {}", Short(*address)),
            Self::Authoritative { name, address } => {
                write!(f, "{name} ({}), a server of the zone itself", Short(*address))
            }
            Self::Zone { name } => write!(f, "the servers of the zone of {name}"),
        }
    }
}

/// An address of a server of names, its port only where it is not the usual one.
struct Short(SocketAddr);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == 53 { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

/// Why one server gave no usable answer. "There is no such record" is an answer, and not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LookupFailure {
    /// It says that there is no such name at all.
    #[error("there is no such name (NXDOMAIN)")]
    NoSuchName,
    /// It answered with an error, such as SERVFAIL (often: broken DNSSEC) or REFUSED.
    #[error("it answered {code}")]
    Failed {
        /// The code, as it is usually written.
        code: String,
    },
    /// It did not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The zone names this server, and the server does not know the zone (lame delegation).
    #[error("it does not know the zone, though the zone names it (lame delegation)")]
    Lame,
    /// It could not be asked, or its answer could not be read.
    #[error("{message}")]
    Unreachable {
        /// What happened.
        message: String,
    },
}

/// What one server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View<T> {
    /// Who says it.
    pub server: Server,
    /// What it says; an empty list is an answer too.
    pub answer: Result<Vec<T>, LookupFailure>,
}

/// Characters of a CAA record that are looked at; the names of issuers with all parameters are far shorter.
const CAA_VALUE_MAX: usize = 500;

/// A CAA record (RFC 8659): which issuers a zone's owner allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaaRecord {
    /// Set: who does not understand the tag must not issue.
    pub is_critical: bool,
    /// `issue`, `issuewild`, `iodef` or another word, lower case.
    pub tag: String,
    /// The issuer's domain with parameters, or `;` for nobody.
    pub value: String,
}

impl CaaRecord {
    /// From what a server answered: any bytes, so that the tag is brought to one form and the value to text that can be shown.
    pub fn new(is_critical: bool, tag: &str, value: &[u8]) -> Self {
        let value = String::from_utf8_lossy(value);
        Self {
            is_critical,
            tag: tag.to_ascii_lowercase(),
            value: value.chars().filter(|c| !c.is_control()).take(CAA_VALUE_MAX).collect(),
        }
    }
}

/// The CAA records that count for a name: those of the nearest name above it that has any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaaSet {
    /// Where they were found.
    pub at: DnsName,
    /// All of them.
    pub records: Vec<CaaRecord>,
}

/// Where a TXT record is written: after following CNAMEs, so possibly in another zone than the name it serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxtPlace {
    /// Name of the record.
    pub name: DnsName,
    /// Zone it is in; the provider wants to know.
    pub zone: DnsName,
}

/// One value of ours at one place. Other values at the same place are not ours and stay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxtRecord {
    /// Where.
    pub place: TxtPlace,
    /// What.
    pub value: String,
}

/// Addresses in one line, for people.
pub(crate) fn listed(addresses: &[IpAddr]) -> String {
    let text: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    text.join(", ")
}
