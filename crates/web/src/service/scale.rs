//! `POST .../services/{service}/scale`: another number of tasks for the live release.
//! Tests: `tests/it/service.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::service::{ScaleRequest, ScaleResponse};
use havre_core::service::Service;
use havre_core::service::spec::defaults;
use havre_store::StoreError;
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{Input, ServicePath};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Change the number of tasks.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/services/{service}/scale",
    tag = "service", operation_id = "scale_service",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api")),
    request_body = ScaleRequest,
    responses(
        (status = 202, body = ScaleResponse),
        (status = 200, body = ScaleResponse, description = "A dry run"),
        (status = 409, body = ErrorBody, description = "`not_scalable`"),
        (status = 422, body = ErrorBody, description = "`spec_invalid`"),
    ))]
pub(crate) async fn scale(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ServicePath(place): ServicePath,
    Input(request): Input<ScaleRequest>,
) -> Result<(StatusCode, Json<ScaleResponse>), Refusal> {
    let dry_run = request.dry_run;
    if dry_run {
        let answer =
            transaction::read(&state, move |view| plan(&lookup::usable_service(view, &place)?, &request));
        return Ok((StatusCode::OK, Json(answer.await?)));
    }
    let answer = transaction::write(&state, actor, move |tx| {
        let service = lookup::usable_service(tx, &place)?;
        let answer = plan(&service, &request)?;
        tx.scale_service(service.id, request.replicas)?;
        Ok(answer)
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}

fn plan(service: &Service, request: &ScaleRequest) -> Result<ScaleResponse, Refusal> {
    let Some(work) = service.spec.tasks() else {
        return Err(StoreError::NotScalable { place: service.place.clone() }.into());
    };
    if request.replicas > defaults::REPLICAS_MAX {
        let message =
            format!("{} replicas are too many: at most {}", request.replicas, defaults::REPLICAS_MAX);
        return Err(Refusal::new(Code::SpecInvalid, message));
    }
    if !work.volumes.is_empty() && request.replicas > 1 {
        let message = format!("{} has a volume: two tasks would write to it at once", service.place);
        return Err(Refusal::new(Code::NotScalable, message).hint("it can have one task, or none"));
    }
    let mut warnings = Vec::new();
    if request.replicas == 0 {
        warnings.push("no task is left: its routes answer 503 until it is scaled up again".to_owned());
    }
    if service.live.is_none() {
        warnings
            .push("no release is live yet: the first deployment brings its own number of tasks".to_owned());
    }
    if work.replicas != request.replicas {
        warnings.push(format!(
            "havre.toml says {}; a deployment that changes that number there replaces this one",
            work.replicas
        ));
    }
    Ok(ScaleResponse { dry_run: request.dry_run, from: service.replicas, to: request.replicas, warnings })
}
