//! Environments: applied, read and destroyed as a whole. `change` says what an apply would change, `rule` what a
//! specification must obey; `apply` only writes.

pub mod apply;
pub mod destroy;
pub mod get;

mod change;
mod rule;
