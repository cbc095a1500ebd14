//! HTTPS towards clients: the handshake (`handshake`), what it may negotiate (`settings`), and resumption that
//! survives workers and restarts (`ticket`). Towards applications all of it is in `upstream`. Bytes after the handshake are `stream`'s, certificates `certificate`'s.
//! Tests: `tests/it/tls.rs`.

pub(crate) mod handshake;
pub mod settings;
pub mod ticket;
pub(crate) mod upstream;
