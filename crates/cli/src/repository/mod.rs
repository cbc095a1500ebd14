//! `havre repository`: what is in the repository of the project, and which branches are protected.

pub(crate) mod protect;
pub(crate) mod show;

use havre_core::name::ProjectName;

/// Path in the API.
fn path(project: &ProjectName) -> String {
    format!("/v1/projects/{project}/repository")
}
