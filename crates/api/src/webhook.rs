//! Webhooks: which senders may say that something was pushed, and what they are answered. A secret is shown once.

use havre_core::id::{BuildId, PipelineId};
use havre_core::name::ProjectName;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A webhook without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// The project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// Who sends.
    #[schema(example = "github")]
    pub provider: String,
    /// Path of the address the sender calls.
    #[schema(example = "/v1/hooks/dropit/github")]
    pub path: String,
    /// When it was first set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// The webhooks of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookList {
    /// By sender.
    pub webhooks: Vec<Webhook>,
}

/// Gives a project a webhook, or the one it has another secret.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SetWebhookRequest {
    /// The secret both sides know, 16 bytes or more; left out, a fresh one is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl std::fmt::Debug for SetWebhookRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetWebhookRequest").finish_non_exhaustive()
    }
}

/// A webhook with its secret, shown this one time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetWebhookResponse {
    /// The project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// Who sends.
    #[schema(example = "github")]
    pub provider: String,
    /// Path of the address the sender calls.
    #[schema(example = "/v1/hooks/dropit/github")]
    pub path: String,
    /// The secret to enter there.
    pub secret: String,
}

impl std::fmt::Debug for SetWebhookResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetWebhookResponse").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a sender is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum DeliveryAnswer {
    /// The webhook works.
    Pong,
    /// Nothing follows.
    Ignored {
        /// Why, for people.
        reason: String,
    },
    /// These pipelines follow from a push, and these builds from an image.
    Started {
        /// Ids of the pipelines.
        #[schema(value_type = Vec<String>, example = json!(["i7"]))]
        pipelines: Vec<PipelineId>,
        /// Ids of the builds, one for each service that runs the image; the state of a build names its deployment.
        #[schema(value_type = Vec<String>, example = json!(["b12"]))]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        builds: Vec<BuildId>,
        /// Their paths.
        #[schema(example = json!(["/v1/pipelines/i7"]))]
        urls: Vec<String>,
    },
    /// It is looked at; what follows is not known yet.
    Accepted,
}
