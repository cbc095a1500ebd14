//! May this issuer sign for this name, by the zone owner's CAA records (RFC 8659)? Finding the records is not done here.
//! Tests at the end of the file.

use serde::{Deserialize, Serialize};

use havre_core::dns::{CaaRecord, CaaSet};
use havre_core::name::CertificateName;

/// Why an issuer must refuse a name; asking it would only burn an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "the CAA records at {at} allow only {} to issue for {name}; add {} with the issuer's name, or use one of those issuers",
    if allowed.is_empty() { "nobody".to_owned() } else { allowed.join(", ") },
    if name.is_wildcard() { "an `issuewild` record" } else { "an `issue` record" }
)]
pub struct CaaRefusal {
    /// The name asked for.
    pub name: CertificateName,
    /// Where the records are.
    pub at: havre_core::name::DnsName,
    /// Who may.
    pub allowed: Vec<String>,
}

/// Checks `name` for an issuer known by any of `identities` (its directory's `caaIdentities`, such as `letsencrypt.org`).
/// Without identities nothing can be said, and the issuer will say it.
///
/// # Errors
/// What the records allow instead.
pub fn check_caa(
    set: Option<&CaaSet>,
    name: &CertificateName,
    identities: &[String],
) -> Result<(), CaaRefusal> {
    let Some(set) = set.filter(|_| !identities.is_empty()) else { return Ok(()) };
    let tagged = |tag: &str| set.records.iter().filter(|record| record.tag == tag).collect::<Vec<_>>();
    let wild = tagged("issuewild");
    // RFC 8659, 4.3: `issuewild` wins for wildcards where there is one.
    let counting = if name.is_wildcard() && !wild.is_empty() { wild } else { tagged("issue") };
    let unknown = set.records.iter().any(|record| {
        record.is_critical
            && !matches!(
                record.tag.as_str(),
                "issue" | "issuewild" | "iodef" | "contactemail" | "contactphone"
            )
    });
    let allowed: Vec<String> = counting.iter().filter_map(|record| issuer_of(record)).collect();
    let is_allowed = counting.is_empty()
        || allowed
            .iter()
            .any(|issuer| identities.iter().any(|identity| identity.eq_ignore_ascii_case(issuer)));
    if is_allowed && !unknown {
        return Ok(());
    }
    Err(CaaRefusal { name: name.clone(), at: set.at.clone(), allowed })
}

/// The domain before the parameters; `None` for a record that allows nobody.
fn issuer_of(record: &CaaRecord) -> Option<String> {
    let domain = record.value.split(';').next().unwrap_or_default().trim();
    (!domain.is_empty()).then(|| domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(records: &[(&str, &str)]) -> CaaSet {
        let record = |(tag, value): &(&str, &str)| CaaRecord {
            is_critical: tag.starts_with('!'),
            tag: tag.trim_start_matches('!').to_owned(),
            value: (*value).to_owned(),
        };
        CaaSet { at: "example.org".parse().unwrap(), records: records.iter().map(record).collect() }
    }

    fn allows(records: &[(&str, &str)], name: &str) -> bool {
        let identities = ["letsencrypt.org".to_owned()];
        check_caa(Some(&set(records)), &name.parse().unwrap(), &identities).is_ok()
    }

    #[test]
    fn the_table_of_cases() {
        let host = "api.example.org";
        let wild = "*.example.org";
        assert!(allows(&[], host));
        assert!(allows(&[("iodef", "mailto:a@example.org")], host), "only a contact");
        assert!(allows(&[("issue", "letsencrypt.org; validationmethods=dns-01")], host));
        assert!(allows(&[("issue", "other.example"), ("issue", " LetsEncrypt.org")], host));
        assert!(!allows(&[("issue", "other.example")], host));
        assert!(!allows(&[("issue", ";")], host), "nobody at all");
        assert!(allows(&[("issuewild", ";")], host), "says nothing about hosts");
        assert!(!allows(&[("issue", "letsencrypt.org"), ("issuewild", ";")], wild));
        assert!(allows(&[("issue", "letsencrypt.org")], wild), "issue counts where no issuewild is");
        assert!(allows(&[("issue", ";"), ("issuewild", "letsencrypt.org")], wild));
        assert!(!allows(&[("issue", "letsencrypt.org"), ("!tbs", "x")], host), "critical and unknown");
    }

    #[test]
    fn without_records_or_identities_the_issuer_decides() {
        let name: CertificateName = "api.example.org".parse().unwrap();
        assert_eq!(check_caa(None, &name, &["letsencrypt.org".to_owned()]), Ok(()));
        assert_eq!(check_caa(Some(&set(&[("issue", ";")])), &name, &[]), Ok(()));
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let name: CertificateName = "*.example.org".parse().unwrap();
        let records = set(&[("issue", "a.example"), ("issue", "b.example")]);
        let refusal = check_caa(Some(&records), &name, &["letsencrypt.org".to_owned()]).unwrap_err();
        insta::assert_snapshot!(refusal, @"the CAA records at example.org allow only a.example, b.example to issue for *.example.org; add an `issuewild` record with the issuer's name, or use one of those issuers");
    }
}
