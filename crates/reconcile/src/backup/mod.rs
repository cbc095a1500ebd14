//! Backups: the door to repositories. Tests: with those who use it.

pub mod repositories;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use havre_backup::Repository;
use havre_core::name::TargetName;

/// What is remembered in memory only.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Repositories that were opened: calls of one wait for each other.
    repositories: Mutex<BTreeMap<TargetName, Arc<dyn Repository>>>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TargetName, Arc<dyn Repository>>> {
        self.repositories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn repository(&self, name: &TargetName) -> Option<Arc<dyn Repository>> {
        self.lock().get(name).cloned()
    }

    fn keep_repository(&self, name: &TargetName, repository: &Arc<dyn Repository>) {
        self.lock().insert(name.clone(), Arc::clone(repository));
    }

    fn forget_repository(&self, name: &TargetName) {
        self.lock().remove(name);
    }
}
