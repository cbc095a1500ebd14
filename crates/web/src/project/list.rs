//! `GET /v1/projects`. Tests: `tests/it/environment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::project::{Project, ProjectList};

use crate::error::Refusal;
use crate::state::AppState;

/// List projects and their environments.
#[utoipa::path(get, path = "/v1/projects", tag = "project", operation_id = "list_projects",
    responses((status = 200, body = ProjectList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<ProjectList>, Refusal> {
    let rows = state.store.read(|view| view.list_environments()).await?;
    let mut projects: Vec<Project> = Vec::new();
    // Sorted by project, then name.
    for row in rows {
        match projects.last_mut() {
            Some(last) if last.name == row.project_name => last.environments.push(row.name),
            _ => projects.push(Project { name: row.project_name, environments: vec![row.name] }),
        }
    }
    Ok(Json(ProjectList { projects }))
}
