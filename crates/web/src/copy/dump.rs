//! `POST .../databases/{database}/dump`: what `pg_dump` writes inside the server's task, as frames. Tests: `tests/it/copy_stream.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::copy::DumpRequest;
use havre_api::error::ErrorBody;
use havre_core::copy::check_postgres;

use crate::access::gate::Caller;
use crate::copy::{frames, unfit};
use crate::error::Refusal;
use crate::extract::{DatabasePath, Input};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Dump a database: a stream of frames, of which the last one says whether the dump is whole.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/dump",
    tag = "copy", operation_id = "dump_database",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    request_body = DumpRequest,
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/x-havre-frames"),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
        (status = 409, body = ErrorBody, description = "`task_not_running`"),
        (status = 422, body = ErrorBody, description = "`copy_refused`"),
    ))]
pub(crate) async fn dump(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
    Input(request): Input<DumpRequest>,
) -> Result<Response, Refusal> {
    let format = request.format;
    let id = transaction::write(&state, actor, move |tx| {
        let database = lookup::database(tx, &path)?;
        check_postgres(&database).map_err(unfit)?;
        tx.tell_dump(&database, format)?;
        Ok(database.id)
    });
    let id = id.await?;
    let pieces = state.streams.dump(id, format).await?;
    frames::respond(&state, pieces)
}
