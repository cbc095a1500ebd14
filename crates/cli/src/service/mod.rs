//! One service: how many tasks, where users find it.

pub(crate) mod address;
pub(crate) mod maintenance;
pub(crate) mod open;
pub(crate) mod scale;
