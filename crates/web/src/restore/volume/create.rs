//! `POST .../volumes/{volume}/restores`: a new volume out of a snapshot. Tests: `tests/it/volume.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::volume::{CreateVolumeRestoreRequest, CreateVolumeRestoreResponse};
use havre_core::name::VolumeName;
use havre_rescue::restore::Point;
use havre_rescue::volume::free_name;
use havre_store::{NewVolumeRestore, StoreError, View};
use http::StatusCode;

use super::{chosen, find_points, wire};
use crate::access::gate::Caller;
use crate::error::Refusal;
use crate::extract::{Input, VolumePath};
use crate::lookup;
use crate::restore::{wanted, wire_point};
use crate::state::AppState;
use crate::transaction;

/// Restore a snapshot into a new volume of the same service. The one that was saved stays as it is. The service uses the new one once its
/// configuration says so and it is deployed.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/services/{service}/volumes/{volume}/restores",
    tag = "restore", operation_id = "create_volume_restore", request_body = CreateVolumeRestoreRequest,
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("service" = String, Path, example = "api"), ("volume" = String, Path, example = "uploads")),
    responses(
        (status = 202, body = CreateVolumeRestoreResponse),
        (status = 200, body = CreateVolumeRestoreResponse, description = "A dry run"),
        (status = 404, body = ErrorBody,
            description = "`environment_not_found`, `service_not_found` or `snapshot_not_found`"),
        (status = 409, body = ErrorBody,
            description = "`name_taken`, `nothing_live`, `being_destroyed` or `too_many_restores`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: VolumePath,
    Input(request): Input<CreateVolumeRestoreRequest>,
) -> Result<(StatusCode, Json<CreateVolumeRestoreResponse>), Refusal> {
    if request.dry_run {
        let answer = transaction::read(&state, move |view| {
            let (point, volume) = plan(view, &path, request)?;
            Ok(answer(&point, volume))
        });
        return Ok((StatusCode::OK, Json(answer.await?)));
    }
    let done = transaction::write(&state, actor, move |tx| {
        let (point, volume) = plan(tx, &path, request)?;
        let mut answer = answer(&point, volume.clone());
        let service = lookup::usable_service(tx, &path.place)?.id;
        let (source, target, manifest) = (path.volume.clone(), point.target, point.manifest);
        let new = NewVolumeRestore { service, source, volume, target, manifest };
        answer.dry_run = false;
        answer.restore = Some(wire(tx.create_volume_restore(&new)?));
        Ok(answer)
    });
    Ok((StatusCode::ACCEPTED, Json(done.await?)))
}

fn answer(point: &Point, volume: VolumeName) -> CreateVolumeRestoreResponse {
    CreateVolumeRestoreResponse { dry_run: true, point: wire_point(point), volume, restore: None }
}

/// What comes back, and into what.
fn plan(
    view: &View<'_>,
    path: &VolumePath,
    request: CreateVolumeRestoreRequest,
) -> Result<(Point, VolumeName), Refusal> {
    let CreateVolumeRestoreRequest { snapshot, at, name, dry_run: _ } = request;
    let point = chosen(&find_points(view, path)?, &wanted(snapshot, at)?, path)?;
    let service = lookup::usable_service(view, &path.place)?;
    // The engine reaches a volume by the image of a release.
    lookup::live(view, &service)?;
    let taken = view.list_volumes(&service)?;
    match name {
        Some(name) if taken.contains(&name) => {
            Err(StoreError::NameTaken { kind: "volume", name: name.to_string() }.into())
        }
        Some(name) => Ok((point, name)),
        None => Ok((point, free_name(&path.volume, |name| taken.contains(name)))),
    }
}
