//! `havre ssh-key`: keys by which people push over SSH. They are handled on the server's own machine only.

pub(crate) mod add;
pub(crate) mod list;
pub(crate) mod remove;

/// Path in the API.
const PATH: &str = "/v1/ssh-keys";
