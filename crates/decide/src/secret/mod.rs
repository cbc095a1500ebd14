//! What of a text must not be seen. Tests at the end of the file, and `tests/it/secret.rs`.

pub mod redact;
