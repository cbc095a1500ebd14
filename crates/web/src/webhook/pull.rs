//! Pull requests in deliveries: one that is open is noted as a wish for a preview, which the loop decides; one that is closed takes its preview
//! down. Whose policy counts is not known here. Tests: `tests/it/preview.rs`.

use havre_core::id::PipelineId;
use havre_core::name::ProjectName;
use havre_core::pipeline::push::Verdict;
use havre_core::preview::{CloseReason, PullNumber, State, Wish};
use havre_core::source::HeadAt;
use havre_decide::preview::plan;
use havre_store::Tx;
use havre_webhook::payload::{Action, PullRequest};
use havre_webhook::provider::Provider;
use tokio::time::Instant;

use crate::error::Refusal;
use crate::state::AppState;
use crate::webhook::receive::LOOK;

/// What became of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Noted {
    /// It should have a preview; the loop decides.
    Wish { number: PullNumber },
    /// Its preview is being taken down.
    Closing,
    /// Nothing follows.
    Nothing { reason: String },
}

/// Notes what was announced.
pub(super) fn note(
    tx: &mut Tx<'_>,
    project: &ProjectName,
    provider: Provider,
    request: PullRequest,
) -> Result<Noted, Refusal> {
    let nothing = |reason: String| Ok(Noted::Nothing { reason });
    let number = match PullNumber::try_from(request.number) {
        Ok(number) => number,
        Err(error) => return nothing(error.to_string()),
    };
    let Some(remote) = tx.find_remote(project)? else {
        return nothing(format!(
            "the project {project} has no remote repository to fetch from: set one with `havre remote set URL`"
        ));
    };
    // A webhook of a whole organisation brings those of others, with the same numbers.
    if !remote.url.is_of(&request.base_repository) {
        let (theirs, ours) = (request.base_repository, remote.url);
        return nothing(format!("the pull request is one of {theirs}, and {project} is fetched from {ours}"));
    }
    match request.action {
        Action::Other => nothing(format!("nothing follows from this change of pull request {number}")),
        Action::Closed => end(tx, project, number),
        Action::Opened | Action::Updated => {
            let at = head_at(provider, &request);
            let (branch, base, is_fork) = (request.head_ref, request.base_ref, request.is_fork);
            let (project, head) = (project.clone(), request.head);
            tx.request_preview(&Wish { project, number, head, branch, base, at, is_fork })?;
            Ok(Noted::Wish { number })
        }
    }
}

/// Where this forge shows the commits of a pull request.
fn head_at(provider: Provider, request: &PullRequest) -> HeadAt {
    match provider {
        Provider::GitHub | Provider::Gitea => HeadAt::Pull,
        Provider::GitLab => HeadAt::MergeRequest,
        Provider::Bitbucket | Provider::Generic | Provider::Registry => {
            HeadAt::Branch { branch: request.head_ref.clone() }
        }
    }
}

fn end(tx: &mut Tx<'_>, project: &ProjectName, number: PullNumber) -> Result<Noted, Refusal> {
    tx.forget_preview_wish(project, number)?;
    let row = tx.find_preview(project, number)?;
    match plan::close(number, row.as_ref()) {
        Ok(row) => {
            let since = tx.at();
            tx.set_preview_state(row, State::Closing { since, reason: CloseReason::Ended })?;
            Ok(Noted::Closing)
        }
        Err(reason) => Ok(Noted::Nothing { reason: reason.to_string() }),
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
