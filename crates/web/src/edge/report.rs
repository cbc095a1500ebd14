//! `POST /edge/v1/report`: what an edge serves and sees. Kept in memory; an edge reports again within two seconds.
//! Tests: `tests/it/edge.rs`.

use axum::extract::{Request, State};
use havre_api::edge_report::EdgeReport;
use havre_api::error::ErrorBody;
use http::StatusCode;

use crate::edge::wire;
use crate::error::{Code, Refusal};
use crate::extract::read_body;
use crate::state::AppState;

/// Largest report: some 200 bytes for each of tens of thousands of upstreams.
const REPORT_MAX: usize = 8 * 1024 * 1024;

/// Take an edge's report.
#[utoipa::path(post, path = "/edge/v1/report", tag = "edge", operation_id = "post_report",
    request_body(content = Object, description = "`havre_api::edge_report::EdgeReport`"),
    responses(
        (status = 204),
        (status = 400, body = ErrorBody, description = "`body_invalid` or `name_invalid`"),
        (status = 409, description = "A partial report, and no whole one of this process before it: post a whole one"),
    ))]
pub(crate) async fn report(State(state): State<AppState>, request: Request) -> Result<StatusCode, Refusal> {
    let bytes = read_body(request, REPORT_MAX).await?;
    let report: EdgeReport = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::new(Code::BodyInvalid, format!("the report is wrong: {error}")))?;
    let (edge, traffic, is_partial) = (report.edge.clone(), report.traffic.clone(), report.is_partial);
    let view = wire::view(report, state.now())?;
    if !is_partial {
        state.store.record_edge_report(view);
    } else if !state.store.record_partial_report(view) {
        return Ok(StatusCode::CONFLICT);
    }
    if let Some(traffic) = traffic {
        state.board().record(&edge, state.now(), traffic);
    }
    Ok(StatusCode::NO_CONTENT)
}
