//! Dockerfiles on this machine: reviews them. Talks to no server.

pub(crate) mod check;
mod paths;
