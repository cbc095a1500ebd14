//! What happened to certificates, issuers and DNS providers.

use serde::{Deserialize, Serialize};

use super::{Attempt, Side, joined};
use crate::id::{CertificateId, OrderId};
use crate::name::{CertificateName, DnsName, IssuerName};
use crate::time::Timestamp;

/// A past-tense fact about certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[expect(missing_docs, reason = "the fields are those of the rows, and `Display` says each event in words")]
pub enum Event {
    /// A service wants these names; a certificate for them will be ordered.
    Wanted { certificate: CertificateId, names: Vec<CertificateName> },
    /// No service wants them any more.
    Unwanted { certificate: CertificateId },
    /// An order was placed.
    OrderPlaced { certificate: CertificateId, order: OrderId, attempt: Attempt },
    /// The records of an order could not be written; it is kept, and its DNS provider asked again.
    OrderStalled {
        certificate: CertificateId,
        order: OrderId,
        is_passing: bool,
        message: String,
        until: Timestamp,
    },
    /// A rehearsal passed.
    Rehearsed { certificate: CertificateId, order: OrderId },
    /// An attempt failed.
    Failed {
        certificate: CertificateId,
        attempt: Option<Attempt>,
        side: Side,
        message: String,
        until: Timestamp,
    },
    /// An order gave a certificate, and it is served.
    Issued { certificate: CertificateId, order: OrderId, digest: String, not_after: Timestamp },
    /// An order gave a certificate that is no better than the one that is served.
    Refused { certificate: CertificateId, reason: String },
    /// A person brought a certificate, and it is served.
    Uploaded { certificate: CertificateId, names: Vec<CertificateName>, digest: String, not_after: Timestamp },
    /// A person asked for a new one now.
    RenewalAsked { certificate: CertificateId },
    /// The row is gone.
    Removed { certificate: CertificateId, names: Vec<CertificateName> },
    /// An account at an issuer exists.
    AccountMade { issuer: IssuerName, url: String },
    /// A person set an issuer.
    IssuerSet { issuer: IssuerName },
    /// A person removed an issuer.
    IssuerRemoved { issuer: IssuerName },
    /// A person set the DNS provider of a zone.
    ProviderSet { zone: DnsName, provider: String },
    /// A person removed the DNS provider of a zone.
    ProviderRemoved { zone: DnsName },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wanted { certificate, names } => {
                write!(f, "certificate {certificate} is wanted for {}", joined(names))
            }
            Self::Unwanted { certificate } => {
                write!(f, "certificate {certificate} is wanted by no service any more")
            }
            Self::OrderPlaced { certificate, order, attempt } => write!(
                f,
                "order {order} for certificate {certificate} placed at {} ({}, {})",
                attempt.issuer,
                attempt.stage.as_str(),
                attempt.challenge
            ),
            Self::OrderStalled { certificate, order, message, until, .. } => write!(
                f,
                "order {order} for certificate {certificate} was kept without its record: {message}; the DNS provider is asked again at {until}"
            ),
            Self::Rehearsed { certificate, order } => {
                write!(f, "rehearsal {order} of certificate {certificate} passed")
            }
            Self::Failed { certificate, message, until, .. } => {
                write!(
                    f,
                    "an attempt at certificate {certificate} failed: {message}; the next not before {until}"
                )
            }
            Self::Issued { certificate, order, not_after, .. } => {
                write!(f, "order {order} gave certificate {certificate}, valid until {not_after}")
            }
            Self::Refused { certificate, reason } => {
                write!(f, "a new certificate {certificate} was not taken into use: {reason}")
            }
            Self::Uploaded { certificate, names, not_after, .. } => {
                write!(f, "certificate {certificate} for {} uploaded, valid until {not_after}", joined(names))
            }
            Self::RenewalAsked { certificate } => write!(f, "a new certificate {certificate} was asked for"),
            Self::Removed { certificate, names } => {
                write!(f, "certificate {certificate} for {} removed", joined(names))
            }
            Self::AccountMade { issuer, url } => write!(f, "account at {issuer} made: {url}"),
            Self::IssuerSet { issuer } => write!(f, "issuer {issuer} set"),
            Self::IssuerRemoved { issuer } => write!(f, "issuer {issuer} removed"),
            Self::ProviderSet { zone, provider } => write!(f, "DNS provider of {zone} set to {provider}"),
            Self::ProviderRemoved { zone } => write!(f, "DNS provider of {zone} removed"),
        }
    }
}
