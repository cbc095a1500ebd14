//! `GET .../databases/{database}/logs`: lines of its present task, as JSON lines. Tests: `tests/it/database.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::database::{DatabaseLogEntry, DatabaseLogQuery};
use havre_api::error::ErrorBody;

use crate::error::{Code, Refusal};
use crate::extract::{DatabasePath, Params};
use crate::state::AppState;
use crate::{lines, lookup, transaction};

/// Lines when nothing is said.
const TAIL_DEFAULT: u32 = 100;
/// Most lines.
const TAIL_MAX: u32 = 10_000;

/// Read or follow the log of the present task of a database, as JSON lines.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/logs",
    tag = "database", operation_id = "get_database_logs",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db"), DatabaseLogQuery),
    responses(
        (status = 200, body = DatabaseLogEntry, content_type = "application/x-ndjson"),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
        (status = 503, body = ErrorBody, description = "`unavailable`"),
    ))]
pub(crate) async fn logs(
    State(state): State<AppState>,
    path: DatabasePath,
    Params(query): Params<DatabaseLogQuery>,
) -> Result<Response, Refusal> {
    let tail = query.tail.unwrap_or(TAIL_DEFAULT);
    if tail > TAIL_MAX {
        return Err(Refusal::new(Code::QueryInvalid, format!("tail is at most {TAIL_MAX}")));
    }
    let id = transaction::read(&state, move |view| Ok(lookup::database(view, &path)?.id)).await?;
    let entries = state.streams.database_logs(id, tail, query.follow).await?;
    let keep_alive = state.limits.keep_alive;
    lines::respond(&state, move |lines| async move { lines::pass_on(&lines, entries, keep_alive).await })
}
