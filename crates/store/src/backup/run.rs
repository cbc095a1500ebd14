//! Runs of backups. A run waits until nothing else writes to its target, and each state is told in the transaction that records it.
//! Tests: `tests/it/backup.rs`.

use havre_core::backup::What;
use havre_core::backup::event::Event;
use havre_core::backup::run::{BackupRun, KEEP_RUNS, Progress, RunFilter, RunState};
use havre_core::backup::state::{Stage, State};
use havre_core::id::BackupRunId;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::view::{Tx, View};

const SELECT: &str = "SELECT id, what, target, state, asked_by, created_at, begun_at, ended_at, produced_bytes, added_bytes, snapshot, \
    manifest, cancel_requested, forgotten_at FROM backup_runs";

fn read(row: &Row<'_>) -> Result<BackupRun, StoreError> {
    let origin = Origin::of("backup_runs", row)?;
    let has = |column: &str| Ok::<_, StoreError>(row.get::<_, Option<String>>(column)?.is_some());
    Ok(BackupRun {
        id: BackupRunId::new(origin.id),
        what: origin.json(row, "what")?,
        target: origin.text(row, "target")?,
        state: origin.json(row, "state")?,
        asked_by: origin.json(row, "asked_by")?,
        created_at: row::instant(row, "created_at")?,
        begun_at: row::instant_or_none(row, "begun_at")?,
        ended_at: row::instant_or_none(row, "ended_at")?,
        progress: Progress {
            produced_bytes: origin.count(row, "produced_bytes")?,
            added_bytes: origin.count(row, "added_bytes")?,
        },
        snapshot: if has("snapshot")? { Some(origin.text(row, "snapshot")?) } else { None },
        manifest: if has("manifest")? { Some(origin.json(row, "manifest")?) } else { None },
        cancel_requested: row.get("cancel_requested")?,
        forgotten_at: row::instant_or_none(row, "forgotten_at")?,
    })
}

impl View<'_> {
    /// One run.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get_backup_run(&self, id: BackupRunId) -> Result<BackupRun, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("backup run", id))
    }

    /// At most `limit` runs, newest first.
    pub fn list_backup_runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<BackupRun>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE (?1 IS NULL OR what_key = ?1) AND (?2 IS NULL OR target = ?2) AND (?3 IS NULL OR state_name = ?3) \
             ORDER BY id DESC LIMIT ?4"
        );
        let what = filter.what.as_ref().map(What::key);
        let target = filter.target.as_ref().map(TargetName::as_str);
        let state = filter.state.map(RunState::as_str);
        row::list(self.connection, &sql, (what, target, state, limit), read)
    }

    /// Every run that is not over, oldest first, whether it has begun or not.
    pub fn list_unfinished_backup_runs(&self) -> Result<Vec<BackupRun>, StoreError> {
        row::list(self.connection, &format!("{SELECT} WHERE is_open = 1 ORDER BY id"), [], read)
    }

    /// The run that writes to a target, if there is one.
    pub fn find_writing_run(&self, target: &TargetName) -> Result<Option<BackupRun>, StoreError> {
        let sql = format!("{SELECT} WHERE target = ?1 AND is_open = 1 AND begun_at IS NOT NULL");
        row::find(self.connection, &sql, [target.as_str()], read)
    }

    /// The run of this to a target that is not over, if there is one.
    pub fn find_unfinished_backup_run(
        &self,
        what: &What,
        target: &TargetName,
    ) -> Result<Option<BackupRun>, StoreError> {
        let sql = format!("{SELECT} WHERE what_key = ?1 AND target = ?2 AND is_open = 1");
        row::find(self.connection, &sql, (what.key(), target.as_str()), read)
    }

    /// The newest backup of this in a target that restores as far as is known, if there is one.
    pub fn newest_good_backup_run(
        &self,
        what: &What,
        target: &TargetName,
    ) -> Result<Option<BackupRun>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE what_key = ?1 AND target = ?2 AND state_name = 'good' AND forgotten_at IS NULL \
             ORDER BY begun_at DESC, id DESC LIMIT 1"
        );
        row::find(self.connection, &sql, (what.key(), target.as_str()), read)
    }

    /// Every backup of this in a target that restores as far as is known, newest first: what retention decides about.
    pub fn list_good_backup_runs(
        &self,
        what: &What,
        target: &TargetName,
    ) -> Result<Vec<BackupRun>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE what_key = ?1 AND target = ?2 AND state_name = 'good' AND forgotten_at IS NULL \
             ORDER BY begun_at DESC, id DESC"
        );
        row::list(self.connection, &sql, (what.key(), target.as_str()), read)
    }

    /// When the last run of this to a target began, however it went; nothing where none has.
    pub fn last_backup_begun(
        &self,
        what: &What,
        target: &TargetName,
    ) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT max(begun_at) AS begun_at FROM backup_runs WHERE what_key = ?1 AND target = ?2";
        let found = row::find(self.connection, sql, (what.key(), target.as_str()), |row| {
            row::instant_or_none(row, "begun_at")
        })?;
        Ok(found.flatten())
    }
}

