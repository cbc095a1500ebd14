//! `POST .../databases/{database}/swaps`: another database takes the name, or a new one of a newer version does. Tests: `tests/it/swap.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::swap::{SwapRequest, SwapResponse};
use havre_core::backup::policy::{self, BackupPolicy};
use havre_core::database::Database;
use havre_core::database::spec::DATABASES_MAX;
use havre_core::name::{EnvironmentName, TargetName};
use havre_decide::swap::{check_exchange, upgraded};
use havre_store::{NewSwap, Swapping, View};
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{DatabasePath, Input};
use crate::state::AppState;
use crate::swap::{unfit, wire};
use crate::{lookup, transaction};

/// Swap a database with another one of its environment, or upgrade it to a newer major version. Services lose it first, so that nothing is written
/// that would be missing later; the one that takes the name gets them by a deployment of each. The one that had it stays under another name.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/databases/{database}/swaps",
    tag = "database", operation_id = "swap_database",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production"),
        ("database" = String, Path, example = "db")),
    request_body = SwapRequest,
    responses(
        (status = 202, body = SwapResponse),
        (status = 200, body = SwapResponse, description = "A dry run"),
        (status = 400, body = ErrorBody, description = "`body_invalid` or `confirm_missing`"),
        (status = 404, body = ErrorBody,
            description = "`environment_not_found`, `database_not_found` or `backup_target_not_found`"),
        (status = 409, body = ErrorBody,
            description = "`swap_running`, `swap_refused`, `rotation_running`, `backup_running`, `database_in_use`, `no_backup_target` or \
                `being_destroyed`"),
        (status = 422, body = ErrorBody, description = "`spec_invalid`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: DatabasePath,
    Input(request): Input<SwapRequest>,
) -> Result<(StatusCode, Json<SwapResponse>), Refusal> {
    if request.dry_run {
        let warnings = transaction::read(&state, move |view| {
            let (new, warnings) = plan(view, path, request)?;
            view.check_swap(&new)?;
            Ok(warnings)
        });
        let warnings = warnings.await?;
        return Ok((StatusCode::OK, Json(SwapResponse { dry_run: true, warnings, swap: None })));
    }
    let answer = transaction::write(&state, actor, move |tx| {
        check_confirmed(&path, &request)?;
        let (new, warnings) = plan(tx, path, request)?;
        let swap = tx.request_swap(&new)?;
        Ok(SwapResponse { dry_run: false, warnings, swap: Some(wire(tx, swap)?) })
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}

/// Services of production lose their database by a mistake only once its name was said again.
fn check_confirmed(path: &DatabasePath, request: &SwapRequest) -> Result<(), Refusal> {
    let name = path.database.as_str();
    if path.environment != EnvironmentName::production() || request.confirm.as_deref() == Some(name) {
        return Ok(());
    }
    let text = format!("to swap `{name}` of production, its name must be given again");
    Err(Refusal::new(Code::ConfirmMissing, text)
        .hint(format!("look at it with `dry_run` first, then send `confirm` with `{name}`")))
}

/// What takes the name, and what people should know.
fn plan(
    view: &View<'_>,
    path: DatabasePath,
    request: SwapRequest,
) -> Result<(NewSwap, Vec<String>), Refusal> {
    let front = lookup::database(view, &path)?;
    let name = &front.spec.name;
    match (request.with, request.version) {
        (Some(with), None) => {
            let other = lookup::database(view, &DatabasePath { database: with, ..path })?;
            check_exchange(&front.spec, &other.spec).map_err(unfit)?;
            let warnings = vec![
                format!("services lose {name} at once, and get the other one when they are deployed again"),
                format!(
                    "what is in {name} and not in {} is not in {name} afterwards: it stays in the old one, under another name",
                    other.spec.name
                ),
            ];
            Ok((NewSwap { front: front.id, with: Swapping::With(other.id) }, warnings))
        }
        (None, Some(version)) => {
            upgraded(&front.spec, version, name).map_err(unfit)?;
            if view.list_environment_databases(front.environment)?.len() >= DATABASES_MAX {
                let text = format!("an environment has at most {DATABASES_MAX} databases");
                return Err(Refusal::new(Code::SpecInvalid, text));
            }
            let target = target(view, &front, request.target)?;
            let warnings = vec![
                format!(
                    "services can neither read nor write {name} while it is saved to {target}, restored, and until they are deployed again"
                ),
                format!("write `version = {version}` in havre.toml once it has succeeded"),
            ];
            Ok((NewSwap { front: front.id, with: Swapping::Upgrade { version, target } }, warnings))
        }
        (Some(_), Some(_)) | (None, None) => {
            let text = "either `with` names another database, or `version` says what to upgrade to";
            Err(Refusal::new(Code::BodyInvalid, text))
        }
    }
}

/// Where the backup of an upgrade goes.
fn target(view: &View<'_>, front: &Database, named: Option<TargetName>) -> Result<TargetName, Refusal> {
    if let Some(name) = named {
        view.get_backup_target(&name)?;
        return Ok(name);
    }
    let policy = policy::of_database(front).cloned().unwrap_or_else(BackupPolicy::of_postgres);
    let mut names = view.list_backup_targets()?.into_iter().map(|target| target.spec.name);
    names.find(|name| policy.goes_to(name)).ok_or_else(|| {
        Refusal::new(Code::NoBackupTarget, "an upgrade needs a backup, and there is no backup target for it")
            .hint("set one on the server with `havre backup target set NAME --folder PATH --medium MEDIUM`")
    })
}
