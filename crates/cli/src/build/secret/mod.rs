//! `havre build secret`: secrets that steps of builds may mount.

pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod set;

use havre_core::name::{BuildSecretName, ProjectName};

/// Path in the API.
fn path(project: &ProjectName, name: &BuildSecretName) -> String {
    format!("/v1/projects/{project}/build-secrets/{name}")
}
