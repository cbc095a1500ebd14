//! WAL: where base backups lie in it, which stretches repositories have, and what is told of what waits. Which seconds follow from that is decided
//! in `havre_rescue::line`, what becomes of what waits in `spool`. Tests: `tests/it/wal.rs`.

use havre_core::backup::event::Event;
use havre_core::backup::{Content, SnapshotId, What};
use havre_core::id::{BackupRunId, DatabaseId};
use havre_core::name::TargetName;
use havre_core::time::Timestamp;
use havre_rescue::line::{Base, BaseFacts, Stretch, is_broken, saved_in};
use havre_rescue::spool::Trouble;
use havre_rescue::wal::{Lsn, Segment};
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::view::{Tx, View};

const SELECT: &str =
    "SELECT id, target, database, timeline, first, last, until, snapshot, content FROM wal_stretches";

fn read(row: &Row<'_>) -> Result<Stretch, StoreError> {
    let origin = Origin::of("wal_stretches", row)?;
    Ok(Stretch {
        id: origin.id,
        target: origin.text(row, "target")?,
        database: DatabaseId::new(row.get("database")?),
        first: Segment { timeline: row.get("timeline")?, number: origin.count(row, "first")? },
        last: origin.count(row, "last")?,
        until: row::instant_or_none(row, "until")?,
        snapshot: origin.text(row, "snapshot")?,
        content: origin.json(row, "content")?,
    })
}

/// Segments that a repository has taken in and given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStretch {
    /// The database.
    pub what: What,
    /// Its row.
    pub database: DatabaseId,
    /// Where they lie.
    pub target: TargetName,
    /// The first one.
    pub first: Segment,
    /// Number of the last one.
    pub last: u64,
    /// Everything that was committed before lies in them or before them.
    pub until: Option<Timestamp>,
    /// Their snapshot.
    pub snapshot: SnapshotId,
    /// What is in there.
    pub content: Content,
    /// The row whose segments are all in here.
    pub replaces: Option<i64>,
}

impl View<'_> {
    /// Good base backups, by what they are called where they are saved; in every target.
    pub fn list_bases(&self, what: &What) -> Result<Vec<Base>, StoreError> {
        let mut bases = Vec::new();
        for target in self.list_backup_targets()? {
            for run in self.list_good_backup_runs(what, &target.spec.name)? {
                let Some(manifest) = run.manifest else { continue };
                let Some((database, facts, whole_at)) = self.find_base_facts(run.id)? else { continue };
                bases.push(Base { run: run.id, target: run.target, manifest, database, facts, whole_at });
            }
        }
        Ok(bases)
    }

    fn find_base_facts(
        &self,
        run: BackupRunId,
    ) -> Result<Option<(DatabaseId, BaseFacts, Timestamp)>, StoreError> {
        let sql =
            "SELECT run, database, timeline, start_lsn, stop_lsn, whole_at FROM base_backups WHERE run = ?1";
        row::find(self.connection, sql, [run.row()], |row| {
            let origin = Origin::of("base_backups", row)?;
            let facts = BaseFacts {
                timeline: row.get("timeline")?,
                start: Lsn(origin.count(row, "start_lsn")?),
                stop: Lsn(origin.count(row, "stop_lsn")?),
            };
            Ok((DatabaseId::new(row.get("database")?), facts, row::instant(row, "whole_at")?))
        })
    }

    /// Stretches of what has this key that end with this segment or later, in every target.
    pub fn list_stretches(&self, what: &What, from: u64) -> Result<Vec<Stretch>, StoreError> {
        let sql = format!("{SELECT} WHERE what_key = ?1 AND last >= ?2 AND let_go_at IS NULL ORDER BY id");
        row::list(self.connection, &sql, (what.key(), column(from)), read)
    }

    /// What a target has of a database beside what a spool has from this segment on: also the newest, wherever it ends.
    pub fn list_spooled_stretches(
        &self,
        database: DatabaseId,
        target: &TargetName,
        from: u64,
    ) -> Result<Vec<Stretch>, StoreError> {
        let sql = format!(
            "{SELECT} AS own WHERE database = ?1 AND target = ?2 AND let_go_at IS NULL AND (last >= ?3 OR last = \
             (SELECT max(last) FROM wal_stretches WHERE database = ?1 AND target = ?2 AND timeline = own.timeline \
             AND let_go_at IS NULL)) ORDER BY last, id"
        );
        row::list(self.connection, &sql, (database.row(), target.as_str(), column(from)), read)
    }

    /// Up to when a target has everything of a database.
    pub fn find_wal_until(
        &self,
        database: DatabaseId,
        target: &TargetName,
    ) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT max(until) AS until FROM wal_stretches WHERE database = ?1 AND target = ?2 AND let_go_at IS NULL";
        let found = row::find(self.connection, sql, (database.row(), target.as_str()), |row| {
            row::instant_or_none(row, "until")
        })?;
        Ok(found.flatten())
    }

    /// Snapshots of stretches in a target that are of no use any more, at most so many.
    pub fn list_let_go_stretches(
        &self,
        target: &TargetName,
        limit: u32,
    ) -> Result<Vec<(i64, SnapshotId)>, StoreError> {
        let sql = format!("{SELECT} WHERE target = ?1 AND let_go_at IS NOT NULL ORDER BY id LIMIT ?2");
        row::list(self.connection, &sql, (target.as_str(), limit), |row| {
            let stretch = read(row)?;
            Ok((stretch.id, stretch.snapshot))
        })
    }

    /// What is wrong with the WAL of a database, for people; nothing where nothing is.
    pub fn find_wal_trouble(&self, database: DatabaseId) -> Result<Option<String>, StoreError> {
        let sql = "SELECT trouble FROM wal_spools WHERE database = ?1";
        let found =
            row::find(self.connection, sql, [database.row()], |row| Ok(row.get::<_, Option<String>>(0)?))?;
        Ok(found.flatten())
    }

    /// Whether the newest base backup in a target has a gap behind it, or is of another database that had this name before a swap or before
    /// it was destroyed, so that another one is due.
    pub(crate) fn is_line_broken(
        &self,
        what: &What,
        named_so: DatabaseId,
        target: &TargetName,
    ) -> Result<bool, StoreError> {
        let Some(run) = self.newest_good_backup_run(what, target)? else { return Ok(false) };
        let Some(manifest) = run.manifest else { return Ok(false) };
        let Some((database, facts, whole_at)) = self.find_base_facts(run.id)? else { return Ok(true) };
        if database != named_so {
            return Ok(true);
        }
        let base = Base { run: run.id, target: run.target, manifest, database, facts, whole_at };
        let from = Segment::holding(facts.timeline, facts.start).number;
        Ok(is_broken(&base, &self.list_stretches(&saved_in(what), from)?))
    }
}