impl Tx<'_> {
    /// Records a run that waits for its turn.
    ///
    /// # Errors
    /// `NotFound` without such a target; `BackupRunning` while one of the same to the same target is not over.
    pub fn create_backup_run(&mut self, what: &What, target: &TargetName) -> Result<BackupRun, StoreError> {
        self.get_backup_target(target)?;
        if let Some(run) = self.find_unfinished_backup_run(what, target)? {
            return Err(StoreError::BackupRunning {
                what: Box::new(what.clone()),
                target: target.clone(),
                run: run.id,
            });
        }
        let state = State::Dumping { since: self.at };
        row::run(
            self.connection,
            "INSERT INTO backup_runs (what, what_key, target, state, state_name, is_open, asked_by, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7)",
            (
                row::to_json("what is saved", what)?,
                what.key(),
                target.as_str(),
                row::to_json("a state", &state)?,
                RunState::of(&state, false).as_str(),
                row::to_json("an actor", &self.actor)?,
                self.at.as_millis(),
            ),
        )?;
        let run = self.get_backup_run(BackupRunId::new(self.connection.last_insert_rowid()))?;
        let event = Event::RunCreated { run: run.id, what: what.clone(), target: target.clone() };
        self.tell_backup(event)?;
        Ok(run)
    }

    /// Records that a run begins: from now on it is the one that writes to its target. `Dumping` since now.
    ///
    /// # Errors
    /// `TargetBusy` while another run writes there; `Conflict` when it has begun or is over.
    pub fn begin_backup_run(&mut self, id: BackupRunId) -> Result<BackupRun, StoreError> {
        let run = self.get_backup_run(id)?;
        if run.shown_state() != RunState::Waiting {
            let (expected, found) = (RunState::Waiting.as_str(), run.shown_state().as_str());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        if let Some(writing) = self.find_writing_run(&run.target)? {
            return Err(StoreError::TargetBusy { target: run.target, run: writing.id });
        }
        let state = State::Dumping { since: self.at };
        row::run(
            self.connection,
            "UPDATE backup_runs SET state = ?2, state_name = ?3, begun_at = ?4 WHERE id = ?1",
            (
                id.row(),
                row::to_json("a state", &state)?,
                RunState::of(&state, true).as_str(),
                self.at.as_millis(),
            ),
        )?;
        self.tell_backup(Event::RunBegun { run: id, what: run.what, target: run.target })?;
        self.get_backup_run(id)
    }

    /// Replaces the state `from` by `to`, with the bytes so far; without an event where only those have changed.
    ///
    /// # Errors
    /// `Conflict` when the run is not in `from` any more: observe again.
    pub fn record_backup_state(
        &mut self,
        id: BackupRunId,
        from: &State,
        to: &State,
        progress: Progress,
    ) -> Result<(), StoreError> {
        let run = self.get_backup_run(id)?;
        if run.state != *from {
            let (expected, found) = (from.name(), run.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        let (snapshot, manifest) = match to {
            State::Verifying { snapshot, .. } => (Some(snapshot.hex().to_owned()), None),
            State::Good { manifest, .. } => {
                (Some(manifest.snapshot.hex().to_owned()), Some(row::to_json("a manifest", manifest)?))
            }
            State::Dumping { .. } | State::Storing { .. } | State::Failed { .. } => (None, None),
        };
        let ended_at = to.is_over().then_some(self.at.as_millis());
        row::run(
            self.connection,
            "UPDATE backup_runs SET state = ?2, state_name = ?3, is_open = ?4, ended_at = iif(?4, NULL, coalesce(ended_at, ?5)), \
             produced_bytes = ?6, added_bytes = ?7, snapshot = coalesce(?8, snapshot), manifest = coalesce(?9, manifest) WHERE id = ?1",
            (
                id.row(),
                row::to_json("a state", to)?,
                RunState::of(to, run.begun_at.is_some()).as_str(),
                !to.is_over(),
                ended_at,
                column(progress.produced_bytes),
                column(progress.added_bytes),
                snapshot,
                manifest,
            ),
        )?;
        if run.state != *to {
            self.tell_backup_state(&run, to)?;
        }
        if to.is_over() { self.prune_backup_runs(&run) } else { Ok(()) }
    }

    /// Records how many bytes a run has so far. No event: it is for whoever watches.
    pub fn record_backup_progress(&mut self, id: BackupRunId, progress: Progress) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "UPDATE backup_runs SET produced_bytes = ?2, added_bytes = ?3 WHERE id = ?1 AND is_open = 1",
            (id.row(), column(progress.produced_bytes), column(progress.added_bytes)),
        )?;
        Ok(())
    }

    fn tell_backup_state(&mut self, run: &BackupRun, to: &State) -> Result<(), StoreError> {
        let (what, target) = (run.what.clone(), run.target.clone());
        let event = match to {
            State::Dumping { .. } => Event::RunAdvanced { run: run.id, stage: Stage::Dumping },
            State::Storing { .. } => Event::RunAdvanced { run: run.id, stage: Stage::Storing },
            State::Verifying { .. } => Event::RunAdvanced { run: run.id, stage: Stage::Verifying },
            State::Good { manifest, .. } => {
                let (snapshot, content) = (manifest.snapshot.clone(), manifest.content.clone());
                Event::RunGood { run: run.id, what, target, snapshot, content }
            }
            State::Failed { stage, reason, .. } => {
                Event::RunFailed { run: run.id, what, target, stage: *stage, reason: reason.clone() }
            }
        };
        self.tell_backup(event)
    }

    /// Asks for a run to be cancelled; nothing happens when it is over or was asked before.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn request_backup_cancel(&mut self, id: BackupRunId) -> Result<(), StoreError> {
        let run = self.get_backup_run(id)?;
        if run.cancel_requested || run.state.is_over() {
            return Ok(());
        }
        row::run(self.connection, "UPDATE backup_runs SET cancel_requested = 1 WHERE id = ?1", [id.row()])?;
        self.tell_backup(Event::CancelRequested { run: id })
    }

    /// Records that the snapshots of these runs were removed from a target; those of which that is known are passed over.
    pub fn mark_snapshots_forgotten(
        &mut self,
        what: &What,
        target: &TargetName,
        runs: &[BackupRunId],
    ) -> Result<(), StoreError> {
        let mut marked = Vec::new();
        for id in runs {
            let count = row::run(
                self.connection,
                "UPDATE backup_runs SET forgotten_at = ?4 \
                 WHERE id = ?1 AND what_key = ?2 AND target = ?3 AND forgotten_at IS NULL",
                (id.row(), what.key(), target.as_str(), self.at.as_millis()),
            )?;
            if count > 0 {
                marked.push(*id);
            }
        }
        if marked.is_empty() {
            return Ok(());
        }
        let event = Event::SnapshotsForgotten { what: what.clone(), target: target.clone(), runs: marked };
        self.tell_backup(event)
    }

    /// Keeps the newest runs that left nothing, and all whose snapshots are there. No event: what they were was told.
    fn prune_backup_runs(&mut self, ended: &BackupRun) -> Result<(), StoreError> {
        let gone = "what_key = ?1 AND target = ?2 AND is_open = 0 AND (state_name = 'failed' OR forgotten_at IS NOT NULL)";
        let sql = format!(
            "DELETE FROM backup_runs WHERE {gone} AND id NOT IN \
             (SELECT id FROM backup_runs WHERE {gone} ORDER BY id DESC LIMIT ?3)"
        );
        row::run(self.connection, &sql, (ended.what.key(), ended.target.as_str(), KEEP_RUNS))?;
        Ok(())
    }
}
