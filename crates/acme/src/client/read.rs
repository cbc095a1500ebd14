//! From an issuer's documents to our plain data. Tests: `tests/it/authority.rs`, `tests/it/abuse.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use havre_core::name::CertificateName;
use havre_core::time::Timestamp;
use serde::Deserialize;

use crate::authority::{
    Authorization, AuthorizationState, Challenge, ChallengeKind, ChallengeState, Directory, Order,
    OrderState, Renewal, RevocationReason,
};
use crate::client::http::Link;
use crate::client::{answer, failed};
use crate::error::AuthorityError;

/// Names of one order; issuers allow 100.
const NAMES_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DirectoryDocument {
    #[expect(dead_code, reason = "its presence is what tells a directory from any other JSON")]
    new_order: String,
    renewal_info: Option<String>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    terms_of_service: Option<String>,
    external_account_required: bool,
    caa_identities: Vec<String>,
    profiles: BTreeMap<String, String>,
}

/// The directory, and where renewal is asked for.
pub(crate) fn directory(link: &Link, body: &[u8]) -> Result<(Directory, Option<String>), AuthorityError> {
    let document: DirectoryDocument = serde_json::from_slice(body)
        .map_err(|error| link.garbled(format!("it is not a directory: {error}")))?;
    let Meta { terms_of_service, external_account_required, caa_identities, profiles } = document.meta;
    let directory = Directory {
        terms: terms_of_service,
        needs_external_account: external_account_required,
        caa_identities,
        profiles,
        has_renewal: document.renewal_info.is_some(),
    };
    Ok((directory, document.renewal_info))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewalDocument {
    suggested_window: Window,
    #[serde(rename = "explanationURL")]
    explanation: Option<String>,
}

#[derive(Deserialize)]
struct Window {
    start: Timestamp,
    end: Timestamp,
}

/// When to renew. `Retry-After` is within a minute and a day, six hours where it is missing (RFC 9773, 4.3).
pub(crate) fn renewal(link: &Link, body: &[u8]) -> Result<Renewal, AuthorityError> {
    let document: RenewalDocument =
        serde_json::from_slice(body).map_err(|error| link.garbled(error.to_string()))?;
    let Window { start, end } = document.suggested_window;
    if end < start {
        return Err(link.garbled(format!("it wants a renewal between {start} and {end}, which is never")));
    }
    let asked = link.notes().retry_after.unwrap_or(Duration::from_secs(6 * 3600));
    let ask_again_after = asked.clamp(Duration::from_secs(60), Duration::from_secs(86_400));
    Ok(Renewal { start, end, explanation: document.explanation, ask_again_after })
}

/// An order with all its authorizations, each asked for.
pub(crate) async fn order(
    link: &Link,
    thumbprint: &str,
    mut order: instant_acme::Order,
) -> Result<Order, AuthorityError> {
    let poll_after = link.notes().retry_after;
    let url = order.url().to_owned();
    let seen = order.state();
    if seen.authorizations.len() > NAMES_MAX {
        return Err(link.garbled(format!("the order has {} authorizations", seen.authorizations.len())));
    }
    let state = order_state(seen.status);
    let problem = seen.error.as_ref().map(answer::from_inside);
    let mut authorizations = Vec::new();
    let mut open = order.authorizations();
    while let Some(handle) = open.next().await {
        let handle = handle.map_err(|error| failed(link, error))?;
        authorizations.push(authorization(link, thumbprint, &handle)?);
    }
    Ok(Order { url, state, authorizations, problem, poll_after })
}

fn authorization(
    link: &Link,
    thumbprint: &str,
    seen: &instant_acme::AuthorizationState,
) -> Result<Authorization, AuthorityError> {
    use instant_acme::AuthorizationStatus as Status;
    let name = seen
        .identifier()
        .to_string()
        .parse::<CertificateName>()
        .map_err(|error| link.garbled(format!("{error}")))?;
    let state = match seen.status {
        Status::Pending => AuthorizationState::Pending,
        Status::Valid => AuthorizationState::Valid,
        Status::Invalid | Status::Revoked | Status::Expired | Status::Deactivated => {
            AuthorizationState::Invalid
        }
    };
    let challenges = seen.challenges.iter().filter_map(|challenge| {
        let kind = our_kind(&challenge.r#type)?;
        // It becomes part of a path and of a line of text; nothing but base64url may be in it (RFC 8555, 8.3).
        let is_clean = challenge.token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if challenge.token.is_empty() || challenge.token.len() > 256 || !is_clean {
            return None;
        }
        let answer = format!("{}.{thumbprint}", challenge.token);
        let problem = challenge.error.as_ref().map(answer::from_inside);
        Some(Challenge {
            problem,
            ..Challenge::new(kind, challenge_state(challenge.status), &challenge.token, &answer)
        })
    });
    Ok(Authorization { name, state, challenges: challenges.collect() })
}

pub(crate) const fn order_state(status: instant_acme::OrderStatus) -> OrderState {
    use instant_acme::OrderStatus as Status;
    match status {
        Status::Pending => OrderState::Pending,
        Status::Ready => OrderState::Ready,
        Status::Processing => OrderState::Processing,
        Status::Valid => OrderState::Valid,
        Status::Invalid => OrderState::Invalid,
    }
}

const fn challenge_state(status: instant_acme::ChallengeStatus) -> ChallengeState {
    use instant_acme::ChallengeStatus as Status;
    match status {
        Status::Pending => ChallengeState::Pending,
        Status::Processing => ChallengeState::Processing,
        Status::Valid => ChallengeState::Valid,
        Status::Invalid => ChallengeState::Invalid,
    }
}

fn our_kind(kind: &instant_acme::ChallengeType) -> Option<ChallengeKind> {
    match kind {
        instant_acme::ChallengeType::Http01 => Some(ChallengeKind::Http01),
        instant_acme::ChallengeType::TlsAlpn01 => Some(ChallengeKind::TlsAlpn01),
        instant_acme::ChallengeType::Dns01 => Some(ChallengeKind::Dns01),
        _ => None,
    }
}

pub(crate) const fn wire_kind(kind: ChallengeKind) -> instant_acme::ChallengeType {
    match kind {
        ChallengeKind::Http01 => instant_acme::ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => instant_acme::ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => instant_acme::ChallengeType::Dns01,
    }
}

pub(crate) const fn wire_reason(reason: RevocationReason) -> instant_acme::RevocationReason {
    match reason {
        RevocationReason::Unspecified => instant_acme::RevocationReason::Unspecified,
        RevocationReason::KeyCompromise => instant_acme::RevocationReason::KeyCompromise,
        RevocationReason::Superseded => instant_acme::RevocationReason::Superseded,
        RevocationReason::CessationOfOperation => instant_acme::RevocationReason::CessationOfOperation,
    }
}
