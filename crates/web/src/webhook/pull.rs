//! Pull requests in deliveries: one that was closed takes its preview down here; what is wished for the others is decided by the loop, and
//! waited for. Tests: `tests/it/preview.rs`.

use havre_core::id::PipelineId;
use havre_core::name::ProjectName;
use havre_core::pipeline::push::Verdict;
use havre_core::preview::{CloseReason, PullNumber, State};
use havre_decide::preview::plan::{self, Ignored};
use havre_store::{StoreError, Tx};
use tokio::time::Instant;

use crate::state::AppState;
use crate::webhook::receive::LOOK;

/// Takes the preview of a pull request down; or why there is nothing to take down.
pub(super) fn end(
    tx: &mut Tx<'_>,
    project: &ProjectName,
    number: PullNumber,
) -> Result<Option<Ignored>, StoreError> {
    tx.forget_preview_wish(project, number)?;
    let row = tx.find_preview(project, number)?;
    match plan::close(number, row.as_ref()) {
        Ok(row) => {
            let since = tx.at();
            tx.set_preview_state(row, State::Closing { since, reason: CloseReason::Ended })?;
            Ok(None)
        }
        Err(reason) => Ok(Some(reason)),
    }
}

/// What is decided about a pull request, if it is by `until`.
pub(crate) async fn decision(
    state: &AppState,
    project: &ProjectName,
    number: PullNumber,
    until: Instant,
) -> Option<Verdict> {
    loop {
        let name = project.clone();
        let row = state.store.read(move |view| view.find_preview_wish(&name, number)).await.ok().flatten();
        let verdict = row.and_then(|row| row.verdict);
        if verdict.is_some() || Instant::now() >= until || state.stop.is_cancelled() {
            return verdict;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Paths of pipelines.
pub(crate) fn urls(pipelines: &[PipelineId]) -> Vec<String> {
    pipelines.iter().map(|id| format!("/v1/pipelines/{id}")).collect()
}
