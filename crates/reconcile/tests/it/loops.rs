//! Which world the loops under test act on.

pub(crate) use havre_reconcile::world::World;
