//! The program itself against a fake server on a Unix socket: exit codes, both outputs, reconnecting.

mod context;
mod dockerfile;
mod follow;
mod job;
mod promote;
mod reach;
mod restore;
mod session;
mod ssh_key;
mod stack;
mod stream;
mod world;
