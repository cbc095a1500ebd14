//! Which world the loops under test act on.

pub(crate) use havre_reconcile::world::World;

/// What all loops share is all there is.
pub(crate) fn world(common: World) -> World {
    common
}
