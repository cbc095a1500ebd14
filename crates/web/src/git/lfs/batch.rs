//! `POST /git/{repository}/info/lfs/objects/batch`: what is here, and where contents go and come from. Tests: `tests/it/lfs.rs`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use havre_core::artifact::Digest;
use havre_core::event::Actor;
use havre_core::secret::Secret;
use havre_decide::source::lfs::batch::{BODY_MAX, Door, Operation, answer, parse};
use http::{StatusCode, header};

use super::{Told, address, reply};
use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::read_body;
use crate::git::project;
use crate::state::AppState;

/// Where contents of Git LFS go or come from; asked by `git lfs`.
#[utoipa::path(post, path = "/git/{repository}/info/lfs/objects/batch", tag = "git", operation_id = "lfs_batch",
    params(("repository" = String, Path, example = "dropit.git")),
    request_body(content = String, content_type = "application/vnd.git-lfs+json"),
    responses((status = 200, content_type = "application/vnd.git-lfs+json", body = String)))]
pub(crate) async fn batch(
    State(state): State<AppState>,
    Caller(actor): Caller,
    Path(repository): Path<String>,
    request: Request,
) -> Result<Response, Told> {
    let project = project(&repository)?;
    let headers = request.headers().clone();
    let batch = parse(&read_body(request, BODY_MAX).await?)?;
    let room = match batch.operation {
        Operation::Download if matches!(actor, Actor::SshKey { .. }) => return Err(pushes_only().into()),
        Operation::Download => 0,
        Operation::Upload => state.git.content_room(&project).await?,
    };
    let oids: Vec<Digest> = batch.objects.iter().map(|one| one.oid.clone()).collect();
    let found = state.git.find_contents(&project, &oids).await?;
    let address = address(&state, &headers, &project)?;
    let line = headers.get(header::AUTHORIZATION).and_then(|line| line.to_str().ok()).map(Secret::from);
    let door = Door { address: &address, authorization: line.as_ref(), room };
    Ok(reply(StatusCode::OK, &answer(&batch, &found, &door)))
}

fn pushes_only() -> Refusal {
    Refusal::new(Code::Forbidden, "a key for SSH is for pushes only")
        .hint("fetch over HTTP, with an access token as the password")
}
