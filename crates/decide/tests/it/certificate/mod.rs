//! Certificates: golden plans, what results mean, budgets, laws over whole histories.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod budget;
mod laws;
mod plan;
mod serve;
mod world;
