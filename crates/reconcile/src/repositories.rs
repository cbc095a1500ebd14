//! The seam of repositories of backups: what is said through it is said by the loops of `havre_data`.

use std::sync::Arc;

use havre_backup::{Repository, RepositoryError};
use havre_core::backup::target::OpenTarget;

/// Knows how each kind of place is reached.
pub trait Repositories: Send + Sync + std::fmt::Debug {
    /// The repository at a place, under its password. Looks at nothing yet.
    ///
    /// # Errors
    /// [`RepositoryError::Failed`] for a kind of place that this Havre does not reach.
    fn at(&self, target: &OpenTarget) -> Result<Arc<dyn Repository>, RepositoryError>;
}
