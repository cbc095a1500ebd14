//! What rows promise: duties for the loop, promises and their alarms for whoever asks how old copies are. Reads only what is there, and
//! decides nothing. Tests: `tests/it/backup_promise.rs`.

use havre_core::backup::What;
use havre_core::backup::age::{Change, Promise};
use havre_core::backup::event::Event;
use havre_core::backup::policy::{BackupPolicy, of_database, what_of};
use havre_core::backup::retention::Keep;
use havre_core::backup::run::{BackupRun, RunFilter};
use havre_core::backup::state::{Failure, State};
use havre_core::backup::target::BackupTarget;
use havre_core::id::DatabaseId;
use havre_core::name::TargetName;
use havre_core::quantity::Span;
use havre_core::service::Service;
use havre_core::time::Timestamp;
use havre_rescue::line::{base_of, base_policy};
use havre_rescue::plan::{Duty, Trouble};
use havre_rescue::volume::{has_volume, saved_of, what_of as volume_what};

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// Runs that are looked at to count those that failed in a row: more of them change no pause.
const LOOKED_AT: u32 = 20;

/// One thing that is promised to be saved.
struct Saved {
    what: What,
    policy: BackupPolicy,
    /// Of a base backup: the database whose files it is.
    files_of: Option<DatabaseId>,
    /// Since when there is something to save.
    since: Timestamp,
    /// Whether it can be saved: there was something in it once, and no swap is giving it another name.
    is_ready: bool,
}

impl View<'_> {
    /// Everything that has a policy: the platform, databases, base backups of those whose WAL is kept, and volumes. What is on its way out has
    /// none.
    fn list_saved(&self) -> Result<Vec<Saved>, StoreError> {
        let platform = Saved {
            what: What::Platform,
            policy: BackupPolicy::of_platform(),
            files_of: None,
            since: Timestamp::from_millis(i64::MIN),
            is_ready: true,
        };
        let mut saved = vec![platform];
        for database in self.list_databases()? {
            let Some(policy) = of_database(&database) else { continue };
            let since = database.created_at;
            let name = &database.spec.name;
            // What is empty, or half filled, must never be taken for what was saved before.
            let is_there = self.find_lost_database(database.environment, name)?.is_none();
            let is_settled = is_there && self.find_open_swap(database.id)?.is_none();
            let is_ready = database.ready_at.is_some() && is_settled;
            if let Some(policy) = base_policy(policy).filter(|_| database.spec.keeps_wal()) {
                // Before its server has started with that, it hands no WAL out.
                let is_ready = is_ready && database.started_revision == database.revision;
                let (what, files_of) = (base_of(&database), Some(database.id));
                saved.push(Saved { what, policy, files_of, since, is_ready });
            }
            let (what, policy) = (what_of(&database), policy.clone());
            saved.push(Saved { what, policy, files_of: None, since, is_ready });
        }
        for service in self.list_services()? {
            saved.extend(self.list_saved_volumes(&service)?);
        }
        Ok(saved)
    }

    /// Volumes of a service that are promised to be saved. Before a release with one is live, there is nothing in it.
    fn list_saved_volumes(&self, service: &Service) -> Result<Vec<Saved>, StoreError> {
        let volumes = saved_of(service);
        let Some(live) = service.live.filter(|_| !volumes.is_empty()) else { return Ok(Vec::new()) };
        let live = self.get_release(live)?;
        let sql = "SELECT min(created_at) AS created_at FROM releases WHERE service = ?1";
        let since = row::find(self.connection, sql, [service.id.row()], |row| {
            row::instant_or_none(row, "created_at")
        })?;
        let since = since.flatten().unwrap_or(live.created_at);
        let there = volumes.into_iter().filter(|(name, _)| has_volume(&live.spec, name));
        Ok(there
            .map(|(name, backup)| Saved {
                what: volume_what(&service.place, &name),
                policy: backup.policy,
                files_of: None,
                since,
                is_ready: true,
            })
            .collect())
    }

    /// What the loop is to save, and where to, with what came of it before. A database that never answered has nothing to save yet.
    pub fn list_backup_duties(&self) -> Result<Vec<Duty>, StoreError> {
        let targets = self.list_backup_targets()?;
        let mut duties = Vec::new();
        for saved in self.list_saved()?.into_iter().filter(|saved| saved.is_ready) {
            for target in goes_to(&saved.policy, &targets) {
                let (mut good_at, trouble) = self.past(&saved.what, target)?;
                if let Some(database) = saved.files_of
                    && self.is_line_broken(&saved.what, database, target)?
                {
                    good_at = None;
                }
                let (what, target, every) = (saved.what.clone(), target.clone(), saved.policy.every);
                duties.push(Duty { what, target, every, good_at, trouble });
            }
        }
        Ok(duties)
    }

    /// Every promise about a copy in a target that is there, for the age of copies.
    pub fn list_backup_promises(&self) -> Result<Vec<Promise>, StoreError> {
        let targets = self.list_backup_targets()?;
        let mut promises = Vec::new();
        for saved in self.list_saved()? {
            for target in &targets {
                let name = &target.spec.name;
                if !saved.policy.goes_to(name) {
                    continue;
                }
                let newest = self.newest_good_backup_run(&saved.what, name)?;
                // A policy that is newer than its database has been promised since its first run at the latest.
                let first = self.first_backup_created(&saved.what, name)?.unwrap_or(target.created_at);
                promises.push(Promise {
                    what: saved.what.clone(),
                    target: name.clone(),
                    every: saved.policy.every,
                    since: saved.since.max(target.created_at).max(first),
                    newest: newest.and_then(|run| run.begun_at),
                });
            }
        }
        Ok(promises)
    }

    /// Which snapshots of this stay, as its policy says; nothing where it has none any more: then all of them do.
    pub fn find_backup_keep(&self, what: &What) -> Result<Option<Keep>, StoreError> {
        Ok(self.list_saved()?.into_iter().find(|saved| saved.what == *what).map(|saved| saved.policy.keep))
    }

    /// How far back every second is promised of what is called so where it is saved; nothing where it is no base backup, or nothing is promised.
    pub fn find_base_window(&self, what: &What) -> Result<Option<Span>, StoreError> {
        let saved = self.list_saved()?.into_iter().find(|saved| saved.what == *what);
        Ok(saved.filter(|saved| saved.files_of.is_some()).and_then(|saved| saved.policy.point_in_time))
    }

    fn past(
        &self,
        what: &What,
        target: &TargetName,
    ) -> Result<(Option<Timestamp>, Option<Trouble>), StoreError> {
        let filter = RunFilter { what: Some(what.clone()), target: Some(target.clone()), state: None };
        let mut trouble: Option<Trouble> = None;
        // In the order of rows: what a clock said that jumped must not hide what came later.
        for run in self.list_backup_runs(&filter, LOOKED_AT)? {
            match &run.state {
                State::Good { .. } => return Ok((run.begun_at, trouble)),
                State::Failed { reason, .. } => add(&mut trouble, &run, reason),
                State::Dumping { .. } | State::Storing { .. } | State::Verifying { .. } => {}
            }
        }
        let good_at = self.newest_good_backup_run(what, target)?.and_then(|run| run.begun_at);
        Ok((good_at, trouble))
    }

    fn first_backup_created(
        &self,
        what: &What,
        target: &TargetName,
    ) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(created_at) AS created_at FROM backup_runs WHERE what_key = ?1 AND target = ?2";
        let found = row::find(self.connection, sql, (what.key(), target.as_str()), |row| {
            row::instant_or_none(row, "created_at")
        })?;
        Ok(found.flatten())
    }

    /// Promises that were told to be broken.
    pub fn list_backup_alarms(&self) -> Result<Vec<(What, TargetName)>, StoreError> {
        let sql = "SELECT 0, what, target FROM backup_alarms ORDER BY what_key, target";
        row::list(self.connection, sql, [], |row| {
            let origin = Origin::of("backup_alarms", row)?;
            Ok((origin.json(row, "what")?, origin.text(row, "target")?))
        })
    }

    /// When the repository of a target was last pruned.
    pub fn find_backup_prune(&self, target: &TargetName) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT pruned_at FROM backup_prunes WHERE target = ?1";
        row::find(self.connection, sql, [target.as_str()], |row| row::instant(row, "pruned_at"))
    }
}

