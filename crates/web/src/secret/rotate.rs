//! `POST /v1/projects/{project}/data-key`: another key for the secrets of a project. Tests: `tests/it/secret.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::secret::RotatedKey;

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::ProjectPath;
use crate::state::AppState;

/// Give a project another data key, and seal every value with it: all of them or none.
#[utoipa::path(post, path = "/v1/projects/{project}/data-key", tag = "secret", operation_id = "rotate_data_key",
    params(("project" = String, Path, example = "dropit")),
    responses(
        (status = 200, body = RotatedKey),
        (status = 404, body = ErrorBody, description = "`secret_not_found`: the project has no secrets"),
    ))]
pub(crate) async fn rotate(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ProjectPath(project): ProjectPath,
) -> Result<Json<RotatedKey>, Refusal> {
    let values = state.store.write(state.now(), actor, move |tx| tx.rotate_data_key(&project)).await?;
    Ok(Json(RotatedKey { values }))
}
