//! `POST /v1/projects/{project}/secrets`: gives secrets values, and running services the new ones, by a new release of the
//! artifact they run. Tests: `tests/it/secret.rs`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use havre_api::deployment::Deployment;
use havre_api::error::ErrorBody;
use havre_api::secret::{SetSecretsRequest, SetSecretsResponse};
use havre_core::deployment::Kind;
use havre_core::id::ServiceId;
use havre_core::name::{EnvKey, EnvironmentName, ProjectName};
use havre_core::secret::Secret;
use havre_core::secret::value::{SET_MAX, parse_value};
use havre_core::secret::variables::secrets_of;
use havre_core::service::Service;
use havre_core::task::spec::is_own_variable;
use havre_store::{NewRelease, Tx};

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{Input, ProjectPath};
use crate::secret::wire_used;
use crate::state::AppState;
use crate::{deployment, transaction};

/// Set secrets of a project, or of one environment of it: all of them or none.
#[utoipa::path(post, path = "/v1/projects/{project}/secrets", tag = "secret", operation_id = "set_secrets",
    params(("project" = String, Path, example = "dropit")),
    request_body = SetSecretsRequest,
    responses(
        (status = 200, body = SetSecretsResponse),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`secret_invalid`"),
    ))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ProjectPath(project): ProjectPath,
    Input(request): Input<SetSecretsRequest>,
) -> Result<Json<SetSecretsResponse>, Refusal> {
    let SetSecretsRequest { environment, secrets, no_restart } = request;
    let values = check(secrets)?;
    let answer = transaction::write(&state, actor, move |tx| {
        let mut answer = record(tx, &project, environment.as_ref(), &values)?;
        if !no_restart {
            answer.deployments = restart(tx, &project, environment.as_ref(), &answer)?;
        }
        Ok(answer)
    });
    Ok(Json(answer.await?))
}

fn check(secrets: BTreeMap<EnvKey, String>) -> Result<BTreeMap<EnvKey, Secret>, Refusal> {
    let invalid = |message: String| Refusal::new(Code::SecretInvalid, message);
    if secrets.is_empty() || secrets.len() > SET_MAX {
        return Err(invalid(format!(
            "1 to {SET_MAX} secrets are set at once, and here are {}",
            secrets.len()
        )));
    }
    let mut values = BTreeMap::new();
    for (name, text) in secrets {
        if is_own_variable(name.as_str()) {
            return Err(invalid(format!("Havre sets the variable {name} itself")).hint("choose another name"));
        }
        let value = parse_value(text).map_err(|error| invalid(format!("{name}: {error}")))?;
        values.insert(name, value);
    }
    Ok(values)
}

fn record(
    tx: &mut Tx<'_>,
    project: &ProjectName,
    environment: Option<&EnvironmentName>,
    values: &BTreeMap<EnvKey, Secret>,
) -> Result<SetSecretsResponse, Refusal> {
    let (mut secrets, mut unchanged) = (Vec::new(), Vec::new());
    for (name, value) in values {
        if tx.holds_secret(project, environment, name, value)? {
            unchanged.push(name.clone());
            continue;
        }
        let row = tx.set_secret(project, environment, name, value)?;
        secrets.push(wire_used(tx, row)?);
    }
    Ok(SetSecretsResponse { secrets, unchanged, deployments: Vec::new() })
}

/// Gives every service whose live release starts with one of them the new values: the same artifact and configuration.
fn restart(
    tx: &mut Tx<'_>,
    project: &ProjectName,
    environment: Option<&EnvironmentName>,
    set: &SetSecretsResponse,
) -> Result<Vec<Deployment>, Refusal> {
    let mut services: BTreeMap<ServiceId, Service> = BTreeMap::new();
    for used in &set.secrets {
        for service in tx.list_secret_users(project, environment, &used.secret.name)? {
            services.insert(service.id, service);
        }
    }
    let mut deployments = Vec::new();
    for service in services.into_values() {
        let Some(live) = service.live else { continue };
        let live = tx.get_release(live)?;
        let names = live.spec.tasks().map(secrets_of).unwrap_or_default();
        if !set.secrets.iter().any(|used| names.contains(&used.secret.name)) {
            // Only what is not deployed yet names it.
            continue;
        }
        let new = NewRelease {
            service: service.id,
            artifact: live.artifact,
            spec: live.spec,
            revision: live.revision,
            build: live.build,
            commit: live.commit,
        };
        let release = tx.create_release(new)?;
        let row = tx.create_deployment(service.id, release.id, Kind::Restart)?;
        deployments.push(deployment::wire(tx, row, service.place)?);
    }
    Ok(deployments)
}
