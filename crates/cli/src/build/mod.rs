//! Build contexts: what belongs into one by Docker's rules (`havre_core::build::ignore`), and its way to the server.

pub(crate) mod archive;
pub(crate) mod commit;
pub(crate) mod walk;
