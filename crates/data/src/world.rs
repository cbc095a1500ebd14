//! What these loops act on: what all loops do, and what each of them is about.

use havre_reconcile::world::World as Common;
use std::ops::Deref;
use std::sync::Arc;

use crate::{backup, copy, restore, swap};

/// Everything the loops see and touch. Cheap to clone. Stands for what all loops share wherever that is asked for.
#[derive(Debug, Clone)]
pub struct World {
    common: Common,
    pub(crate) backups: Arc<backup::Desk>,
    pub(crate) wal: Arc<backup::wal::Desk>,
    pub(crate) copies: Arc<copy::Desk>,
    pub(crate) restores: Arc<restore::Desk>,
    pub(crate) swaps: Arc<swap::Desk>,
}

impl From<Common> for World {
    /// With nothing under way.
    fn from(common: Common) -> Self {
        Self {
            common,
            backups: Arc::default(),
            wal: Arc::default(),
            copies: Arc::default(),
            restores: Arc::default(),
            swaps: Arc::default(),
        }
    }
}

impl Deref for World {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
}
