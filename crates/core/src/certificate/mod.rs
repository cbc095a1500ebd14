//! Certificates: which names need one, when it is ordered, from whom, and why it still waits. What comes next is decided in
//! `decide`; talking to issuers is `havre-acme`'s, steps are taken by the loop of the same name.
//!
//! A certificate rests, asks its own edges, has an order open, or backs off after a failure ([`State`]). Tests: `tests/it/certificate` of
//! `decide`.

pub mod budget;
pub mod challenge;
pub mod event;
pub mod issuer;

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::dns::TxtRecord;
use crate::id::{CertificateId, OrderId};
use crate::name::{CertificateName, IssuerName};
use crate::time::Timestamp;
use challenge::{ChallengeKind, Proof};

/// A row: the names, what is served for them now, and how far the next one has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its id.
    pub id: CertificateId,
    /// Grows by one with every change of the row.
    pub revision: u64,
    /// Names it is for, sorted; never empty.
    pub names: Vec<CertificateName>,
    /// Where it comes from.
    pub source: Source,
    /// A service wants its names now. One that nobody wants is kept until it expires, and not renewed.
    pub is_wanted: bool,
    /// What is served.
    pub current: Option<Current>,
    /// How far the next one has come.
    pub state: State,
    /// What the attempts so far have taught.
    pub record: Record,
    /// When the row was made.
    pub created_at: Timestamp,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Ordered and renewed by Havre.
    Automatic,
    /// Brought by a person; never renewed by Havre.
    Uploaded,
}

impl Source {
    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Uploaded => "uploaded",
        }
    }
}

/// A certificate that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// SHA-256 of its material: chain, then key.
    pub digest: Digest,
    /// Names in it, sorted; may be more than the row's.
    pub names: Vec<CertificateName>,
    /// Who signed it, as it says itself.
    pub signed_by: String,
    /// Who it was ordered from; `None` for one that was uploaded.
    pub issuer: Option<IssuerName>,
    /// Serial number in hex, for people who look for it elsewhere.
    pub serial: String,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// When it became the one that is served.
    pub since: Timestamp,
    /// When its issuer wants it renewed, where it says so.
    pub window: Option<Window>,
    /// When the issuer is asked about that again.
    pub ask_again_at: Timestamp,
}

/// When an issuer wants a certificate renewed (ARI, RFC 9773).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Not before.
    pub start: Timestamp,
    /// At the latest.
    pub end: Timestamp,
}

impl Current {
    /// Whether clients accept its dates at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Whether it is good for `name`: for a wildcard the same wildcard, for a host any name that covers it.
    pub fn covers(&self, name: &CertificateName) -> bool {
        self.names.iter().any(|own| own == name || (!name.is_wildcard() && own.covers(&name.host())))
    }
}

/// How far the next certificate has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// Nothing is under way: nothing is needed yet, or something must be true first.
    Resting {
        /// Since when.
        since: Timestamp,
    },
    /// The edges are given an answer of ours and asked for it, before an issuer hears of anything.
    Asking {
        /// Since when.
        since: Timestamp,
        /// What they present in a trial by TLS; empty until it is made, and where they are asked over plain HTTP.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        trial: Vec<Proof>,
    },
    /// An order is open.
    Ordering {
        /// Since when; orders are given up after a while.
        since: Timestamp,
        /// Its row, which counts for the budget.
        order: OrderId,
        /// With whom and how.
        attempt: Attempt,
        /// How far it is.
        phase: Phase,
    },
    /// The last attempt failed; nothing is tried before `until`.
    BackingOff {
        /// Since when.
        since: Timestamp,
        /// Until when.
        until: Timestamp,
    },
}

impl State {
    /// The state's name in text, JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Resting { .. } => "resting",
            Self::Asking { .. } => "asking",
            Self::Ordering { .. } => "ordering",
            Self::BackingOff { .. } => "backing_off",
        }
    }

    /// Since when it is in this state.
    pub const fn since(&self) -> Timestamp {
        match self {
            Self::Resting { since }
            | Self::Asking { since, .. }
            | Self::Ordering { since, .. }
            | Self::BackingOff { since, .. } => *since,
        }
    }

    /// Ends a pause because a person asked, or changed what was in the way. Whether there was one.
    pub fn end_pause(&mut self, now: Timestamp) -> bool {
        match self {
            Self::BackingOff { .. } => {
                *self = Self::Resting { since: now };
                true
            }
            Self::Ordering { phase: Phase::Stalled { until, .. }, .. } => {
                *until = now.min(*until);
                true
            }
            Self::Resting { .. } | Self::Asking { .. } | Self::Ordering { .. } => false,
        }
    }

    /// What the edges or the zone must answer for it.
    pub fn proofs(&self) -> &[Proof] {
        match self {
            Self::Asking { trial, .. } => trial,
            Self::Ordering { phase, .. } => phase.proofs(),
            Self::Resting { .. } | Self::BackingOff { .. } => &[],
        }
    }
}

