//! Registries: what proves there who pulls, and how many pulls are left. Passwords go in and never come out; what pulls is the engine.

pub mod list;
pub mod remove;
pub mod set;
