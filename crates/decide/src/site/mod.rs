//! Which published sites are kept, and why. Tests: `tests/it/site.rs`.

pub mod retention;
