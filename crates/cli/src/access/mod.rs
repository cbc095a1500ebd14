//! Access tokens of the HTTP API. They are made on the server's own machine only.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod password;
pub(crate) mod revoke;
