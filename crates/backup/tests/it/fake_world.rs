//! The fake.

use std::sync::Arc;

use havre_backup::Repository;
use havre_backup::fake::FakeRepository;

use crate::world::World;

#[derive(Default)]
pub(crate) struct FakeWorld(FakeRepository);

impl World for FakeWorld {
    fn repository(&self) -> Arc<dyn Repository> {
        Arc::new(self.0.clone())
    }

    fn with_wrong_password(&self) -> Arc<dyn Repository> {
        Arc::new(self.0.with_password("wrong"))
    }
}
