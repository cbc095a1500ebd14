//! Which world the loops under test act on.

pub(crate) use havre_data::world::World;

/// With nothing under way.
pub(crate) fn world(common: havre_reconcile::world::World) -> World {
    common.into()
}
