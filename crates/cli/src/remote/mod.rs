//! `havre remote`: where the repository of a project is fetched from, and whether its forge is told what becomes of commits.

pub(crate) mod remove;
pub(crate) mod set;
pub(crate) mod show;

use havre_api::remote::Remote;
use havre_core::name::ProjectName;

/// Path in the API.
fn path(project: &ProjectName) -> String {
    format!("/v1/projects/{project}/remote")
}

/// Whether the forge is told what becomes of commits, on one line.
fn telling(remote: &Remote) -> String {
    let status = &remote.status;
    match (status.is_on, status.forge, &status.obstacle) {
        (true, Some(forge), _) => {
            let how = if status.has_token { ", with a token of its own" } else { "" };
            format!("{forge} is told what becomes of commits{how}")
        }
        (_, _, Some(obstacle)) => format!("the forge is not told what becomes of commits: {obstacle}"),
        _ => "the forge is not told what becomes of commits".to_owned(),
    }
}
