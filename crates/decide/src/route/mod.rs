//! The route table, derived from rows. Tests: `tests/it/settings.rs`, and all that walk through the simulated world.

pub mod derive;