impl Tx<'_> {
    /// Records where the base backup of a run lies. No event: that the run is good is told.
    pub fn record_base_backup(
        &mut self,
        run: BackupRunId,
        database: DatabaseId,
        facts: BaseFacts,
    ) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "INSERT OR REPLACE INTO base_backups (run, database, timeline, start_lsn, stop_lsn, whole_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                run.row(),
                database.row(),
                facts.timeline,
                column(facts.start.0),
                column(facts.stop.0),
                self.at.as_millis(),
            ),
        )?;
        Ok(())
    }

    /// Records what a repository has, in the place of what it had of the same before. No event: it comes every minute, and that it does not is told.
    ///
    /// # Errors
    /// `NotFound` where the target is gone.
    pub fn record_stretch(&mut self, new: &NewStretch) -> Result<(), StoreError> {
        self.get_backup_target(&new.target)?;
        row::run(
            self.connection,
            "INSERT INTO wal_stretches (what_key, database, target, timeline, first, last, until, snapshot, content, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            (
                new.what.key(),
                new.database.row(),
                new.target.as_str(),
                new.first.timeline,
                column(new.first.number),
                column(new.last),
                new.until.map(Timestamp::as_millis),
                new.snapshot.hex(),
                row::to_json("what is in a snapshot", &new.content)?,
                self.at.as_millis(),
            ),
        )?;
        match new.replaces {
            Some(id) => self.let_go_stretches(&[id]),
            None => Ok(()),
        }
    }

    /// Marks stretches nobody needs any more; those of which that is known are passed over.
    pub fn let_go_stretches(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        let sql = "UPDATE wal_stretches SET let_go_at = ?2 WHERE id = ?1 AND let_go_at IS NULL";
        for id in ids {
            row::run(self.connection, sql, (*id, self.at.as_millis()))?;
        }
        Ok(())
    }

    /// Forgets stretches whose snapshots are gone.
    pub fn remove_stretches(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        let sql = "DELETE FROM wal_stretches WHERE id = ?1 AND let_go_at IS NOT NULL";
        for id in ids {
            row::run(self.connection, sql, [*id])?;
        }
        Ok(())
    }

    /// Records what waits for targets, and tells what is wrong where that is something else than before. What was lost is not told to be better
    /// while it may be lost again.
    pub fn record_wal_spool(
        &mut self,
        what: &What,
        database: DatabaseId,
        waiting: u64,
        trouble: Option<&Trouble>,
    ) -> Result<(), StoreError> {
        let sql = "SELECT trouble_name FROM wal_spools WHERE database = ?1";
        let known =
            row::find(self.connection, sql, [database.row()], |row| Ok(row.get::<_, Option<String>>(0)?))?;
        let known = known.flatten();
        let name = trouble.map(Trouble::name);
        let is_same = known.as_deref() == name || (known.as_deref() == Some("lost") && name == Some("fills"));
        let (name, text) = match trouble {
            Some(trouble) if is_same => (known, Some(trouble.to_string())),
            Some(trouble) => (Some(trouble.name().to_owned()), Some(trouble.to_string())),
            None => (None, None),
        };
        row::run(
            self.connection,
            "INSERT INTO wal_spools (database, waiting, trouble_name, trouble, looked_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (database) DO UPDATE SET waiting = excluded.waiting, trouble_name = excluded.trouble_name, \
             trouble = excluded.trouble, looked_at = excluded.looked_at",
            (database.row(), column(waiting), name, &text, self.at.as_millis()),
        )?;
        if is_same {
            return Ok(());
        }
        let what = what.clone();
        self.tell_backup(match text {
            Some(trouble) => Event::WalTrouble { what, trouble },
            None => Event::WalWell { what },
        })
    }
}
