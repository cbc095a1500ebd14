//! Builds: an uploaded context or a named image on its way to an artifact.

use havre_core::artifact::ImageRef;
use havre_core::build::State;
use havre_core::id::{BuildId, ServiceId};
use havre_core::name::BuildSecretName;
use havre_core::service::Place;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Query of `POST .../builds`. Without `image` the body is the context as a plain tar stream; with it the body is
/// empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct CreateBuildQuery {
    /// Commit the context was made from; becomes `SOURCE_COMMIT`. At most 64 visible ASCII characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Deploy this image instead of what the configuration names, this one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Build {
    /// Its id.
    #[schema(value_type = String, example = "b4")]
    pub id: BuildId,
    /// Row of the service it is for.
    #[schema(value_type = String, example = "s2")]
    pub service_id: ServiceId,
    /// Names of project, environment and service.
    #[schema(value_type = crate::service::PlaceSchema)]
    pub place: Place,
    /// Configuration revision it is made for.
    pub revision: u64,
    /// Commit the client named, empty when unknown.
    pub commit: String,
    /// Where it stands; `state.state` is its name.
    #[schema(value_type = Object, example = json!({"state": "queued"}))]
    pub state: State,
    /// Base images it was made from, with the digest each tag meant then; absent before its end, for an image by name, and where
    /// they were not told (an image only the server has).
    #[schema(value_type = Vec<String>, example = json!(["docker.io/library/node:22@sha256:…"]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<ImageRef>,
    /// Why it does not go on right now, for people; empty when it does.
    pub waiting: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Answer to `POST .../builds` (202): follow it by `GET /v1/builds/{build}/log?follow=true`, then by the deployment
/// its final state names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildAccepted {
    /// The build.
    pub build: Build,
}

/// Builds of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildList {
    /// Newest first.
    pub builds: Vec<Build>,
}

/// One line of `GET /v1/builds/{build}/log`, and of the log file on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildLogLine {
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Step of the Dockerfile it belongs to, empty for Havre's own lines.
    pub step: String,
    /// The line, without escape sequences or line end.
    pub text: String,
}

/// A secret of builds, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildSecret {
    /// Its name: the `id` of `RUN --mount=type=secret`.
    #[schema(value_type = String, example = "NPM_TOKEN")]
    pub name: BuildSecretName,
    /// When its value was last set.
    #[schema(value_type = String, format = DateTime)]
    pub set_at: Timestamp,
}

/// The secrets of builds of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildSecretList {
    /// By name.
    pub secrets: Vec<BuildSecret>,
}

/// Sets the value of a secret of builds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBuildSecretRequest {
    /// 8 to 65536 bytes of text. Never shown again.
    pub value: String,
}

impl std::fmt::Debug for SetBuildSecretRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetBuildSecretRequest").finish_non_exhaustive()
    }
}
