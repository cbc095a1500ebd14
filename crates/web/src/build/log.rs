//! `GET /v1/builds/{build}/log`: the kept log, and what is added while the build goes on. The file is written by the
//! build loop, one `BuildLogLine` on each line; complete lines are passed on as they are. Tests: `tests/it/build.rs`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use havre_api::build::BuildLogLine;
use havre_api::error::ErrorBody;
use havre_core::id::BuildId;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::error::{Code, Refusal};
use crate::extract::{BuildPath, Params};
use crate::lines::{self, Broken, Lines};
use crate::state::AppState;
use crate::{lookup, transaction};

/// How often a growing file is looked at: people cannot read faster.
const LOOK: Duration = Duration::from_millis(150);
/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// Longest line passed on; writers cut far below this.
const LINE_MAX: usize = 256 * 1024;

/// Query of `GET /v1/builds/{build}/log`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct BuildLogQuery {
    /// Stay connected until the build has ended.
    follow: bool,
}

/// The log of a build, as JSON lines.
#[utoipa::path(get, path = "/v1/builds/{build}/log", tag = "build", operation_id = "get_build_log",
    params(("build" = String, Path, example = "b4"), BuildLogQuery),
    responses(
        (status = 200, body = BuildLogLine, content_type = "application/x-ndjson"),
        (status = 404, body = ErrorBody, description = "`build_not_found`"),
    ))]
pub(crate) async fn log(
    State(state): State<AppState>,
    BuildPath(id): BuildPath,
    Params(query): Params<BuildLogQuery>,
) -> Result<Response, Refusal> {
    transaction::read(&state, move |view| lookup::build(view, id).map(|_| ())).await?;
    let path = state.build_log_dir.join(format!("{id}.log"));
    let inner = state.clone();
    lines::respond(&state, move |lines| async move { copy(&inner, &lines, path, id, query.follow).await })
}

async fn copy(
    state: &AppState,
    lines: &Lines,
    path: PathBuf,
    id: BuildId,
    follow: bool,
) -> Result<(), Broken> {
    let mut tail = Tail { path, file: None, position: 0, partial: Vec::new() };
    let mut last_sent = Instant::now();
    loop {
        // Asked before reading: what was written before the end is then read for certain.
        let is_over = !follow || is_over(state, id).await?;
        while let Some(complete) = tail.read().await? {
            if !complete.is_empty() {
                lines.send_raw(complete).await?;
                last_sent = Instant::now();
            }
        }
        if is_over {
            return Ok(());
        }
        if last_sent.elapsed() >= state.limits.keep_alive {
            lines.keep_alive().await?;
            last_sent = Instant::now();
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn is_over(state: &AppState, id: BuildId) -> Result<bool, Refusal> {
    Ok(state.store.read(move |view| Ok(view.get_build(id)?.state.is_final())).await?)
}

/// The complete lines of a growing file.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of the file read so far.
    position: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// The next complete lines; `None` at the present end of the file, or while there is none.
    async fn read(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.file.is_none() {
            self.file = match File::open(&self.path).await {
                Ok(file) => Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Refusal::internal("open a build log", &error)),
            };
        }
        let Some(file) = &mut self.file else { return Ok(None) };
        let mut chunk = vec![0; CHUNK];
        let failed = |error: std::io::Error| Refusal::internal("read a build log", &error);
        let count = file.read(&mut chunk).await.map_err(failed)?;
        if count == 0 {
            // A build that ran when control ended is run again, with a fresh log.
            if file.metadata().await.map_err(failed)?.len() < self.position {
                (self.file, self.position) = (None, 0);
                self.partial.clear();
            }
            return Ok(None);
        }
        self.position += count as u64;
        self.partial.extend_from_slice(&chunk[..count]);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            if self.partial.len() > LINE_MAX {
                return Err(Refusal::new(Code::Internal, "the kept log of this build is damaged"));
            }
            return Ok(Some(Bytes::new()));
        };
        let rest = self.partial.split_off(end + 1);
        Ok(Some(std::mem::replace(&mut self.partial, rest).into()))
    }
}