fn goes_to<'a>(
    policy: &'a BackupPolicy,
    targets: &'a [BackupTarget],
) -> impl Iterator<Item = &'a TargetName> {
    targets.iter().map(|target| &target.spec.name).filter(move |name| policy.goes_to(name))
}

fn add(trouble: &mut Option<Trouble>, run: &BackupRun, reason: &Failure) {
    match trouble {
        Some(trouble) => trouble.count = trouble.count.saturating_add(1),
        None => {
            let is_cancelled = *reason == Failure::Cancelled;
            *trouble = Some(Trouble { count: 1, at: run.ended_at.unwrap_or(run.created_at), is_cancelled });
        }
    }
}

impl Tx<'_> {
    /// Records that a promise is told to be broken, or to be kept again. Nothing happens when that is known.
    pub fn record_backup_alarm(&mut self, change: &Change) -> Result<(), StoreError> {
        let (key, target) = (change.what.key(), change.target.as_str());
        let event = match &change.alarm {
            Some(alarm) => {
                let count = row::run(
                    self.connection,
                    "INSERT INTO backup_alarms (what, what_key, target, since) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                    (row::to_json("what is saved", &change.what)?, key, target, self.at.as_millis()),
                )?;
                let (what, target, alarm) = (change.what.clone(), change.target.clone(), alarm.clone());
                (count > 0).then_some(Event::AlarmRaised { what, target, alarm })
            }
            None => {
                let count = self.remove_backup_alarm(&change.what, &change.target)?;
                let (what, target) = (change.what.clone(), change.target.clone());
                (count > 0).then_some(Event::AlarmCleared { what, target })
            }
        };
        event.map_or(Ok(()), |event| self.tell_backup(event))
    }

    /// Forgets an alarm about what is promised no more, without an event: nothing became better.
    pub fn forget_backup_alarm(&mut self, what: &What, target: &TargetName) -> Result<(), StoreError> {
        self.remove_backup_alarm(what, target).map(drop)
    }

    fn remove_backup_alarm(&mut self, what: &What, target: &TargetName) -> Result<usize, StoreError> {
        let sql = "DELETE FROM backup_alarms WHERE what_key = ?1 AND target = ?2";
        row::run(self.connection, sql, (what.key(), target.as_str()))
    }

    /// Records that the repository of a target was pruned now. No event: it changes no backup.
    pub fn record_backup_prune(&mut self, target: &TargetName) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "INSERT INTO backup_prunes (target, pruned_at) VALUES (?1, ?2) \
             ON CONFLICT (target) DO UPDATE SET pruned_at = excluded.pruned_at",
            (target.as_str(), self.at.as_millis()),
        )?;
        Ok(())
    }
}
