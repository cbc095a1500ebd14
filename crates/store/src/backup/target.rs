//! Targets of backups, with the sealed passwords of their repositories and what proves who writes there. Tests: `tests/it/backup.rs`.

use havre_core::backup::event::Event;
use havre_core::backup::target::{BackupTarget, OpenTarget, TARGETS_MAX, TargetSpec, TargetState};
use havre_core::backup::{RepositoryId, What};
use havre_core::name::TargetName;
use havre_core::secret::Secret;
use havre_rescue::kit::{self, PASSWORD_BYTES};
use rusqlite::Row;
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::seal::{Place, fill};
use crate::service::Applied;
use crate::view::{Tx, View};

/// Without a row number of its own: errors name row 0.
const SELECT: &str = "SELECT 0, name, location, medium, is_offsite, repository, sealed_credential IS NOT NULL AS has_credential, state, \
    kit_shown_at, created_at FROM backup_targets";

fn read(row: &Row<'_>) -> Result<BackupTarget, StoreError> {
    let origin = Origin::of("backup_targets", row)?;
    let has_repository = row.get::<_, Option<String>>("repository")?.is_some();
    Ok(BackupTarget {
        spec: TargetSpec {
            name: origin.text(row, "name")?,
            location: origin.json(row, "location")?,
            medium: origin.text(row, "medium")?,
            is_offsite: row.get("is_offsite")?,
        },
        repository: if has_repository { Some(origin.text(row, "repository")?) } else { None },
        has_credential: row.get("has_credential")?,
        state: origin.json(row, "state")?,
        kit_shown_at: row::instant_or_none(row, "kit_shown_at")?,
        created_at: row::instant(row, "created_at")?,
    })
}

fn password_place(name: &TargetName) -> Place<'_> {
    Place { table: "backup_targets", row: name.as_str(), column: "sealed_password" }
}

fn credential_place(name: &TargetName) -> Place<'_> {
    Place { table: "backup_targets", row: name.as_str(), column: "sealed_credential" }
}

fn new_password() -> Result<Secret, StoreError> {
    let mut bytes = Zeroizing::new([0_u8; PASSWORD_BYTES]);
    fill(bytes.as_mut_slice()).map_err(|source| StoreError::Random { source })?;
    Ok(kit::password(&bytes))
}

