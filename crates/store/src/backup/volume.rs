//! Restores of volumes, and tasks that are paused while one of theirs is read. What follows from what was seen is decided in
//! `havre_rescue::volume`. Tests: `tests/it/volume.rs`.

use std::collections::BTreeSet;

use havre_core::backup::event::Event;
use havre_core::backup::manifest::Manifest;
use havre_core::id::{BackupRunId, ServiceId, TaskId, VolumeRestoreId};
use havre_core::name::{TargetName, VolumeName};
use havre_core::service::{Place, Service};
use havre_rescue::volume::{RESTORED_MAX, State, VolumeRestore, what_of};
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// Restores that left nothing and are kept of each volume: the newest ones.
const KEEP: u32 = 100;
/// Most that are not over.
const OPEN_MAX: usize = 8;

const SELECT: &str = "SELECT id, service, project, environment, service_name, source, volume, target, manifest, state, created_at, \
    ended_at FROM volume_restores";

fn read(row: &Row<'_>) -> Result<VolumeRestore, StoreError> {
    let origin = Origin::of("volume_restores", row)?;
    Ok(VolumeRestore {
        id: VolumeRestoreId::new(origin.id),
        service: ServiceId::new(row.get("service")?),
        place: Place {
            project: origin.text(row, "project")?,
            environment: origin.text(row, "environment")?,
            service: origin.text(row, "service_name")?,
        },
        source: origin.text(row, "source")?,
        volume: origin.text(row, "volume")?,
        target: origin.text(row, "target")?,
        manifest: origin.json(row, "manifest")?,
        state: origin.json(row, "state")?,
        created_at: row::instant(row, "created_at")?,
        ended_at: row::instant_or_none(row, "ended_at")?,
    })
}

/// A restore into a new volume that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolumeRestore {
    /// The service that gets it.
    pub service: ServiceId,
    /// The volume that was saved.
    pub source: VolumeName,
    /// The new one.
    pub volume: VolumeName,
    /// Where the snapshot lies.
    pub target: TargetName,
    /// What comes back.
    pub manifest: Manifest,
}

/// A task that is paused, or was about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePause {
    /// Its container.
    pub container: String,
    /// Its service.
    pub service: ServiceId,
    /// The task; absent for one that was begun by hand.
    pub task: Option<TaskId>,
    /// The run that reads.
    pub run: BackupRunId,
}

impl View<'_> {
    /// One restore.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get_volume_restore(&self, id: VolumeRestoreId) -> Result<VolumeRestore, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("volume restore", id))
    }

    /// Restores that are not over, oldest first.
    pub fn list_open_volume_restores(&self) -> Result<Vec<VolumeRestore>, StoreError> {
        row::list(self.connection, &format!("{SELECT} WHERE ended_at IS NULL ORDER BY id"), [], read)
    }

    /// At most `limit` restores of a volume, newest first, also of one that is gone.
    pub fn list_volume_restores(
        &self,
        place: &Place,
        volume: &VolumeName,
        limit: u32,
    ) -> Result<Vec<VolumeRestore>, StoreError> {
        let sql = format!("{SELECT} WHERE what_key = ?1 ORDER BY id DESC LIMIT ?2");
        row::list(self.connection, &sql, (what_of(place, volume).key(), limit), read)
    }

    /// Volumes that restores have made for a service, or make now; they go with it.
    pub fn list_restored_volumes(&self, service: ServiceId) -> Result<BTreeSet<VolumeName>, StoreError> {
        let sql = format!("{SELECT} WHERE service = ?1 AND state_name <> 'failed' ORDER BY id");
        let rows = row::list(self.connection, &sql, [service.row()], read)?;
        Ok(rows.into_iter().map(|restore| restore.volume).collect())
    }

    /// Every volume a service has or had: of its configuration, of its releases, and of restores.
    pub fn list_volumes(&self, service: &Service) -> Result<BTreeSet<VolumeName>, StoreError> {
        let releases = self.list_releases(service.id, u32::MAX)?;
        let specs = releases.iter().map(|release| &release.spec).chain([&service.spec]);
        let volumes = specs.filter_map(|spec| spec.tasks()).flat_map(|work| &work.volumes);
        let mut names: BTreeSet<VolumeName> = volumes.map(|volume| volume.name.clone()).collect();
        names.extend(self.list_restored_volumes(service.id)?);
        Ok(names)
    }

    /// Tasks that are paused, or were about to be, by name of the container.
    pub fn list_volume_pauses(&self) -> Result<Vec<VolumePause>, StoreError> {
        let sql = "SELECT container, service, task, run FROM volume_pauses ORDER BY container";
        row::list(self.connection, sql, [], |row| {
            Ok(VolumePause {
                container: row.get("container")?,
                service: ServiceId::new(row.get("service")?),
                task: row.get::<_, Option<i64>>("task")?.map(TaskId::new),
                run: BackupRunId::new(row.get("run")?),
            })
        })
    }
}

