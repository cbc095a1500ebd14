//! `POST .../databases/{database}/copies`: the database of this name in another environment, copied into this one; the loop does it.
//! Tests: `tests/it/copy.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::copy::{CopyRequest, CopyResponse};
use havre_api::error::ErrorBody;
use havre_core::copy::{Origin, POLICY_MAX, Wish, check_fit};
use havre_core::database::Database;
use havre_core::name::EnvironmentName;
use havre_privacy::policy::Policy;
use havre_store::{NewCopy, StoreError, View};
use http::StatusCode;

use crate::access::gate::Caller;
use crate::copy::{unfit, wire};
use crate::error::{Code, Refusal};
use crate::extract::{DatabasePath, Input};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Copy the database of this name out of another environment, masked by `privacy.toml`. It goes into a fresh database, which takes the place
/// of the present one only once all of it is there and nothing speaks against it.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/copies",
    tag = "copy", operation_id = "copy_database",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "staging"),
        ("database" = String, Path, example = "db")),
    request_body = CopyRequest,
    responses(
        (status = 202, body = CopyResponse),
        (status = 200, body = CopyResponse, description = "A dry run"),
        (status = 400, body = ErrorBody, description = "`confirm_missing`"),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `database_not_found`"),
        (status = 409, body = ErrorBody, description = "`copy_running`, `being_destroyed` or `no_master_key`"),
        (status = 422, body = ErrorBody, description = "`copy_refused` or `policy_invalid`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
    Input(request): Input<CopyRequest>,
) -> Result<(StatusCode, Json<CopyResponse>), Refusal> {
    if let Some(text) = &request.policy {
        check_policy(text)?;
    }
    if request.dry_run {
        let warnings = transaction::read(&state, move |view| {
            let (_, target, wish) = plan(view, path, request)?;
            Ok(warnings(&target, &wish))
        });
        let warnings = warnings.await?;
        return Ok((StatusCode::OK, Json(CopyResponse { dry_run: true, warnings, copy: None })));
    }
    let answer = transaction::write(&state, actor, move |tx| {
        check_confirmed(&path, &request)?;
        let (source, target, wish) = plan(tx, path, request)?;
        let warnings = warnings(&target, &wish);
        let origin = Origin::Database { id: source.id, environment: source.environment_name };
        let copy = tx.request_copy(NewCopy { origin, target: target.id, wish })?;
        Ok(CopyResponse { dry_run: false, warnings, copy: Some(wire(tx, copy)?) })
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}

/// Reads the rules, so that a mistake in them is told at once.
pub(crate) fn check_policy(text: &str) -> Result<Policy, Refusal> {
    if text.len() > POLICY_MAX {
        return Err(Refusal::new(Code::PolicyInvalid, format!("privacy.toml is over {POLICY_MAX} bytes")));
    }
    Policy::parse(text).map_err(|error| {
        Refusal::new(Code::PolicyInvalid, format!("privacy.toml has problems\n\n{error}"))
            .hint("nothing was changed")
    })
}

/// What is there in production is replaced by a mistake only once its name was said again.
fn check_confirmed(path: &DatabasePath, request: &CopyRequest) -> Result<(), Refusal> {
    let name = path.database.as_str();
    if path.environment != EnvironmentName::production() || request.confirm.as_deref() == Some(name) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::ConfirmMissing,
        format!("to replace `{name}` of production, its name must be given again"),
    )
    .hint(format!("look at it with `dry_run` first, then send `confirm` with `{name}`")))
}

/// The two databases and how it is made, where nothing speaks against it.
fn plan(
    view: &View<'_>,
    path: DatabasePath,
    request: CopyRequest,
) -> Result<(Database, Database, Wish), Refusal> {
    let target = lookup::database(view, &path)?;
    let from = DatabasePath { environment: request.from, ..path };
    let source = lookup::database(view, &from)?;
    let wish = Wish {
        policy: request.policy,
        drop_old: request.drop_old,
        accept_leaks: request.accept_leaks,
        beside: None,
    };
    check_fit(&source, &target, &wish, request.unmasked).map_err(unfit)?;
    for database in [&source, &target] {
        if database.state.is_destroying() {
            return Err(StoreError::BeingDestroyed { place: database.place() }.into());
        }
    }
    Ok((source, target, wish))
}

fn warnings(target: &Database, wish: &Wish) -> Vec<String> {
    let place = target.place();
    let mut warnings = vec![format!(
        "services that use {place} lose their connections for some seconds when the copy takes its place"
    )];
    if wish.drop_old {
        warnings.push(format!("what {place} holds now is dropped then"));
    }
    if wish.policy.is_none() {
        warnings.push("personal data is copied as it is".to_owned());
    }
    warnings
}