impl View<'_> {
    /// Every target, by name.
    pub fn list_backup_targets(&self) -> Result<Vec<BackupTarget>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY name"), [], read)
    }

    /// A target, if there is one of this name.
    pub fn find_backup_target(&self, name: &TargetName) -> Result<Option<BackupTarget>, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE name = ?1"), [name.as_str()], read)
    }

    /// A target.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get_backup_target(&self, name: &TargetName) -> Result<BackupTarget, StoreError> {
        self.find_backup_target(name)?.ok_or_else(|| StoreError::not_found("backup target", name))
    }

    /// All it takes to use a target.
    ///
    /// # Errors
    /// `NotFound`; `NoMasterKey`; `Sealed` where its password or credential cannot be opened.
    pub fn open_backup_target(&self, name: &TargetName) -> Result<OpenTarget, StoreError> {
        let target = self.get_backup_target(name)?;
        let sql = "SELECT sealed_password, sealed_credential FROM backup_targets WHERE name = ?1";
        let found: Option<(Vec<u8>, Option<Vec<u8>>)> =
            row::find(self.connection, sql, [name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (password, credential) = found.ok_or_else(|| StoreError::not_found("backup target", name))?;
        let key = self.master_key()?;
        let credential = match credential {
            Some(sealed) => Some(key.open(&sealed, credential_place(name))?),
            None => None,
        };
        Ok(OpenTarget {
            location: target.spec.location,
            repository: target.repository,
            password: key.open(&password, password_place(name))?,
            credential,
        })
    }

    /// What has its newest good backup in this target and no equally new one elsewhere, by key.
    pub fn list_newest_only_in(&self, name: &TargetName) -> Result<Vec<What>, StoreError> {
        let sql = "SELECT 0, what FROM backup_runs AS here \
            WHERE target = ?1 AND state_name = 'good' AND forgotten_at IS NULL AND NOT EXISTS \
            (SELECT 1 FROM backup_runs AS there WHERE there.what_key = here.what_key AND there.target <> ?1 \
            AND there.state_name = 'good' AND there.forgotten_at IS NULL AND there.begun_at >= here.begun_at) \
            GROUP BY what_key ORDER BY what_key";
        row::list(self.connection, sql, [name.as_str()], |row| {
            Origin::of("backup_runs", row)?.json(row, "what")
        })
    }
}

impl Tx<'_> {
    /// Makes the target of this name be as specified; one that is new gets a password for its repository. A credential that is not given
    /// again stays: the place is the same.
    ///
    /// # Errors
    /// `TargetElsewhere` where it lies somewhere else: that would be another repository; `TooManyTargets`; `NoMasterKey`.
    pub fn set_backup_target(
        &mut self,
        spec: &TargetSpec,
        credential: Option<&Secret>,
    ) -> Result<(BackupTarget, Applied), StoreError> {
        let name = &spec.name;
        let sealed = match credential {
            Some(credential) => Some(self.master_key()?.seal(credential, credential_place(name))?),
            None => None,
        };
        let before = self.find_backup_target(name)?;
        let applied = match &before {
            Some(before) if before.spec.location != spec.location => {
                let (target, is) = (name.clone(), before.spec.location.to_string());
                return Err(StoreError::TargetElsewhere { target, is });
            }
            Some(before) if before.spec == *spec && sealed.is_none() => Applied::Unchanged,
            Some(_) => Applied::Changed,
            None => Applied::Created,
        };
        if before.is_some() {
            // Asking again for the same is how somebody asks for another look at a target that has failed.
            row::run(
                self.connection,
                "UPDATE backup_targets SET medium = ?2, is_offsite = ?3, sealed_credential = coalesce(?4, sealed_credential), \
                 state = ?5 WHERE name = ?1",
                (
                    name.as_str(),
                    spec.medium.as_str(),
                    spec.is_offsite,
                    sealed,
                    row::to_json("a state", &TargetState::Waiting)?,
                ),
            )?;
        } else {
            self.create_backup_target(spec, sealed)?;
        }
        if applied != Applied::Unchanged {
            self.tell_backup(Event::TargetSet {
                target: name.clone(),
                location: spec.location.clone(),
                medium: spec.medium.clone(),
                is_offsite: spec.is_offsite,
            })?;
        }
        Ok((self.get_backup_target(name)?, applied))
    }

    fn create_backup_target(
        &mut self,
        spec: &TargetSpec,
        credential: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        if self.list_backup_targets()?.len() >= TARGETS_MAX {
            return Err(StoreError::TooManyTargets { most: TARGETS_MAX });
        }
        let password = self.master_key()?.seal(&new_password()?, password_place(&spec.name))?;
        row::run(
            self.connection,
            "INSERT INTO backup_targets (name, location, medium, is_offsite, sealed_password, sealed_credential, state, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                spec.name.as_str(),
                row::to_json("a location", &spec.location)?,
                spec.medium.as_str(),
                spec.is_offsite,
                password,
                credential,
                row::to_json("a state", &TargetState::Waiting)?,
                self.at.as_millis(),
            ),
        )?;
        Ok(())
    }

    /// Forgets a target with its runs and its password. The repository is left as it is; who has its recovery kit can read it.
    ///
    /// # Errors
    /// `NotFound`; `TargetBusy` while a run uses it; without `force` also `TargetNeeded` while the newest good backup of something lies
    /// there only, and `KitNotShown` while nobody has its recovery kit.
    pub fn remove_backup_target(&mut self, name: &TargetName, force: bool) -> Result<(), StoreError> {
        let target = self.get_backup_target(name)?;
        if let Some(run) = self.find_writing_run(name)? {
            return Err(StoreError::TargetBusy { target: name.clone(), run: run.id });
        }
        let what = self.list_newest_only_in(name)?;
        let has_kit = target.repository.is_none() || target.kit_shown_at.is_some();
        if !force && !what.is_empty() {
            return Err(StoreError::TargetNeeded { target: name.clone(), what });
        }
        if !force && !has_kit {
            return Err(StoreError::KitNotShown { target: name.clone() });
        }
        row::run(self.connection, "DELETE FROM backup_runs WHERE target = ?1", [name.as_str()])?;
        row::run(self.connection, "DELETE FROM backup_targets WHERE name = ?1", [name.as_str()])?;
        let is_forced = !what.is_empty() || !has_kit;
        self.tell_backup(Event::TargetRemoved { target: name.clone(), is_forced })
    }

    /// Records that the repository of a target was made, or that it answers. Nothing happens when that is known.
    ///
    /// # Errors
    /// `OtherRepository` where the target has another one: somebody has put it there.
    pub fn record_repository(&mut self, name: &TargetName, id: &RepositoryId) -> Result<(), StoreError> {
        let target = self.get_backup_target(name)?;
        match &target.repository {
            Some(known) if known != id => {
                let (known, found) = (known.clone(), id.clone());
                return Err(StoreError::OtherRepository { target: name.clone(), known, found });
            }
            Some(_) => {}
            None => {
                let sql = "UPDATE backup_targets SET repository = ?2 WHERE name = ?1";
                row::run(self.connection, sql, (name.as_str(), id.hex()))?;
                self.tell_backup(Event::RepositoryMade { target: name.clone(), repository: id.clone() })?;
            }
        }
        self.set_target_state(&target, &TargetState::Ready)
    }

    /// Records that a target could not be used. Nothing happens when the same is known.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn record_target_failure(&mut self, name: &TargetName, reason: &str) -> Result<(), StoreError> {
        let target = self.get_backup_target(name)?;
        self.set_target_state(&target, &TargetState::Failed { reason: reason.to_owned() })
    }

    /// Nobody knows whether a target can be used: the next control looks. No event: it says what it finds.
    pub(crate) fn look_at_target_again(&mut self, name: &TargetName) -> Result<(), StoreError> {
        let target = self.get_backup_target(name)?;
        self.set_target_state(&target, &TargetState::Waiting)
    }

    fn set_target_state(&mut self, target: &BackupTarget, to: &TargetState) -> Result<(), StoreError> {
        if target.state == *to {
            return Ok(());
        }
        let name = target.spec.name.clone();
        let sql = "UPDATE backup_targets SET state = ?2 WHERE name = ?1";
        row::run(self.connection, sql, (name.as_str(), row::to_json("a state", to)?))?;
        match to {
            TargetState::Waiting => Ok(()),
            TargetState::Ready => self.tell_backup(Event::TargetReady { target: name }),
            TargetState::Failed { reason } => {
                self.tell_backup(Event::TargetFailed { target: name, reason: reason.clone() })
            }
        }
    }

    /// Records that somebody is shown the recovery kit of a target.
    ///
    /// # Errors
    /// `NoRepository` before there is one; `KitShown` when it was shown before and nobody says `again`.
    pub fn record_kit_shown(&mut self, name: &TargetName, again: bool) -> Result<(), StoreError> {
        let target = self.get_backup_target(name)?;
        if target.repository.is_none() {
            return Err(StoreError::NoRepository { target: name.clone() });
        }
        if let (Some(at), false) = (target.kit_shown_at, again) {
            return Err(StoreError::KitShown { target: name.clone(), at });
        }
        row::run(
            self.connection,
            "UPDATE backup_targets SET kit_shown_at = coalesce(kit_shown_at, ?2) WHERE name = ?1",
            (name.as_str(), self.at.as_millis()),
        )?;
        let is_again = target.kit_shown_at.is_some();
        self.tell_backup(Event::KitShown { target: name.clone(), is_again })
    }
}
