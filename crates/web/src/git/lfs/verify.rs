//! `POST /git/{repository}/info/lfs/verify`: whether a content has arrived. Tests: `tests/it/lfs.rs`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use havre_decide::source::lfs::batch::{BODY_MAX, parse_verify};
use http::StatusCode;
use serde_json::json;

use super::{Told, reply};
use crate::error::{Code, Refusal};
use crate::extract::read_body;
use crate::git::project;
use crate::state::AppState;

/// Whether a content of Git LFS has arrived; asked by `git lfs`.
#[utoipa::path(post, path = "/git/{repository}/info/lfs/verify", tag = "git", operation_id = "lfs_verify",
    params(("repository" = String, Path, example = "dropit.git")),
    request_body(content = String, content_type = "application/vnd.git-lfs+json"),
    responses((status = 200, content_type = "application/vnd.git-lfs+json", body = String)))]
pub(crate) async fn verify(
    State(state): State<AppState>,
    Path(repository): Path<String>,
    request: Request,
) -> Result<Response, Told> {
    let project = project(&repository)?;
    let asked = parse_verify(&read_body(request, BODY_MAX).await?)?;
    let found = state.git.find_contents(&project, std::slice::from_ref(&asked.oid)).await?;
    if found == [Some(asked.size)] {
        return Ok(reply(StatusCode::OK, &json!({})));
    }
    let message = format!("the content {} has not arrived here with {} bytes", asked.oid.hex(), asked.size);
    Err(Refusal::new(Code::ContentNotFound, message).hint("push it again").into())
}