/// With whom an order is placed, and how control over the names is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Whom we ask.
    pub issuer: IssuerName,
    /// Its rehearsal directory, or the one whose certificates are trusted.
    pub stage: Stage,
    /// How.
    pub challenge: ChallengeKind,
}

/// Which directory of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The issuer's staging directory: same checks, far larger limits, certificates nobody trusts and nobody is served.
    Rehearsal,
    /// The one whose certificates are trusted.
    Production,
}

impl Stage {
    /// The word in tables and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rehearsal => "rehearsal",
            Self::Production => "production",
        }
    }
}

/// How far an open order is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// It counts for the budget already; the issuer may or may not have heard of it.
    Placing,
    /// The issuer knows it; what it wants is not known yet.
    Placed {
        /// Where the order is.
        url: String,
    },
    /// The issuer wants proofs; they are on their way to edges or zone.
    Publishing {
        /// Where the order is.
        url: String,
        /// What must be answered.
        proofs: Vec<Proof>,
        /// Since when; `None` in rows from before it was kept: then since the order was placed.
        #[serde(default)]
        since: Option<Timestamp>,
    },
    /// The records could not be written. The order is kept, because each one counts for the budget and the issuer's part is
    /// done: only its DNS provider is asked again.
    Stalled {
        /// Where the order is.
        url: String,
        /// What must be answered; empty where the zone to write in was not found, so that it was not known yet.
        proofs: Vec<Proof>,
        /// Since when; each try that fails begins anew.
        since: Timestamp,
        /// Not before.
        until: Timestamp,
        /// It can end without anybody changing anything.
        is_passing: bool,
        /// What the provider said, for people.
        message: String,
    },
    /// The issuer was told to look.
    Validating {
        /// Where the order is.
        url: String,
        /// What must be answered.
        proofs: Vec<Proof>,
        /// Since when.
        since: Timestamp,
    },
}

impl Phase {
    /// What must be answered.
    pub fn proofs(&self) -> &[Proof] {
        match self {
            Self::Placing | Self::Placed { .. } => &[],
            Self::Publishing { proofs, .. }
            | Self::Stalled { proofs, .. }
            | Self::Validating { proofs, .. } => proofs,
        }
    }

    /// What it does, for people.
    pub const fn doing(&self) -> &'static str {
        match self {
            Self::Placing | Self::Placed { .. } => "an order is being placed",
            Self::Publishing { .. } => "the answer to the issuer's challenge is being published",
            Self::Stalled { .. } => "the DNS provider does not take the answer to the issuer's challenge",
            Self::Validating { .. } => "the issuer looks",
        }
    }
}

/// What the attempts so far have taught. Survives restarts: it is what spaces attempts out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Attempts that failed since the last success.
    pub failures: u32,
    /// Those among them that were the issuer's own doing: it was down, overloaded or wrong.
    pub issuer_failures: u32,
    /// The last of them.
    pub last_failure: Option<Failure>,
    /// Tries in a row to write records that failed while the order was kept.
    pub stalls: u32,
    /// When the rehearsal passed that the next attempt relies on.
    pub rehearsed_at: Option<Timestamp>,
    /// A person asked for a new one now.
    pub is_renewal_asked: bool,
    /// Records at a DNS provider that are still to be taken away.
    pub leftovers: Vec<TxtRecord>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// Whom we had asked, where it came so far.
    pub attempt: Option<Attempt>,
    /// Whose doing it was.
    pub side: Side,
    /// What was said, for people.
    pub message: String,
}

/// Whose doing a failure was; decides what is tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The issuer looked and did not find what it should, or does not sign for this name: DNS, a firewall, CAA.
    Domain,
    /// The issuer did not answer, answered nonsense, or said that it is its own fault.
    Issuer,
    /// The issuer says that we asked too often.
    Limit,
    /// Our own: no account, a DNS provider that refuses us, a store that fails.
    Ours,
}

impl Side {
    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Issuer => "issuer",
            Self::Limit => "limit",
            Self::Ours => "ours",
        }
    }
}

/// Names in one line, for people.
pub fn joined(names: &[CertificateName]) -> String {
    let text: Vec<&str> = names.iter().map(CertificateName::as_str).collect();
    text.join(", ")
}
