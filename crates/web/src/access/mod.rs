//! Who may do what: the one place where requests are let in, and the tokens that let them in.

pub mod create;
pub mod list;
pub mod revoke;

pub(crate) mod gate;
pub(crate) mod secret;
