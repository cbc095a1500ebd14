//! What somebody has to look at, out of rows alone. What that is, is decided in `havre_rescue::check`. Tests: `tests/it/check.rs`.

use havre_core::backup::policy::{BackupPolicy, of_database, what_of};
use havre_core::backup::target::BackupTarget;
use havre_core::database::Database;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;
use havre_rescue::check::{self, Problem, Saved, is_drilled};
use havre_rescue::drill::Method;

use crate::error::StoreError;
use crate::view::View;

impl View<'_> {
    /// Everything about backups that is not as it was promised: targets first, then copies, then databases by their rows.
    pub fn list_backup_problems(&self, now: Timestamp) -> Result<Vec<Problem>, StoreError> {
        let targets = self.list_backup_targets()?;
        let mut problems = check::targets(&targets);
        problems.extend(check::copies(&self.list_backup_promises()?, now));
        for database in self.list_databases()? {
            let Some(policy) = of_database(&database) else { continue };
            let saved = self.look_at(&database, policy, &targets)?;
            problems.extend(check::database(&saved, &targets, now));
        }
        Ok(problems)
    }

    fn look_at(
        &self,
        database: &Database,
        policy: &BackupPolicy,
        targets: &[BackupTarget],
    ) -> Result<Saved, StoreError> {
        let what = what_of(database);
        let key = what.key();
        let mut drills = Vec::new();
        for method in [Method::Dump, Method::PointInTime] {
            if is_drilled(policy, method) {
                drills.extend(self.find_ended_drill(&key, method)?);
            }
        }
        // WAL can be behind only where there is somewhere to go, and a server that hands it out.
        let named: Vec<&BackupTarget> =
            targets.iter().filter(|target| policy.goes_to(&target.spec.name)).collect();
        let mut wal: Vec<(TargetName, Option<Timestamp>)> = Vec::new();
        let hands_out = database.spec.keeps_wal() && database.started_revision == database.revision;
        for target in named.iter().filter(|_| hands_out && database.ready_at.is_some()) {
            let name = &target.spec.name;
            wal.push((name.clone(), self.find_wal_until(database.id, name)?));
        }
        let first = named.iter().map(|target| target.created_at).min();
        let ready = database.ready_at.unwrap_or(database.created_at);
        Ok(Saved {
            policy: policy.clone(),
            since: first.map_or(ready, |first| first.max(ready)),
            drilled_at: self.find_last_drill(&key)?.map(|last| last.created_at),
            drills,
            trouble: self.find_wal_trouble(database.id)?,
            wal,
            what,
        })
    }
}
