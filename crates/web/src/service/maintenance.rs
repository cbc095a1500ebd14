//! `POST .../services/{service}/maintenance`: users get a page instead of a service, without a deployment; or get it
//! again. The secret that passes is shown this one time and kept as a digest. Tests: `tests/it/service.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::service::{MaintenanceRequest, MaintenanceResponse};
use havre_core::route::settings::auth::SecretDigest;
use havre_core::service::Maintenance;
use sha2::{Digest as _, Sha256};

use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{Input, ServicePath};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Start or end maintenance.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/services/{service}/maintenance",
    tag = "service", operation_id = "set_maintenance",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api")),
    request_body = MaintenanceRequest,
    responses(
        (status = 200, body = MaintenanceResponse),
        (status = 404, body = ErrorBody, description = "`not_found`"),
    ))]
pub(crate) async fn maintenance(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ServicePath(place): ServicePath,
    Input(request): Input<MaintenanceRequest>,
) -> Result<Json<MaintenanceResponse>, Refusal> {
    let secret: String = (state.entropy)()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let bypass = SecretDigest::new(Sha256::digest(secret.as_bytes()).into());
    let wanted = request.on.then(|| Maintenance { since: state.now(), bypass });
    let before = transaction::write(&state, actor, move |tx| {
        let service = lookup::usable_service(tx, &place)?;
        tx.set_maintenance(service.id, wanted.as_ref())?;
        Ok(service.maintenance.is_some())
    });
    let was_on = before.await?;
    Ok(Json(MaintenanceResponse { was_on, on: request.on, bypass: request.on.then_some(secret) }))
}
