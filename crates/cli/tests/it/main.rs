//! The program itself against a fake server on a Unix socket: exit codes, both outputs, reconnecting.

mod context;
mod follow;
mod job;
mod reach;
mod session;
mod stream;
mod world;
