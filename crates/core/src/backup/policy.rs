//! The policy of backups: how often, what is kept, how often a restore is tried, and where to. That of a database stands in `havre.toml`;
//! that of the platform is fixed, because whoever forgets it loses everything. Tests at the end of the file.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::backup::What;
use crate::backup::retention::Keep;
use crate::backup::target::BackupTarget;
use crate::database::Database;
use crate::database::spec::Kind;
use crate::name::TargetName;
use crate::quantity::Span;
use crate::time::Timestamp;

/// Longest statement of the user that should be true.
pub const ASSERTION_MAX: usize = 1000;
/// Most of them for one database.
pub const ASSERTIONS_MAX: usize = 50;

/// Shortest time between two runs.
pub const EVERY_MIN: Span = Span::seconds(15 * 60);
/// Longest time between two runs, and between two drills.
pub const EVERY_MAX: Span = Span::seconds(366 * 86_400);
/// Shortest time between two drills: each of them is a whole server for a while.
pub const DRILL_MIN: Span = Span::seconds(3600);
/// Shortest and longest time of which every second can be brought back.
pub const WINDOW: std::ops::RangeInclusive<Span> = Span::seconds(86_400)..=EVERY_MAX;
/// How long a run may take beyond its turn before its copy counts as late.
const LATE_AFTER: Span = Span::seconds(3600);

/// What is promised for one thing that is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupPolicy {
    /// Time from the beginning of one run to the beginning of the next.
    pub every: Span,
    /// Which snapshots stay.
    pub keep: Keep,
    /// Time between restore drills; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Span>,
    /// Time back from now of which every second can be brought back; absent where its WAL is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_in_time: Option<Span>,
    /// SQL that must be true of a copy that a drill has restored, each in one row with one value.
    #[serde(default, rename = "assert", skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<String>,
    /// Where to; empty for every target there is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub targets: BTreeSet<TargetName>,
}

impl BackupPolicy {
    /// Of a PostgreSQL or MariaDB database about which nothing is said: a day at most is lost, and half a year can be looked into.
    pub fn of_postgres() -> Self {
        Self {
            every: Span::seconds(86_400),
            keep: Keep { daily: 7, weekly: 4, monthly: 6, ..Keep::default() },
            drill: None,
            point_in_time: None,
            assertions: Vec::new(),
            targets: BTreeSet::new(),
        }
    }

    /// Of the platform: every hour, to every target.
    pub fn of_platform() -> Self {
        Self {
            every: Span::seconds(3600),
            keep: Keep { hourly: 24, daily: 7, weekly: 4, ..Keep::default() },
            drill: None,
            point_in_time: None,
            assertions: Vec::new(),
            targets: BTreeSet::new(),
        }
    }

    /// When nothing is said about a database of this kind. Redis and Valkey are taken for caches.
    pub fn of_kind(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Postgres | Kind::Mariadb => Some(Self::of_postgres()),
            Kind::Redis | Kind::Valkey => None,
        }
    }

    /// What is wrong with it, for people; empty when nothing is.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.every < EVERY_MIN || self.every > EVERY_MAX {
            problems.push(format!("`every` is from {EVERY_MIN} to {EVERY_MAX}"));
        }
        let keep = &self.keep;
        let counts = [keep.last, keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.yearly];
        if counts.iter().all(|count| *count == 0) {
            problems.push("`keep` keeps nothing: say at least one of its numbers".to_owned());
        }
        if self.drill.is_some_and(|drill| drill < DRILL_MIN || drill > EVERY_MAX) {
            problems.push(format!("`drill` is from {DRILL_MIN} to {EVERY_MAX}"));
        }
        if self.point_in_time.is_some_and(|window| !WINDOW.contains(&window)) {
            problems.push(format!("`point_in_time` is from {} to {}", WINDOW.start(), WINDOW.end()));
        }
        problems
            .extend(assertion_problems(&self.assertions).into_iter().map(|text| format!("`assert`: {text}")));
        problems
    }

    /// Whether it goes to this target.
    pub fn goes_to(&self, target: &TargetName) -> bool {
        self.targets.is_empty() || self.targets.contains(target)
    }

    /// Targets it names that there are not.
    pub fn missing_targets(&self, there: &[BackupTarget]) -> Vec<TargetName> {
        let is_there = |name: &TargetName| there.iter().any(|target| target.spec.name == *name);
        self.targets.iter().filter(|name| !is_there(name)).cloned().collect()
    }

    /// Oldest that a copy may be and still count: a turn, and the time a run may take.
    pub fn rpo_target(&self) -> Span {
        Span::millis(self.every.as_millis().saturating_add(LATE_AFTER.as_millis()))
    }

    /// When the next run is due, from when the last one began; at once where there was none.
    pub fn due_at(&self, last_begun: Option<Timestamp>, now: Timestamp) -> Timestamp {
        match last_begun {
            // A clock that was set back must not hold backups up.
            Some(last) if last <= now => last.after(self.every.duration()),
            Some(_) | None => now,
        }
    }
}

