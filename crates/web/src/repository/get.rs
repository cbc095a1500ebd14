//! `GET /v1/projects/{project}/repository`. Tests: `tests/it/repository.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::repository::Repository;

use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::git::gateway::GitError;
use crate::state::AppState;

/// What is in the repository of a project, and which branches are protected. One nobody has pushed to yet is empty, not absent.
#[utoipa::path(get, path = "/v1/projects/{project}/repository", tag = "pipeline", operation_id = "get_repository",
    params(("project" = String, Path, example = "dropit")),
    responses((status = 200, body = Repository)))]
pub(crate) async fn get(
    State(state): State<AppState>,
    ProjectPath(project): ProjectPath,
) -> Result<Json<Repository>, Refusal> {
    let name = project.clone();
    let read = state
        .store
        .read(move |view| Ok((view.find_repository(&name)?, view.list_protected_branches(&name)?)));
    let (row, protected) = read.await?;
    let measured = match state.git.measure(&project).await {
        Ok(measured) => Some(measured),
        Err(GitError::Missing(_)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Json(Repository {
        project,
        bytes: measured.map(|measured| measured.bytes),
        refs: measured.map(|measured| measured.refs),
        pushed_at: row.as_ref().map(|row| row.pushed_at),
        repacked_at: row.and_then(|row| row.repacked_at),
        protected,
    }))
}
