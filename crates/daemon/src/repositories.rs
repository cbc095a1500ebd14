//! Opens repositories of backups by what their targets say. Wiring only.

use std::path::Path;
use std::sync::Arc;

use havre_backup::restic::FolderRepository;
use havre_backup::{Repository, RepositoryError};
use havre_core::backup::location::Location;
use havre_core::backup::target::OpenTarget;
use havre_core::secret::Secret;
use havre_reconcile::backup::repositories::Repositories;

/// The places this Havre reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places;

impl Repositories for Places {
    fn at(&self, target: &OpenTarget) -> Result<Arc<dyn Repository>, RepositoryError> {
        open_repository(&target.location, target.password.clone(), target.credential.as_ref())
    }
}

/// The one place that knows kinds of repositories. Looks at nothing yet.
fn open_repository(
    location: &Location,
    password: Secret,
    _credential: Option<&Secret>,
) -> Result<Arc<dyn Repository>, RepositoryError> {
    match location {
        Location::Folder { path } => Ok(Arc::new(FolderRepository::new(Path::new(path.as_str()), password))),
        Location::S3 { .. } | Location::Sftp { .. } => Err(RepositoryError::Failed {
            doing: "open the repository",
            place: location.to_string(),
            reason: "this Havre reaches folders of its machine only".to_owned(),
        }),
    }
}
