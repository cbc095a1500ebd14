//! `havre preview`: environments of pull requests.

pub(crate) mod close;
pub(crate) mod list;
pub(crate) mod open;

use havre_core::name::ProjectName;
use havre_core::preview::PullNumber;

/// Path of something that is done to one of them.
fn path(project: &ProjectName, number: PullNumber, verb: &str) -> String {
    format!("/v1/projects/{project}/previews/{number}/{verb}")
}
