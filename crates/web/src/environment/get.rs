//! `GET /v1/projects/{project}/environments/{environment}`: what is wanted and what runs.
//! Tests: `tests/it/environment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::environment::EnvironmentStatus;
use havre_api::error::ErrorBody;

use crate::error::Refusal;
use crate::extract::EnvironmentPath;
use crate::service::status::{self, Edges};
use crate::state::AppState;
use crate::{database, lookup, transaction};

/// State of a whole environment.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}", tag = "environment",
    operation_id = "get_environment",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production")),
    responses(
        (status = 200, body = EnvironmentStatus),
        (status = 404, body = ErrorBody, description = "`environment_not_found`"),
    ))]
pub(crate) async fn get(
    State(state): State<AppState>,
    path: EnvironmentPath,
) -> Result<Json<EnvironmentStatus>, Refusal> {
    let edges = Edges::of(&state);
    let answer = transaction::read(&state, move |view| {
        let environment = lookup::environment(view, &path.project, &path.environment)?;
        let services = view
            .list_environment_services(environment.id)?
            .into_iter()
            .map(|service| status::derive(view, service, &edges))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = view.list_environment_databases(environment.id)?.into_iter();
        let databases = rows.map(|row| database::wire(view, row)).collect::<Result<Vec<_>, _>>()?;
        let (project, environment) = (path.project, path.environment);
        Ok(EnvironmentStatus { project, environment, services, databases })
    });
    Ok(Json(answer.await?))
}
