//! Certificates: what is served, what is on its way, and those people bring. Ordering is the loop's.

pub mod get;
pub mod list;
pub mod material;
pub mod remove;
pub mod renew;
pub mod upload;

use havre_api::certificate::{Certificate, CurrentCertificate, OpenOrder};
use havre_core::certificate::{self as core, Source, State};
use havre_decide::certificate::renewal::renew_at;
use havre_store::View;

use crate::error::Refusal;

/// A row on the wire.
pub(crate) fn wire(view: &View<'_>, row: core::Certificate) -> Result<Certificate, Refusal> {
    let order = match &row.state {
        State::Ordering { since, attempt, phase, .. } => Some(OpenOrder {
            issuer: attempt.issuer.clone(),
            stage: attempt.stage,
            challenge: attempt.challenge,
            doing: phase.doing().to_owned(),
            since: *since,
        }),
        _ => None,
    };
    let not_before = match &row.state {
        State::BackingOff { until, .. }
        | State::Ordering { phase: core::Phase::Stalled { until, .. }, .. } => Some(*until),
        _ => None,
    };
    let renews = (row.source == Source::Automatic && row.is_wanted).then_some(row.id);
    Ok(Certificate {
        waiting: view.waiting("certificate", row.id.row())?.unwrap_or_default(),
        current: row.current.as_ref().map(|current| {
            let renew_at = renews.map(|id| renew_at(id, current));
            CurrentCertificate { renew_at, ..current_wire(current) }
        }),
        state: row.state.name().to_owned(),
        order,
        not_before,
        id: row.id,
        names: row.names,
        source: row.source,
        is_wanted: row.is_wanted,
        failures: row.record.failures,
        last_failure: row.record.last_failure,
        created_at: row.created_at,
    })
}

pub(crate) fn current_wire(current: &core::Current) -> CurrentCertificate {
    CurrentCertificate {
        digest: current.digest.hex().to_owned(),
        names: current.names.clone(),
        signed_by: current.signed_by.clone(),
        issuer: current.issuer.clone(),
        serial: current.serial.clone(),
        not_before: current.not_before,
        not_after: current.not_after,
        renew_at: None,
    }
}
