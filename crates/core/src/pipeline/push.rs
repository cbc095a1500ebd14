//! What was decided about a moved branch: a pipeline for each environment that follows it, or a reason why nothing follows.
//! Which environment follows is what `havre.toml` says (`havre_manifest::follow`).

use serde::{Deserialize, Serialize};

use crate::id::PipelineId;

/// The branch production follows where `havre.toml` does not say.
pub const DEFAULT_BRANCH: &str = "main";

/// What was decided about a push; kept beside the branch until the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// These pipelines were made.
    Started {
        /// One for each environment that follows the branch.
        pipelines: Vec<PipelineId>,
    },
    /// Nothing follows.
    Ignored {
        /// Why, for people.
        reason: String,
    },
}
