//! Tunnels into databases: opened, and connected through; roles and bytes are handed over by the daemon. Tests: `tests/it/tunnel.rs`.

pub mod connect;
pub mod open;
