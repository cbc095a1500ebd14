//! `POST .../databases/{database}/person/erase`: erases what belongs to one person, in one transaction. Tests: `tests/it/copy_stream.rs`.

use axum::Json;
use axum::extract::State;
use futures_util::StreamExt as _;
use havre_api::copy::{PersonErased, PersonRequest, PersonRows};
use havre_api::error::ErrorBody;
use havre_core::copy::event::PersonAct;
use havre_core::id::DatabaseId;
use havre_core::secret::Secret;

use crate::access::gate::Caller;
use crate::copy::person;
use crate::error::{Code, Refusal};
use crate::extract::{DatabasePath, Input};
use crate::state::AppState;

/// Most bytes of an answer: a line for each table.
const ANSWER_MAX: usize = 1024 * 1024;

/// Erase what belongs to one person, in one transaction; with `dry_run` only count it.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/person/erase",
    tag = "copy", operation_id = "erase_person",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    request_body = PersonRequest,
    responses(
        (status = 200, body = PersonErased),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
        (status = 409, body = ErrorBody, description = "`task_not_running` or `no_master_key`"),
        (status = 422, body = ErrorBody, description = "`copy_refused` or `policy_invalid`"),
        (status = 503, body = ErrorBody, description = "`unavailable`: the server refused, and nothing was changed"),
    ))]
pub(crate) async fn erase(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
    Input(request): Input<PersonRequest>,
) -> Result<Json<PersonErased>, Refusal> {
    let _slot = state.slot()?;
    let rules = person::rules(&request)?;
    let PersonRequest { person: who, dry_run, .. } = request;
    if dry_run {
        let statements = rules.counts(&who).map_err(person::refused)?;
        let told = (PersonAct::Counted, None);
        let database = person::tell(&state, actor, (path, who), told).await?;
        let answer = ask(&state, database.id, person::reading(&statements)).await?;
        return Ok(Json(answered(true, answer)));
    }
    let statements = rules.counted_erasure(&who).map_err(person::refused)?;
    let again = path.clone();
    // Told before as well: should we end in between, the record says that it was asked for.
    let told = (PersonAct::EraseBegun, None);
    let database = person::tell(&state, actor.clone(), (path, who.clone()), told).await?;
    // Not tied to the request: whoever leaves is told of in the record all the same.
    let work = tokio::spawn(async move {
        let answer = answered(false, ask(&state, database.id, person::changing(&statements)).await?);
        let told = (PersonAct::Erased, Some(answer.rows));
        person::tell(&state, actor, (again, who), told).await?;
        Ok::<_, Refusal>(answer)
    });
    let answer = work.await.map_err(|error| Refusal::internal("erase what belongs to a person", &error))?;
    Ok(Json(answer?))
}

fn answered(dry_run: bool, tables: Vec<PersonRows>) -> PersonErased {
    let rows = tables.iter().map(|table| table.rows).sum();
    PersonErased { dry_run, tables, rows }
}

/// Runs all of it; how many rows each statement was about.
async fn ask(state: &AppState, id: DatabaseId, sql: Secret) -> Result<Vec<PersonRows>, Refusal> {
    let mut pieces = state.streams.query(id, sql).await?;
    let mut answer = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            let refusal = Refusal::from(error);
            refusal.hint(
                "nothing was changed, unless the connection broke off at the very end: look with --dry-run",
            )
        })?;
        if answer.len() + piece.len() <= ANSWER_MAX {
            answer.extend_from_slice(&piece);
        }
    }
    let lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let rows = lines.map(serde_json::from_slice).collect::<Result<Vec<PersonRows>, _>>();
    rows.map_err(|_| {
        Refusal::new(Code::Internal, "it was done, but what the server said about it could not be understood")
    })
}
