//! `GET .../services/{service}/releases`: what can be gone back to. Tests: `tests/it/deployment.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::release::{ListQuery, ReleaseList};

use crate::error::{Code, Refusal};
use crate::extract::{Params, ServicePath};
use crate::release::Standing;
use crate::state::AppState;
use crate::{deployment, lookup, release, transaction};

/// Entries of a list when no limit is asked for.
const LIMIT_DEFAULT: u32 = 50;
/// Most entries of a list.
const LIMIT_MAX: u32 = 1000;

/// List the releases of a service.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/releases",
    tag = "release", operation_id = "list_releases",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), ListQuery),
    responses((status = 200, body = ReleaseList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    ServicePath(place): ServicePath,
    Params(query): Params<ListQuery>,
) -> Result<Json<ReleaseList>, Refusal> {
    let limit = limit(&query)?;
    let releases = transaction::read(&state, move |view| {
        let service = lookup::service(view, &place)?;
        let succeeded = deployment::succeeded_releases(view, &service)?;
        let removed = view.removed_releases(service.id)?;
        let rows = view.list_releases(service.id, limit)?;
        let mut listed = Vec::new();
        for row in rows {
            let before = view.find_measured_before(service.id, row.id)?;
            let standing = Standing {
                has_succeeded: succeeded.contains(&row.id),
                files_removed: removed.contains(&row.id),
                bytes_before: before.map(|before| before.bytes),
            };
            listed.push(release::wire(row, &service, standing));
        }
        Ok(listed)
    });
    Ok(Json(ReleaseList { releases: releases.await? }))
}

/// The bounded number of entries of a list.
pub(crate) fn limit(query: &ListQuery) -> Result<u32, Refusal> {
    match query.limit {
        None => Ok(LIMIT_DEFAULT),
        Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(Refusal::new(
            Code::QueryInvalid,
            format!("the limit {limit} is not between 1 and {LIMIT_MAX}"),
        )),
    }
}
