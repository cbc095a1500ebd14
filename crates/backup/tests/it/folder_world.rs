//! The real repository, in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use havre_backup::Repository;
use havre_backup::restic::FolderRepository;
use havre_core::secret::Secret;

use crate::world::{PASSWORD, World};

pub(crate) struct FolderWorld {
    _folder: tempfile::TempDir,
    root: PathBuf,
    repository: FolderRepository,
}

impl FolderWorld {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("is made");
        let root = folder.path().join("repository");
        let repository = FolderRepository::new(&root, Secret::from(PASSWORD));
        Self { _folder: folder, root, repository }
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file of the repository with the most bytes in it: a pack with data of the newest large stream.
    pub(crate) fn largest_pack(&self) -> PathBuf {
        largest_pack(&self.root)
    }
}

/// The file of the repository in this folder with the most bytes in it.
pub(crate) fn largest_pack(root: &Path) -> PathBuf {
    let mut packs = Vec::new();
    for folder in fs::read_dir(root.join("data")).expect("is read") {
        for file in fs::read_dir(folder.expect("is read").path()).expect("is read") {
            let path = file.expect("is read").path();
            packs.push((fs::metadata(&path).expect("is there").len(), path));
        }
    }
    packs.into_iter().max().expect("there is a pack").1
}

impl World for FolderWorld {
    fn repository(&self) -> Arc<dyn Repository> {
        Arc::new(self.repository.clone())
    }

    fn with_wrong_password(&self) -> Arc<dyn Repository> {
        Arc::new(FolderRepository::new(&self.root, Secret::from("wrong")))
    }
}
