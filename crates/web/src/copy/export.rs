//! `POST .../databases/{database}/person/export`: what belongs to one person, as JSON lines in frames. Tests: `tests/it/copy_stream.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::copy::PersonRequest;
use havre_api::error::ErrorBody;
use havre_core::copy::event::PersonAct;

use crate::access::gate::Caller;
use crate::copy::{frames, person};
use crate::error::Refusal;
use crate::extract::{DatabasePath, Input};
use crate::state::AppState;

/// Export what belongs to one person: a stream of frames with a JSON object in each line, of one state of the database.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/person/export",
    tag = "copy", operation_id = "export_person",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    request_body = PersonRequest,
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/x-havre-frames"),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
        (status = 409, body = ErrorBody, description = "`task_not_running` or `no_master_key`"),
        (status = 422, body = ErrorBody, description = "`copy_refused` or `policy_invalid`"),
    ))]
pub(crate) async fn export(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
    Input(request): Input<PersonRequest>,
) -> Result<Response, Refusal> {
    let statements = person::rules(&request)?.export_json(&request.person).map_err(person::refused)?;
    let told = (PersonAct::Exported, None);
    let database = person::tell(&state, actor, (path, request.person), told).await?;
    let pieces = state.streams.query(database.id, person::reading(&statements)).await?;
    frames::respond(&state, pieces)
}
