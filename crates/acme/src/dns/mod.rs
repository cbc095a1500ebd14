//! The seam to the domain name system, as plain data: what servers say, and TXT records of ours at a provider.
//! Judging what they say is `havre_core::dns`. Tests: `tests/it/dns.rs`, the contract of the real one and the fake.

mod ask;
mod client;
mod write;
mod zone;

use std::net::IpAddr;

use async_trait::async_trait;
use havre_core::dns::provider::Provider;
use havre_core::dns::{CaaSet, LookupFailure, TxtPlace, TxtRecord, View};
use havre_core::name::{CertificateName, DnsName, HostName};

pub use self::client::{DnsClient, DnsSettings, system_resolvers};
use crate::error::DnsError;

/// Asks and writes. Look-ups never fail as a whole: each server's failure is part of the answer.
#[async_trait]
pub trait Dns: std::fmt::Debug + Send + Sync + 'static {
    /// The addresses (A and AAAA, CNAMEs followed) of a host as each resolver and each server of its own zone sees them.
    async fn addresses(&self, host: &HostName) -> Vec<View<IpAddr>>;

    /// The CAA records that count for a host (RFC 8659, 3): looked for upwards from it; `None` when there are none.
    ///
    /// # Errors
    /// An issuer must refuse when they cannot be looked up, so this is worth waiting for.
    async fn caa(&self, host: &HostName) -> Result<Option<CaaSet>, LookupFailure>;

    /// The TXT values at a name as each server of its own zone sees them. What was written is only out when all have it.
    async fn txt(&self, name: &DnsName) -> Vec<View<String>>;

    /// Where the record of a DNS challenge for this name is to be written, after following a CNAME at `_acme-challenge`. To
    /// be stored: the record is taken away from the place where it was written, whatever the CNAME says later.
    ///
    /// # Errors
    /// [`DnsError::NoZone`].
    async fn challenge_place(&self, name: &CertificateName) -> Result<TxtPlace, DnsError>;

    /// Adds one value beside those that are there; one that is there already is fine.
    ///
    /// # Errors
    /// All but [`DnsError::NoZone`].
    async fn set_txt(&self, provider: &Provider, record: &TxtRecord) -> Result<(), DnsError>;

    /// Removes exactly this value; others stay, and one that is not there is fine.
    ///
    /// # Errors
    /// All but [`DnsError::NoZone`].
    async fn clear_txt(&self, provider: &Provider, record: &TxtRecord) -> Result<(), DnsError>;
}
