//! `GET .../services/{service}/builds`. Tests: `tests/it/build.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::build::BuildList;
use havre_api::release::ListQuery;

use crate::build::wire;
use crate::error::Refusal;
use crate::extract::{Params, ServicePath};
use crate::release::list::limit;
use crate::state::AppState;
use crate::{lookup, transaction};

/// List the builds of a service.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/builds",
    tag = "build", operation_id = "list_builds",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), ListQuery),
    responses((status = 200, body = BuildList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ServicePath(place): ServicePath,
    Params(query): Params<ListQuery>,
) -> Result<Json<BuildList>, Refusal> {
    let limit = limit(&query)?;
    let builds = transaction::read(&state, move |view| {
        let service = lookup::service(view, &place)?;
        let rows = view.list_builds(service.id, limit)?;
        rows.into_iter().map(|row| wire(view, row, service.place.clone())).collect()
    });
    Ok(Json(BuildList { builds: builds.await? }))
}
