//! Environments: applied, read and destroyed as a whole. `change` says what an apply would change, `rule` what a
//! specification must obey; `apply` only writes. `promote` brings what one environment runs to another.

pub mod apply;
pub mod destroy;
pub mod get;
pub mod promote;

mod change;
mod rule;
