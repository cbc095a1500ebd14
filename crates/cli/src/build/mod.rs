//! Build contexts: what belongs into one by Docker's rules, and its way to the server.

pub(crate) mod archive;
pub(crate) mod commit;
pub(crate) mod ignore;
pub(crate) mod pattern;
pub(crate) mod walk;
