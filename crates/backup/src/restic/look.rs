//! Which snapshots need what is not there any more, by what the repository knows of itself. Tests: `tests/it/sabotage.rs`.

use havre_core::backup::SnapshotId;
use rustic_core::DataId;
use rustic_core::repofile::SnapshotFile;

use crate::error::RepositoryError;
use crate::fault::Fault;
use crate::repository::Snapshot;
use crate::restic::label;
use crate::restic::place::{Open, Place, file_id};
use crate::restic::storage::Trouble;

impl Place {
    pub(super) fn incomplete(&self) -> Result<Vec<SnapshotId>, RepositoryError> {
        let doing = "look at what snapshots need";
        let snapshots = self.list()?;
        let Open { backend, inner } = self.indexed()?;
        let mut found = Vec::new();
        for Snapshot { id, name, .. } in snapshots {
            let file: SnapshotFile = file_id(&id)
                .and_then(|file| inner.get_file(&file))
                .map_err(|error| self.said(doing, &backend, &error))?;
            let node = inner.node_from_path(file.tree, &label::path(&name));
            let needed = node.ok().and_then(|node| node.content);
            match backend.trouble() {
                None | Some(Trouble { fault: Fault::Broken(_), .. }) => {}
                // Says nothing about the snapshot.
                Some(trouble) => return Err(self.troubled(doing, trouble)),
            }
            let is_there = |data: &DataId| inner.get_index_entry(data).is_ok();
            if !needed.is_some_and(|needed| needed.iter().all(is_there)) {
                found.push(id);
            }
        }
        Ok(found)
    }
}
