//! `havre registry`: what proves to registries who pulls, and how many pulls are left.

pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod set;

use havre_core::registry::RegistryHost;

/// Path in the API.
fn path(host: &RegistryHost) -> String {
    format!("/v1/registries/{host}")
}
