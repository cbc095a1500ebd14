//! What a plan is made from: what is wanted of a certificate, and what was seen of the world. Gathered by the loop.

use std::net::IpAddr;

use havre_core::certificate::Stage;
use havre_core::certificate::budget::{End, Placed};
use havre_core::certificate::issuer::Issuer;
use havre_core::dns::pointing::Pointing;
use havre_core::name::{CertificateName, HostName, IssuerName};
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// What people said that concerns one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Issuers by rank.
    pub issuers: Vec<Issuer>,
    /// There is a DNS provider for the zone of every name.
    pub has_provider: bool,
    /// Public addresses of this machine.
    pub here: Vec<IpAddr>,
}

/// What was seen of one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// What servers of names say of its hosts.
    pub names: Option<Look<NamesSeen>>,
    /// Whether the edges gave the answer they were given.
    pub edges: EdgesSeen,
    /// Whether the zone shows the records we wrote.
    pub zone: Option<Look<Result<(), String>>>,
    /// When the issuer was last asked about the order.
    pub asked_issuer_at: Option<Timestamp>,
    /// When it was last tried to take records away.
    pub tidied_at: Option<Timestamp>,
    /// Every order of the last week.
    pub history: Vec<Placed>,
    /// Certificates that wait to place their first order.
    pub newcomers: usize,
}

/// What servers of names say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamesSeen {
    /// Where each host points.
    pub hosts: Vec<(HostName, Pointing)>,
    /// Why the issuer may not sign, by the zone's CAA records; empty when it may.
    pub forbidden: Vec<String>,
}

/// Something that was looked at, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look<T> {
    /// When.
    pub at: Timestamp,
    /// What was seen.
    pub seen: T,
}

/// What the edges do with our answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EdgesSeen {
    /// Edges that report.
    pub count: usize,
    /// One of them listens nowhere for HTTPS.
    pub lack_https: bool,
    /// Every one of them uses a table that holds the answers.
    pub know: bool,
    /// They were asked for them, and gave them or not.
    pub gave: Option<Look<Result<(), String>>>,
}

impl Seen {
    /// Whether exactly these names had a certificate of this issuer within the last week.
    pub fn has_been_issued(&self, issuer: &IssuerName, names: &[CertificateName]) -> bool {
        self.history.iter().any(|placed| {
            placed.issuer == *issuer
                && placed.stage == Stage::Production
                && placed.names == names
                && matches!(placed.end, Some(End::Issued { .. }))
        })
    }
}

/// Pause before something is looked at again that was waited for since `since`: a quarter of the time so far, within bounds.
/// So a person who just changed a record sees it noticed, and one who left costs nothing.
pub fn look_again_at(last: Timestamp, since: Timestamp, least: Span, most: Span) -> Timestamp {
    let waited = last.since(since) / 4;
    last.after(waited.clamp(least.duration(), most.duration()))
}
