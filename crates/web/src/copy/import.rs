//! `POST .../databases/{database}/imports`: a dump that somebody sends, as frames, into a fresh database that takes the place of an empty one or
//! gets a name of its own. Tests: `tests/it/copy_stream.rs`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use havre_api::copy::{Copy, ImportQuery};
use havre_api::error::ErrorBody;
use havre_api::frame::{Decoder, Frame, FrameError};
use havre_core::copy::{Origin, Wish, check_postgres};
use havre_core::database::Database;
use havre_core::name::DatabaseName;
use havre_decide::copy::sql::MAINTENANCE;
use havre_store::NewCopy;
use http::StatusCode;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;

use crate::access::gate::Caller;
use crate::copy::{unfit, wire};
use crate::error::{Code, Refusal};
use crate::extract::{DatabasePath, Params};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Pieces on their way; a server that is slow slows the client.
const PIECES: usize = 16;

/// Take a dump in: into a database that is empty, or under a new name beside it. Never over what is there.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/imports",
    tag = "copy", operation_id = "import_database",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "staging"),
        ("database" = String, Path, example = "db"), ImportQuery),
    request_body(content = Vec<u8>, content_type = "application/x-havre-frames",
        description = "What pg_dump wrote, as text or in custom format, as frames"),
    responses(
        (status = 202, body = Copy, description = "It is there, or is refused already: `state` says so, and goes on"),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
        (status = 408, body = ErrorBody, description = "`upload_stalled`"),
        (status = 409, body = ErrorBody, description = "`copy_running` or `being_destroyed`"),
        (status = 422, body = ErrorBody, description = "`copy_refused`"),
    ))]
pub(crate) async fn import(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
    Params(query): Params<ImportQuery>,
    request: Request,
) -> Result<(StatusCode, Json<Copy>), Refusal> {
    let slot = state.slot()?;
    let copy = transaction::write(&state, actor, move |tx| {
        let database = lookup::database(tx, &path)?;
        check_postgres(&database).map_err(unfit)?;
        let beside = check_name(&database, query.beside)?;
        let wish = Wish { beside, ..Wish::default() };
        Ok(tx.request_copy(NewCopy { origin: Origin::Upload, target: database.id, wish })?.id)
    });
    let copy = copy.await?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let streams = Arc::clone(&state.streams);
    // Not tied to the request: a client that leaves must not leave half a database.
    tokio::spawn(async move {
        if let Err(error) = streams.import(copy, pieces).await {
            tracing::warn!(%copy, %error, "a dump was not taken in");
        }
        drop(slot);
    });
    feed(state.limits.upload_silence, request.into_body(), sender).await?;
    let answer = transaction::read(&state, move |view| wire(view, view.get_copy(copy)?));
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}

/// A name beside the database is none that every server has.
fn check_name(database: &Database, beside: Option<DatabaseName>) -> Result<Option<DatabaseName>, Refusal> {
    let Some(name) = beside.filter(|name| *name != database.spec.name) else { return Ok(None) };
    if [MAINTENANCE, "template0", "template1"].contains(&name.as_str()) {
        let message = format!("{name} is a database that every PostgreSQL server has by itself");
        return Err(Refusal::new(Code::CopyRefused, message).hint("choose another name"));
    }
    Ok(Some(name))
}

/// Passes the data on as it comes, and its end. Returns then, or once nobody takes more.
async fn feed(silence: Duration, body: Body, sender: mpsc::Sender<Option<Bytes>>) -> Result<(), Refusal> {
    let mut chunks = body.into_data_stream();
    let mut decoder = Decoder::default();
    loop {
        while let Some(frame) = decoder.next_frame().map_err(malformed)? {
            let piece = match frame {
                Frame::Data(bytes) => Some(Bytes::from(bytes)),
                Frame::End => None,
                Frame::Failed(error) => {
                    let message =
                        format!("whoever sends the dump says that it is not whole: {}", error.message);
                    return Err(Refusal::new(Code::BodyInvalid, message));
                }
            };
            let is_end = piece.is_none();
            if sender.send(piece).await.is_err() || is_end {
                return Ok(());
            }
        }
        match tokio::time::timeout(silence, chunks.next()).await {
            Ok(Some(Ok(chunk))) => decoder.push(&chunk),
            Ok(Some(Err(_)) | None) => return Err(malformed(FrameError::NotWhole)),
            Err(_) => {
                let seconds = silence.as_secs();
                let message = format!("nothing came for {seconds} s; nothing was changed");
                return Err(Refusal::new(Code::UploadStalled, message));
            }
        }
    }
}

fn malformed(error: FrameError) -> Refusal {
    Refusal::new(Code::BodyInvalid, format!("the dump cannot be taken in: {error}; nothing was changed"))
}
