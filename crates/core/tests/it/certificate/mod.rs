//! Certificates: golden plans, what results mean, budgets, laws over whole histories.

mod budget;
mod laws;
mod plan;
mod serve;
mod world;
