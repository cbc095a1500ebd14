//! `havre remote`: where the repository of a project is fetched from.

pub(crate) mod remove;
pub(crate) mod set;
pub(crate) mod show;

use havre_core::name::ProjectName;

/// Path in the API.
fn path(project: &ProjectName) -> String {
    format!("/v1/projects/{project}/remote")
}
