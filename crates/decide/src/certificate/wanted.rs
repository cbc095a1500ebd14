//! Which certificates services want: one for each host, or a wildcard where records of its zone can be written.
//! Tests at the end of the file.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::certificate::{Certificate, Source};
use havre_core::name::{CertificateName, DnsName, HostName};
use havre_core::time::Timestamp;

/// An uploaded certificate that is valid for less than this no longer keeps an automatic one from being ordered.
const UPLOADED_LEFT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// Sets of names that need an automatic certificate, each with the hosts it is for. `zones` are those with a DNS provider.
pub fn derive(
    hosts: &BTreeSet<HostName>,
    zones: &[DnsName],
    certificates: &[Certificate],
    now: Timestamp,
) -> BTreeMap<Vec<CertificateName>, Vec<HostName>> {
    let mut sets: BTreeMap<Vec<CertificateName>, Vec<HostName>> = BTreeMap::new();
    for host in hosts.iter().filter(|host| !is_brought(host, certificates, now)) {
        sets.entry(vec![name_for(host, zones)]).or_default().push(host.clone());
    }
    sets
}

/// Whether a person brought a certificate for it that lasts.
fn is_brought(host: &HostName, certificates: &[Certificate], now: Timestamp) -> bool {
    let name = CertificateName::from(host.clone());
    certificates.iter().filter(|certificate| certificate.source == Source::Uploaded).any(|certificate| {
        certificate.current.as_ref().is_some_and(|current| {
            current.covers(&name) && current.is_valid(now) && now.after(UPLOADED_LEFT) < current.not_after
        })
    })
}

/// The name a certificate for this host has: a wildcard one label up, where that is inside a zone we can write to.
fn name_for(host: &HostName, zones: &[DnsName]) -> CertificateName {
    let name = DnsName::from(host.clone());
    let wildcard = name.parent().filter(|parent| zones.iter().any(|zone| parent.is_in(zone)));
    wildcard
        .and_then(|parent| format!("*.{parent}").parse().ok())
        .unwrap_or_else(|| CertificateName::from(host.clone()))
}

/// The zone with a DNS provider that a name's challenge is written in: the longest that fits.
pub fn zone_of<'z>(name: &CertificateName, zones: &'z [DnsName]) -> Option<&'z DnsName> {
    let host = DnsName::from(name.host());
    zones.iter().filter(|zone| host.is_in(zone)).max_by_key(|zone| zone.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_for_each_host_or_a_wildcard_in_our_zones() {
        let hosts: BTreeSet<HostName> = [
            "example.org",
            "api.example.org",
            "www.example.org",
            "a.b.example.org",
            "other.net",
            "api.other.net",
        ]
        .map(|host| host.parse().unwrap())
        .into();
        let zones: Vec<DnsName> = vec!["example.org".parse().unwrap()];
        let sets = derive(&hosts, &zones, &[], Timestamp::default());
        let text: Vec<String> = sets
            .iter()
            .map(|(names, hosts)| {
                format!(
                    "{} for {}",
                    havre_core::certificate::joined(names),
                    hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(" ")
                )
            })
            .collect();
        assert_eq!(
            text,
            [
                "*.b.example.org for a.b.example.org",
                "*.example.org for api.example.org www.example.org",
                "api.other.net for api.other.net",
                "example.org for example.org",
                "other.net for other.net",
            ]
        );
    }

    #[test]
    fn the_longest_zone_wins() {
        let zones: Vec<DnsName> = ["example.org", "b.example.org"].map(|zone| zone.parse().unwrap()).into();
        let zone = |name: &str| zone_of(&name.parse().unwrap(), &zones).map(ToString::to_string);
        assert_eq!(zone("*.b.example.org"), Some("b.example.org".into()));
        assert_eq!(zone("a.example.org"), Some("example.org".into()));
        assert_eq!(zone("a.example.net"), None);
    }
}