/// What the tasks of a service do while a volume of theirs is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeMode {
    /// They go on: each file is as it was when it was read.
    #[default]
    Plain,
    /// They are paused: all files are of one instant, as a power cut would leave them.
    Pause,
}

/// What is promised for a volume, as `havre.toml` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeBackup {
    /// How it is held still.
    pub mode: VolumeMode,
    /// How often, what is kept, and where to.
    pub policy: BackupPolicy,
}

/// The policy of a database: the one of `havre.toml`. Previews have none, since they are copies that come and go; neither has what is on
/// its way out.
pub fn of_database(database: &Database) -> Option<&BackupPolicy> {
    if database.environment_name.pull().is_some() || database.state.is_destroying() {
        return None;
    }
    database.spec.backup.as_ref()
}

/// What a database is called where it is saved.
pub fn what_of(database: &Database) -> What {
    What::Database {
        project: database.project.clone(),
        environment: database.environment_name.clone(),
        database: (&database.spec.name).into(),
    }
}

/// What is wrong with statements of the user, for people; empty when nothing is. What they mean is asked of a server only.
pub fn assertion_problems(assertions: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    if assertions.len() > ASSERTIONS_MAX {
        problems.push(format!("{} statements are too many: at most {ASSERTIONS_MAX}", assertions.len()));
    }
    for sql in assertions {
        if sql.trim().is_empty() {
            problems.push("a statement is empty".to_owned());
        }
        if sql.len() > ASSERTION_MAX {
            problems.push(format!("a statement is longer than {ASSERTION_MAX} bytes"));
        }
        if sql.contains('\0') {
            problems.push("a statement holds a zero byte".to_owned());
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(BackupPolicy::of_postgres().problems(), Vec::<String>::new());
        assert_eq!(BackupPolicy::of_platform().problems(), Vec::<String>::new());
        let wrong = BackupPolicy {
            every: Span::seconds(60),
            keep: Keep::default(),
            drill: Some(Span::seconds(60)),
            point_in_time: Some(Span::seconds(3600)),
            ..BackupPolicy::of_postgres()
        };
        assert_eq!(
            wrong.problems(),
            [
                "`every` is from 15m to 366d",
                "`keep` keeps nothing: say at least one of its numbers",
                "`drill` is from 1h to 366d",
                "`point_in_time` is from 1d to 366d",
            ]
        );
    }

    #[test]
    fn a_run_is_due_a_turn_after_the_last_one_began() {
        let policy = BackupPolicy::of_platform();
        let now = Timestamp::from_millis(1_763_978_400_000);
        let hours = |count: i64| Timestamp::from_millis(now.as_millis() + count * 3_600_000);
        assert_eq!(policy.due_at(None, now), now);
        assert_eq!(policy.due_at(Some(hours(-2)), now), hours(-1));
        assert_eq!(policy.due_at(Some(now), now), hours(1));
        assert_eq!(policy.due_at(Some(hours(5)), now), now, "the clock was set back");
        assert_eq!(policy.rpo_target(), Span::seconds(7200));
    }

    #[test]
    fn targets_that_are_named_are_the_only_ones() {
        let name = |text: &str| text.parse::<TargetName>().expect("a name");
        let every = BackupPolicy::of_postgres();
        assert!(every.goes_to(&name("bucket")) && every.missing_targets(&[]).is_empty());
        let one = BackupPolicy { targets: BTreeSet::from([name("disk-two")]), ..every };
        assert!(one.goes_to(&name("disk-two")) && !one.goes_to(&name("bucket")));
        assert_eq!(one.missing_targets(&[]), [name("disk-two")]);
    }

    #[test]
    fn one_policy_has_one_text() {
        let json = serde_json::to_value(BackupPolicy::of_postgres()).expect("is JSON");
        let back: BackupPolicy = serde_json::from_value(json).expect("is a policy");
        assert_eq!(back, BackupPolicy::of_postgres());
    }

    #[test]
    fn statements_have_bounds() {
        assert_eq!(assertion_problems(&["select true".to_owned()]), Vec::<String>::new());
        assert_eq!(assertion_problems(&[" ".to_owned(), "x".repeat(1001), "a\0".to_owned()]).len(), 3);
        assert_eq!(assertion_problems(&vec!["select true".to_owned(); 51]).len(), 1);
    }
}
