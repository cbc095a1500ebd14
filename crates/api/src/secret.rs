//! Secrets of services: set, listed, removed. Values go in; one comes out only where a person asks for that one.

use std::collections::BTreeMap;

use havre_core::event::Actor;
use havre_core::name::{EnvKey, EnvironmentName};
use havre_core::secret::value::SecretVersion;
use havre_core::service::Place;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::deployment::Deployment;

/// A version of a secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretInfo {
    /// Its name, which is that of the variable tasks get.
    #[schema(value_type = String, example = "JWT_SECRET")]
    pub name: EnvKey,
    /// For which environment; absent for every one that has no value of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<EnvironmentName>,
    /// Which value: counted by name, for all environments together.
    #[schema(value_type = u64, example = 3)]
    pub version: SecretVersion,
    /// When it was set.
    #[schema(value_type = String, format = DateTime)]
    pub set_at: Timestamp,
    /// By whom.
    #[schema(value_type = Object, example = json!({"kind": "local"}))]
    pub set_by: Actor,
}

/// The newest version of a secret, and who gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsedSecret {
    /// The version.
    #[serde(flatten)]
    pub secret: SecretInfo,
    /// Services whose configuration or live release names it and that have no value of their own before it.
    #[schema(value_type = Vec<crate::service::PlaceSchema>)]
    pub used_by: Vec<Place>,
}

/// Secrets of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    /// By name; the value for every environment before those of one.
    pub secrets: Vec<UsedSecret>,
}

/// Versions of one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretHistory {
    /// Those that are kept, newest first.
    pub versions: Vec<SecretInfo>,
}

/// Gives secrets values, all of them or none. A value that is the one already stays as it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecretsRequest {
    /// For which environment; left out, for every one that has no value of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<EnvironmentName>,
    /// Values by name, at most 256. Never shown again, but to who asks for one.
    #[schema(value_type = Object, example = json!({"JWT_SECRET": "..."}))]
    pub secrets: BTreeMap<EnvKey, String>,
    /// Leave the new values to the next deployment of each service.
    #[serde(default)]
    pub no_restart: bool,
}

impl std::fmt::Debug for SetSecretsRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetSecretsRequest")
            .field("environment", &self.environment)
            .field("secrets", &self.secrets.keys())
            .field("no_restart", &self.no_restart)
            .finish()
    }
}

/// What setting secrets did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SetSecretsResponse {
    /// Those that have a new version, by name.
    pub secrets: Vec<UsedSecret>,
    /// Those whose value was the same already, by name.
    #[schema(value_type = Vec<String>)]
    pub unchanged: Vec<EnvKey>,
    /// Deployments that give running services the new values, with the artifact they run.
    pub deployments: Vec<Deployment>,
}

/// Query of `DELETE` on a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RemoveSecretQuery {
    /// The value of which environment; left out, the one for every environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, example = "production")]
    pub environment: Option<EnvironmentName>,
    /// Also while services use it.
    pub force: bool,
}

/// Asks for the value of a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevealSecretRequest {
    /// The value of which environment; left out, the one for every environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<EnvironmentName>,
}

/// The value of a secret, for a person's eyes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevealedSecret {
    /// Which version.
    #[serde(flatten)]
    pub secret: SecretInfo,
    /// Its value.
    pub value: String,
}

impl std::fmt::Debug for RevealedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RevealedSecret").field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// What another data key did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotatedKey {
    /// Values that were sealed anew.
    pub values: u64,
}
