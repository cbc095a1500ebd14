//! `POST /v1/projects/{project}/previews/{number}/open`: for projects without a webhook, and for previews that have gone. The branch is one of the
//! remote repository itself, so what is in it was not written by strangers. Tests: `tests/it/preview.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::preview::OpenPreviewRequest;
use havre_api::webhook::DeliveryAnswer;
use havre_core::pipeline::push::Verdict;
use havre_core::preview::Wish;
use havre_core::source::HeadAt;
use http::StatusCode;
use tokio::time::Instant;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{Input, PreviewPath};
use crate::state::AppState;
use crate::transaction;
use crate::webhook::pull::{decision, urls};

/// Fetch a branch now and make the preview of a pull request of its newest commit.
#[utoipa::path(post, path = "/v1/projects/{project}/previews/{number}/open", tag = "pipeline",
    operation_id = "open_preview",
    params(("project" = String, Path, example = "dropit"), ("number" = u32, Path, example = 7)),
    request_body = OpenPreviewRequest,
    responses(
        (status = 200, body = DeliveryAnswer, description = "Nothing follows"),
        (status = 202, body = DeliveryAnswer, description = "Something follows"),
        (status = 404, body = ErrorBody, description = "`remote_not_found`"),
    ))]
pub(crate) async fn open(
    State(state): State<AppState>,
    Caller(actor): Caller,
    PreviewPath { project, number }: PreviewPath,
    Input(request): Input<OpenPreviewRequest>,
) -> Result<(StatusCode, Json<DeliveryAnswer>), Refusal> {
    let until = Instant::now() + state.limits.delivery_wait;
    let OpenPreviewRequest { branch, base } = request;
    let name = project.clone();
    let noted = transaction::write(&state, actor, move |tx| {
        if tx.find_remote(&name)?.is_none() {
            let message = format!("the project {name} has no remote repository");
            return Err(
                Refusal::new(Code::RemoteNotFound, message).hint("set one with `havre remote set URL`")
            );
        }
        let at = HeadAt::Branch { branch: branch.clone() };
        let wish = Wish { project: name, number, head: None, branch, base, at, is_fork: false };
        Ok(tx.request_preview(&wish)?)
    });
    noted.await?;
    let (status, answer) = match decision(&state, &project, number, until).await {
        Some(Verdict::Started { pipelines }) => {
            let urls = urls(&pipelines);
            (StatusCode::ACCEPTED, DeliveryAnswer::Started { pipelines, builds: Vec::new(), urls })
        }
        Some(Verdict::Ignored { reason }) => (StatusCode::OK, DeliveryAnswer::Ignored { reason }),
        None => (StatusCode::ACCEPTED, DeliveryAnswer::Accepted),
    };
    Ok((status, Json(answer)))
}