impl Tx<'_> {
    /// Records a restore into a new volume.
    ///
    /// # Errors
    /// `NameTaken` where the service has or had a volume of that name: nothing is ever restored into what is there. `TooManyRestores`;
    /// `BeingDestroyed`; `NotFound` without that service.
    pub fn create_volume_restore(&mut self, new: &NewVolumeRestore) -> Result<VolumeRestore, StoreError> {
        let service = self.get_lasting_service(new.service)?;
        if self.list_volumes(&service)?.contains(&new.volume) {
            return Err(StoreError::NameTaken { kind: "volume", name: new.volume.to_string() });
        }
        if self.list_open_volume_restores()?.len() >= OPEN_MAX {
            return Err(StoreError::TooManyRestores { most: OPEN_MAX });
        }
        if self.list_restored_volumes(new.service)?.len() >= RESTORED_MAX {
            return Err(StoreError::TooManyVolumes { place: service.place, most: RESTORED_MAX });
        }
        let state = State::Waiting { since: self.at };
        row::run(
            self.connection,
            "INSERT INTO volume_restores (what_key, service, project, environment, service_name, source, volume, target, manifest, \
             state, state_name, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            (
                what_of(&service.place, &new.source).key(),
                new.service.row(),
                service.place.project.as_str(),
                service.place.environment.as_str(),
                service.place.service.as_str(),
                new.source.as_str(),
                new.volume.as_str(),
                new.target.as_str(),
                new.manifest.canonical(),
                row::to_json("a state", &state)?,
                state.name(),
                self.at.as_millis(),
            ),
        )?;
        let id = VolumeRestoreId::new(self.connection.last_insert_rowid());
        let restore = self.get_volume_restore(id)?;
        self.tell_volume_restore(&restore, "asked for".to_owned())?;
        Ok(restore)
    }

    /// Replaces the state `from` by `to`; nothing happens when they are the same.
    ///
    /// # Errors
    /// `Conflict` when the restore is not in `from` any more.
    pub fn set_volume_restore_state(
        &mut self,
        id: VolumeRestoreId,
        from: &State,
        to: &State,
    ) -> Result<(), StoreError> {
        let restore = self.get_volume_restore(id)?;
        if restore.state != *from {
            let (expected, found) = (from.name(), restore.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        if from == to {
            return Ok(());
        }
        let ended_at = to.is_over().then_some(self.at.as_millis());
        row::run(
            self.connection,
            "UPDATE volume_restores SET state = ?2, state_name = ?3, ended_at = ?4 WHERE id = ?1",
            (id.row(), row::to_json("a state", to)?, to.name(), ended_at),
        )?;
        if !to.is_over() {
            return Ok(());
        }
        self.tell_volume_restore(&restore, to.outcome())?;
        let failed = "what_key = ?1 AND state_name = 'failed'";
        let sql = format!(
            "DELETE FROM volume_restores WHERE {failed} AND id NOT IN \
             (SELECT id FROM volume_restores WHERE {failed} ORDER BY id DESC LIMIT ?2)"
        );
        row::run(self.connection, &sql, (what_of(&restore.place, &restore.source).key(), KEEP))?;
        Ok(())
    }

    fn tell_volume_restore(&mut self, restore: &VolumeRestore, outcome: String) -> Result<(), StoreError> {
        self.tell_backup(Event::VolumeRestored {
            restore: restore.id,
            what: what_of(&restore.place, &restore.source),
            volume: restore.volume.clone(),
            outcome,
        })
    }

    /// Records that tasks are about to be paused. No event: the run that does it is told of.
    pub fn record_volume_pauses(&mut self, pauses: &[VolumePause]) -> Result<(), StoreError> {
        for pause in pauses {
            row::run(
                self.connection,
                "INSERT INTO volume_pauses (container, service, task, run, since) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (container) DO UPDATE SET run = excluded.run, since = excluded.since",
                (
                    pause.container.as_str(),
                    pause.service.row(),
                    pause.task.map(TaskId::row),
                    pause.run.row(),
                    self.at.as_millis(),
                ),
            )?;
        }
        Ok(())
    }

    /// Forgets that a task was paused: it goes on, or is gone.
    pub fn forget_volume_pause(&mut self, container: &str) -> Result<(), StoreError> {
        row::run(self.connection, "DELETE FROM volume_pauses WHERE container = ?1", [container])?;
        Ok(())
    }
}
