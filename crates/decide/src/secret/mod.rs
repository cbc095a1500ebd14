//! What of a text must not be seen, and which values are fetched from where. Tests at the end of the files, and `tests/it/secret.rs`.

pub mod provider;
pub mod redact;
