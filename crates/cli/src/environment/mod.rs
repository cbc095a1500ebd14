//! Environments: what would change, make it so, how it is, bring it to another, take it away.

pub(crate) mod apply;
pub(crate) mod change;
pub(crate) mod destroy;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod status;
