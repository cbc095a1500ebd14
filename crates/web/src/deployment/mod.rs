//! Deployments: asked for, read and cancelled here; done by the loops.

pub mod cancel;
pub mod create;
pub mod get;
pub mod list;
pub mod restart;
pub mod rollback;

mod request;

use std::collections::BTreeSet;

use havre_core::deployment::Deployment;
use havre_core::deployment::state::State;
use havre_core::id::ReleaseId;
use havre_core::service::{Place, Service};
use havre_store::View;

use crate::error::Refusal;

/// Deployments looked through for successful releases; older ones than that nobody goes back to by default.
const HISTORY_MAX: u32 = 1000;

/// The wire form.
pub(crate) fn wire(
    view: &View<'_>,
    row: Deployment,
    place: Place,
) -> Result<havre_api::deployment::Deployment, Refusal> {
    let failure = match &row.state {
        State::Failed { reason, .. } | State::Reverting { reason, .. } => reason.to_string(),
        _ => String::new(),
    };
    let waiting = match row.state.is_final() {
        true => String::new(),
        false => view.waiting("deployment", row.id.row())?.unwrap_or_default(),
    };
    Ok(havre_api::deployment::Deployment {
        id: row.id,
        service_id: row.service,
        place,
        release: row.release,
        previous: row.previous,
        kind: row.kind,
        is_final: row.state.is_final(),
        state: row.state,
        failure,
        waiting,
        cancel_requested: row.cancel_requested,
        created_at: row.created_at,
    })
}

/// Releases a deployment of which has succeeded.
pub(crate) fn succeeded_releases(view: &View<'_>, service: &Service) -> Result<BTreeSet<ReleaseId>, Refusal> {
    let rows = view.list_deployments(service.id, HISTORY_MAX)?;
    let succeeded = rows.into_iter().filter(|row| matches!(row.state, State::Succeeded { .. }));
    Ok(succeeded.map(|row| row.release).collect())
}

/// Whether a deployment of this release has succeeded. Most often one of the last few has.
pub(crate) fn has_succeeded(view: &View<'_>, service: &Service, release: ReleaseId) -> Result<bool, Refusal> {
    let is_it = |row: &Deployment| row.release == release && matches!(row.state, State::Succeeded { .. });
    if view.list_deployments(service.id, 20)?.iter().any(is_it) {
        return Ok(true);
    }
    Ok(view.list_deployments(service.id, HISTORY_MAX)?.iter().any(is_it))
}
