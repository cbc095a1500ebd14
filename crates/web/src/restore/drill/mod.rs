//! Drills: asked for, looked at, and their reports.

pub mod create;
pub mod get;
pub mod list;
pub mod report;
