//! `GET .../services/{service}/logs`: lines of every task, as JSON lines. Tests: `tests/it/task.rs`.

use axum::extract::State;
use axum::response::Response;
use havre_api::error::ErrorBody;
use havre_api::task::{LogEntry, LogQuery};

use crate::error::{Code, Refusal};
use crate::extract::{Params, ServicePath};
use crate::state::AppState;
use crate::{lines, lookup, transaction};

/// Lines of each task when neither `tail` nor `since` is given.
const TAIL_DEFAULT: u32 = 100;
/// Most lines of each task.
const TAIL_MAX: u32 = 10_000;

/// Read or follow the logs of a service, as JSON lines.
#[utoipa::path(get, path = "/v1/projects/{project}/environments/{environment}/services/{service}/logs",
    tag = "task", operation_id = "get_logs",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), LogQuery),
    responses(
        (status = 200, body = LogEntry, content_type = "application/x-ndjson"),
        (status = 404, body = ErrorBody, description = "`service_not_found` or `task_not_found`"),
        (status = 503, body = ErrorBody, description = "`unavailable`"),
    ))]
pub(crate) async fn logs(
    State(state): State<AppState>,
    ServicePath(place): ServicePath,
    Params(mut query): Params<LogQuery>,
) -> Result<Response, Refusal> {
    if query.tail.is_some_and(|tail| tail > TAIL_MAX) {
        return Err(Refusal::new(Code::QueryInvalid, format!("tail is at most {TAIL_MAX}")));
    }
    if query.tail.is_none() && query.since.is_none() {
        query.tail = Some(TAIL_DEFAULT);
    }
    let service = transaction::read(&state, move |view| Ok(lookup::service(view, &place)?.id)).await?;
    let entries = state.streams.logs(service, query).await?;
    let keep_alive = state.limits.keep_alive;
    lines::respond(&state, move |lines| async move { lines::pass_on(&lines, entries, keep_alive).await })
}
