//! Laws no certificate may break, whoever made it. Property tests: `tests/it/certificate/laws.rs`.

use crate::certificate::plan::{Plan, Step};
use crate::certificate::seen::{Seen, Wanted};
use havre_core::certificate::budget;
use havre_core::certificate::challenge::ChallengeKind;
use havre_core::certificate::{Certificate, Current, Stage};
use havre_core::name::CertificateName;
use havre_core::time::Timestamp;

/// A broken law.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It does not cover a name.
    #[error("it is not for {name}")]
    NotForName {
        /// Which.
        name: CertificateName,
    },
    /// Clients would not accept its dates.
    #[error("it is valid from {from} until {until} only")]
    NotValid {
        /// From.
        from: Timestamp,
        /// Until.
        until: Timestamp,
    },
    /// The one that is served is valid for longer.
    #[error("the one that is served is valid until {until}, longer than this one")]
    Worse {
        /// Until.
        until: Timestamp,
    },
    /// The budget has no room for this order.
    #[error("an order was planned that the budget has no room for: {0}")]
    OverBudget(String),
    /// Production was to be asked although a rehearsal is due.
    #[error("an order in production was planned although the names failed and no rehearsal has passed since")]
    NotRehearsed,
    /// An issuer was to look for what the edges were not seen to give.
    #[error("an order was planned although the edges have not given an answer of ours")]
    NotTried,
}

/// Whether `new` may take the place of what is served: a valid certificate is never replaced by a worse one.
///
/// # Errors
/// The law it would break.
pub fn check_replacement(certificate: &Certificate, new: &Current, now: Timestamp) -> Result<(), Violation> {
    if let Some(name) = certificate.names.iter().find(|name| !new.covers(name)) {
        return Err(Violation::NotForName { name: name.clone() });
    }
    // An issuer's clock may be a little ahead, and certificates usually begin an hour back.
    if !new.is_valid(now) {
        return Err(Violation::NotValid { from: new.not_before, until: new.not_after });
    }
    match &certificate.current {
        Some(old) if old.is_valid(now) && old.not_after > new.not_after => {
            Err(Violation::Worse { until: old.not_after })
        }
        _ => Ok(()),
    }
}

/// Laws of a plan.
pub fn check(
    certificate: &Certificate,
    plan: &Plan,
    wanted: &Wanted,
    seen: &Seen,
    now: Timestamp,
) -> Result<(), Violation> {
    let Some(Step::PlaceOrder { attempt, is_renewal, is_retry }) = &plan.step else { return Ok(()) };
    let Some(issuer) = wanted.issuers.iter().find(|issuer| issuer.name == attempt.issuer) else {
        return Ok(());
    };
    let is_given = seen.edges.gave.as_ref().is_some_and(|look| look.seen.is_ok());
    if attempt.challenge != ChallengeKind::Dns01 && !is_given {
        return Err(Violation::NotTried);
    }
    let ask = budget::Ask {
        issuer: &attempt.issuer,
        stage: attempt.stage,
        names: &certificate.names,
        is_renewal: *is_renewal,
        is_retry: *is_retry,
    };
    budget::ask(&seen.history, &issuer.limits(attempt.stage), &ask, now)
        .map_err(|exhausted| Violation::OverBudget(exhausted.to_string()))?;
    let record = &certificate.record;
    let is_untested = record.failures > 0 && record.rehearsed_at.is_none() && issuer.staging.is_some();
    if attempt.stage == Stage::Production && is_untested {
        return Err(Violation::NotRehearsed);
    }
    Ok(())
}
