//! Services: read, scaled and destroyed one by one; applied with their environment.

pub mod destroy;
pub mod get;
pub mod maintenance;
pub mod scale;

pub(crate) mod status;
