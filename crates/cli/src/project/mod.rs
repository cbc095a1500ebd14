//! Projects on this machine: a first `havre.toml`.

pub(crate) mod detect;
mod dockerfile;
pub(crate) mod init;
