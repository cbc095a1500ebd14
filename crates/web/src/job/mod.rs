//! Jobs of live releases and their runs: read, asked for and cancelled here; done by the loops.

pub mod cancel;
pub mod create;
pub mod get;
pub mod list;
pub mod log;
pub mod runs;

use havre_core::job::JobRun;
use havre_core::job::state::State;
use havre_core::service::Place;
use havre_store::View;

use crate::error::Refusal;

/// The wire form.
pub(crate) fn wire(view: &View<'_>, row: JobRun, place: Place) -> Result<havre_api::job::JobRun, Refusal> {
    let failure = match &row.state {
        State::Failed { reason, .. } | State::Waiting { after: Some(reason), .. } => reason.to_string(),
        State::TimedOut { .. } => "it did not end in time".to_owned(),
        State::Skipped { reason, .. } => reason.to_string(),
        _ => String::new(),
    };
    let waiting = match row.state.is_final() {
        true => String::new(),
        false => view.waiting("job", row.id.row())?.unwrap_or_default(),
    };
    Ok(havre_api::job::JobRun {
        id: row.id,
        job: row.job,
        service_id: row.service,
        place,
        release: row.release,
        trigger: row.trigger,
        planned_at: row.planned_at,
        missed: row.missed,
        attempt: row.attempt,
        started_at: row.started_at,
        ended_at: row.state.ended_at(),
        is_final: row.state.is_final(),
        exit_code: row.state.exit_code(),
        state: row.state,
        failure,
        waiting,
        cancel_requested: row.cancel_requested,
        created_at: row.created_at,
    })
}
