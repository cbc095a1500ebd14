//! What limits of registries mean: how many pulls are left, and when to wait. Tests: `tests/it/registry.rs` of `core`.

pub mod limit;
