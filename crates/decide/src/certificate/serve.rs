//! Which certificates the edges present, which challenges they answer, and how hosts treat plain HTTP: rows to entries of the
//! route table. Tests: `tests/it/certificate/serve.rs`.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::certificate::challenge::Proof;
use havre_core::certificate::{Certificate, Current, Source, State};
use havre_core::name::{CertificateName, HostName};
use havre_core::route::https::{self, CertificatePurpose, Challenge, HostPolicy};
use havre_core::service::spec::{HttpsMode, HttpsSpec};
use havre_core::time::Timestamp;

/// The certificates to present: for each name the best there is. An expired one is still better than none, because browsers
/// that were told to insist on HTTPS show the same page for both, and people see from its date what happened.
pub fn certificates(rows: &[Certificate], now: Timestamp) -> Vec<https::Certificate> {
    let mut best: BTreeMap<&CertificateName, (&Certificate, &Current)> = BTreeMap::new();
    for row in rows {
        let Some(current) = &row.current else { continue };
        for name in &current.names {
            let is_better =
                best.get(name).is_none_or(|held| rank(row, current, now) > rank(held.0, held.1, now));
            if is_better {
                best.insert(name, (row, current));
            }
        }
    }
    let mut entries: BTreeMap<&str, https::Certificate> = BTreeMap::new();
    for (name, (_, current)) in best {
        let entry = entries.entry(current.digest.hex()).or_insert_with(|| https::Certificate {
            names: Vec::new(),
            digest: current.digest.clone(),
            purpose: CertificatePurpose::Serve,
        });
        entry.names.push(name.clone());
    }
    let handshakes = rows.iter().flat_map(|row| row.state.proofs()).filter_map(|proof| match proof {
        Proof::Handshake { host, digest } => Some(https::Certificate {
            names: vec![CertificateName::from(host.clone())],
            digest: digest.clone(),
            purpose: CertificatePurpose::TlsAlpn01,
        }),
        Proof::File { .. } | Proof::Txt { .. } => None,
    });
    let mut all: Vec<https::Certificate> = entries.into_values().chain(handshakes).collect();
    all.sort_by(|a, b| (&a.names, a.digest.hex()).cmp(&(&b.names, b.digest.hex())));
    all
}

/// Valid before expired, brought by a person before ordered, then the one that lasts longer; ids make it total.
fn rank(row: &Certificate, current: &Current, now: Timestamp) -> (bool, bool, Timestamp, i64) {
    (current.is_valid(now), row.source == Source::Uploaded, current.not_after, row.id.row())
}

/// The answers of plain listeners: to issuers, and to ourselves before an issuer is asked.
pub fn challenges(rows: &[Certificate]) -> Vec<Challenge> {
    let mut all: Vec<Challenge> = rows.iter().flat_map(answers).collect();
    all.sort_by(|a, b| (&a.host, &a.token).cmp(&(&b.host, &b.token)));
    all
}

/// What the edges must answer over plain HTTP for this row now.
pub fn answers(row: &Certificate) -> Vec<Challenge> {
    if let State::Asking { since, trial } = &row.state
        && trial.is_empty()
    {
        // Ours alone, known to everybody, worth nothing: its only use is to come back. A trial by TLS presents its digest.
        let token = format!("havre-{}-{}", row.id, since.as_millis());
        return row
            .names
            .iter()
            .filter(|name| !name.is_wildcard())
            .map(|name| Challenge {
                host: name.host(),
                token: token.clone(),
                answer: format!("{token}.{}", name.host()),
            })
            .collect();
    }
    let files = row.state.proofs().iter().filter_map(|proof| match proof {
        Proof::File { host, token, answer } => {
            Some(Challenge { host: host.clone(), token: token.clone(), answer: answer.clone() })
        }
        Proof::Handshake { .. } | Proof::Txt { .. } => None,
    });
    files.collect()
}

/// How hosts treat plain HTTP. Nothing is said of a host without a certificate that is valid now: it stays reachable over
/// plain HTTP. Where services share a host, the one with the shortest path speaks for it; `hosts` are those of the routes, shortest path first.
pub fn policies<'r>(
    hosts: impl Iterator<Item = (&'r HostName, HttpsSpec)>,
    rows: &[Certificate],
    now: Timestamp,
) -> BTreeMap<HostName, HostPolicy> {
    let mut policies = BTreeMap::new();
    let mut spoken: BTreeSet<&HostName> = BTreeSet::new();
    for (host, https) in hosts {
        if !spoken.insert(host) || https.mode == HttpsMode::Off {
            continue;
        }
        let name = CertificateName::from(host.clone());
        let is_served = rows
            .iter()
            .filter_map(|row| row.current.as_ref())
            .any(|current| current.is_valid(now) && current.covers(&name));
        let policy = HostPolicy { redirect_to_https: https.mode == HttpsMode::Redirect, hsts: https.hsts };
        if is_served && policy != HostPolicy::default() {
            policies.insert(host.clone(), policy);
        }
    }
    policies
}
