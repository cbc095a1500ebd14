//! Projects: groups of environments.

use havre_core::name::{EnvironmentName, ProjectName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectList {
    /// By name.
    pub projects: Vec<Project>,
}

/// One project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its name.
    #[schema(value_type = String, example = "dropit")]
    pub name: ProjectName,
    /// By name.
    #[schema(value_type = Vec<String>, example = json!(["production", "staging"]))]
    pub environments: Vec<EnvironmentName>,
}
