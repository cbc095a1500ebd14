//! `GET /git/{repository}/info/refs`: what is in the repository (gitprotocol-http(5)). Tests: `tests/it/git.rs`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{Code, Refusal};
use crate::extract::Params;
use crate::git::gateway::Verb;
use crate::git::{Told, is_version_2, project};
use crate::state::AppState;

/// Query of `GET /git/{repository}/info/refs`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RefsQuery {
    /// `git-upload-pack` or `git-receive-pack`.
    service: Option<String>,
}

/// What a repository holds, for a client that is about to fetch.
#[utoipa::path(get, path = "/git/{repository}/info/refs", tag = "git", operation_id = "git_refs",
    params(("repository" = String, Path, example = "dropit.git"), RefsQuery),
    responses((status = 200, content_type = "application/x-git-upload-pack-advertisement", body = Vec<u8>)))]
pub(crate) async fn refs(
    State(state): State<AppState>,
    Path(repository): Path<String>,
    Params(query): Params<RefsQuery>,
    headers: HeaderMap,
) -> Result<Response, Told> {
    let verb = match query.service.as_deref() {
        Some("git-upload-pack") => Verb::Fetch,
        Some("git-receive-pack") => Verb::Push,
        _ => {
            let message = "only git's smart protocol is spoken here";
            return Err(Refusal::new(Code::QueryInvalid, message).hint("use a newer git").into());
        }
    };
    let project = project(&repository)?;
    let _slot = state.slot()?;
    let body = state.git.advertise(&project, verb, is_version_2(&headers)).await?;
    let kind = format!("application/x-{}-advertisement", verb.name());
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache".to_owned())], body).into_response())
}
