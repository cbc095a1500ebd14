//! What somebody has to look at, for whoever asks without any loop: copies that are older than promised, drills that failed or did not come,
//! and WAL that is not where it should be. From rows alone and from the time now, so that a control that stands still hides nothing. Tests at the
//! end of the file.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::drill::{Drill, Method, State};
use crate::spool::{self, Plan};
use havre_core::backup::What;
use havre_core::backup::age::{self, Promise};
use havre_core::backup::policy::BackupPolicy;
use havre_core::backup::target::{BackupTarget, TargetState};
use havre_core::name::TargetName;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// Drills are late after this many times their turn, as copies are.
const TIMES: u64 = 2;

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Where copies go.
    Target,
    /// A copy.
    Copy,
    /// A drill.
    Drill,
    /// WAL.
    Wal,
}

impl Subject {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Copy => "copy",
            Self::Drill => "drill",
            Self::Wal => "wal",
        }
    }
}

/// One thing somebody has to look at. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// What it is about.
    pub subject: Subject,
    /// Of what; absent where it is about all of it.
    pub what: Option<What>,
    /// Where; absent where it is about no target, or about several.
    pub target: Option<TargetName>,
    /// What is wrong, for people.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.subject.as_str())?;
        if let Some(what) = &self.what {
            write!(f, " of {what}")?;
        }
        if let Some(target) = &self.target {
            write!(f, " in {target}")?;
        }
        // Reasons of others may have several lines.
        let words: Vec<&str> = self.reason.split_whitespace().collect();
        write!(f, ": {}", words.join(" "))
    }
}

/// What is known of a database that is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The database.
    pub what: What,
    /// What is promised.
    pub policy: BackupPolicy,
    /// Since when it is there.
    pub since: Timestamp,
    /// When a drill of it was asked for last.
    pub drilled_at: Option<Timestamp>,
    /// The newest drill of each way that is over and was not interrupted.
    pub drills: Vec<Drill>,
    /// What was told of its WAL last.
    pub trouble: Option<String>,
    /// Up to when each target of its policy has its WAL; empty where its server hands none out yet.
    pub wal: Vec<(TargetName, Option<Timestamp>)>,
}

/// Problems of targets: where nothing goes anywhere, no copy can be late.
pub fn targets(targets: &[BackupTarget]) -> Vec<Problem> {
    let problem =
        |target: Option<&TargetName>, reason: String| Problem { target: target.cloned(), ..about(reason) };
    if targets.is_empty() {
        return vec![problem(None, "there is no backup target, so nothing is saved".to_owned())];
    }
    let failed = targets.iter().filter_map(|target| match &target.state {
        TargetState::Failed { reason } => {
            Some(problem(Some(&target.spec.name), format!("it cannot be used: {reason}")))
        }
        TargetState::Waiting | TargetState::Ready => None,
    });
    failed.collect()
}

fn about(reason: String) -> Problem {
    Problem { subject: Subject::Target, what: None, target: None, reason }
}

/// Copies that are too old, or not there.
pub fn copies(promises: &[Promise], now: Timestamp) -> Vec<Problem> {
    let late = promises.iter().filter_map(|promise| {
        let alarm = age::judge(promise, now)?;
        Some(Problem {
            subject: Subject::Copy,
            what: Some(promise.what.clone()),
            target: Some(promise.target.clone()),
            reason: alarm.to_string(),
        })
    });
    late.collect()
}

/// Problems of one database, besides the ages of its copies.
pub fn database(saved: &Saved, there: &[BackupTarget], now: Timestamp) -> Vec<Problem> {
    let problem = |subject, target: Option<TargetName>, reason: String| Problem {
        subject,
        what: Some(saved.what.clone()),
        target,
        reason,
    };
    let mut problems = Vec::new();
    for name in saved.policy.missing_targets(there) {
        let reason = "its policy names this target, and there is none of this name".to_owned();
        problems.push(problem(Subject::Target, Some(name), reason));
    }
    for drill in &saved.drills {
        if let State::Failed { stage, reason, .. } = &drill.state {
            let (id, how) = (drill.id, drill.method().as_str());
            let reason = format!("{id} ({how}) failed while {stage}: {reason}");
            problems.push(problem(Subject::Drill, Some(drill.target.clone()), reason));
        }
    }
    if let Some(reason) = saved.policy.drill.and_then(|every| late(every, saved, now)) {
        problems.push(problem(Subject::Drill, None, reason));
    }
    if let Some(reason) = wal(saved, now) {
        problems.push(problem(Subject::Wal, None, reason));
    }
    problems
}

fn late(every: Span, saved: &Saved, now: Timestamp) -> Option<String> {
    let most = Span::millis(every.as_millis().saturating_mul(TIMES));
    // What a clock wrote that was far ahead says nothing.
    let last = saved.drilled_at.filter(|at| *at <= now.after(age::CLOCK_STEP.duration()));
    let since = last.unwrap_or(saved.since);
    if now.since(since) <= most.duration() {
        return None;
    }
    Some(match last {
        Some(at) => format!("the last one was asked for at {at}, and one every {every} is promised"),
        None => format!("there was none, and one every {every} is promised"),
    })
}

/// What was told, or else what rows say now: nobody tells anything while control does not run.
fn wal(saved: &Saved, now: Timestamp) -> Option<String> {
    if saved.wal.is_empty() {
        return None;
    }
    let behind = spool::judge(&Plan::default(), 0, &saved.wal, saved.since, now);
    match (&saved.trouble, behind) {
        (_, Some(behind)) => Some(behind.to_string()),
        (Some(told), None) => Some(told.clone()),
        (None, None) => None,
    }
}

/// Whether drills of this way are made of a database with this policy: what was once tried and is promised no more is nobody's problem.
pub const fn is_drilled(policy: &BackupPolicy, method: Method) -> bool {
    match method {
        Method::Dump => true,
        Method::PointInTime => policy.point_in_time.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::aim::Aim;
    use super::super::drill::tests::drill;
    use super::super::line::Recovery;
    use super::super::proof::tests::AT;
    use super::super::proof::{Failure, Stage};
    use super::*;

    const DAY: u64 = 86_400;

    fn later(seconds: u64) -> Timestamp {
        AT.after(Span::seconds(seconds).duration())
    }

    fn disk() -> TargetName {
        "disk".parse().expect("a name")
    }

    fn target(state: TargetState) -> BackupTarget {
        let spec = serde_json::from_value(serde_json::json!({
            "name": "disk", "medium": "two", "is_offsite": false, "location": { "kind": "folder", "path": "/mnt/disk" },
        }));
        BackupTarget {
            spec: spec.expect("is a target"),
            repository: None,
            has_credential: false,
            state,
            kit_shown_at: None,
            created_at: AT,
        }
    }

    fn saved() -> Saved {
        Saved {
            what: drill().manifest.what,
            policy: BackupPolicy {
                drill: Some(Span::seconds(7 * DAY)),
                point_in_time: Some(Span::seconds(14 * DAY)),
                ..BackupPolicy::of_postgres()
            },
            since: AT,
            drilled_at: None,
            drills: Vec::new(),
            trouble: None,
            wal: Vec::new(),
        }
    }

    fn said(saved: &Saved, now: Timestamp) -> Vec<String> {
        database(saved, &[target(TargetState::Ready)], now).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn no_target_and_one_that_cannot_be_used_are_problems() {
        let all = |there: &[BackupTarget]| targets(there).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(all(&[]), ["target: there is no backup target, so nothing is saved"]);
        let failed = target(TargetState::Failed { reason: "no route\nto it".to_owned() });
        assert_eq!(all(&[failed]), ["target in disk: it cannot be used: no route to it"], "one line");
        assert!(all(&[target(TargetState::Ready), target(TargetState::Waiting)]).is_empty());
        let mut saved = saved();
        saved.policy.targets.insert("bucket".parse().expect("a name"));
        assert_eq!(
            said(&saved, AT),
            [
                "target of database shop/production/db in bucket: its policy names this target, and there is none of this name"
            ]
        );
    }

    #[test]
    fn copies_are_judged_as_the_alarm_judges_them() {
        let promise = |newest| Promise {
            what: What::Platform,
            target: disk(),
            every: Span::seconds(3600),
            since: AT,
            newest: Some(newest),
        };
        let now = later(3 * 3600);
        assert!(copies(&[promise(later(3600))], now).is_empty());
        let found = copies(&[promise(later(3600)), promise(later(3599))], now);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "copy of platform in disk: the newest copy is of 2025-11-24T10:59:59.000Z, and one every 1h is promised"
            ]
        );
    }

    #[test]
    fn a_drill_that_failed_or_did_not_come_is_a_problem() {
        let failed = |method| {
            let reason = Failure::Loader { reason: "the server that reads the WAL ended".to_owned() };
            let state = State::Failed { at: AT, stage: Stage::Loading, reason };
            let recovery = Recovery { at: AT, source: "db".parse().expect("a name"), stretches: Vec::new() };
            let aim = Aim { newest: AT, recovery };
            Drill { state, aim: (method == Method::PointInTime).then_some(aim), ..drill() }
        };
        let one = Saved { drills: vec![failed(Method::PointInTime)], drilled_at: Some(AT), ..saved() };
        assert_eq!(
            said(&one, later(DAY)),
            [
                "drill of database shop/production/db in disk: x3 (point in time) failed while loading: the snapshot could not \
              be loaded: the server that reads the WAL ended"
            ]
        );
        let passed = Drill { state: State::Passed { at: AT }, ..failed(Method::Dump) };
        let well = Saved { drills: vec![passed], ..one };
        assert!(said(&well, later(14 * DAY)).is_empty());
        assert_eq!(
            said(&well, later(14 * DAY + 1)),
            [
                "drill of database shop/production/db: the last one was asked for at 2025-11-24T10:00:00.000Z, and one every \
              7d is promised"
            ]
        );
        assert!(said(&saved(), later(14 * DAY)).is_empty());
        assert_eq!(
            said(&saved(), later(14 * DAY + 1)),
            ["drill of database shop/production/db: there was none, and one every 7d is promised"]
        );
        let ahead = Saved { drilled_at: Some(later(900 * DAY)), ..saved() };
        assert_eq!(said(&ahead, later(15 * DAY)).len(), 1, "what a clock wrote that was ahead hides nothing");
    }

    #[test]
    fn wal_that_stays_behind_is_seen_without_anybody_telling() {
        let at = |newest: Option<Timestamp>| Saved { wal: vec![(disk(), newest)], ..saved() };
        assert!(said(&at(Some(later(1000))), later(1300)).is_empty());
        assert_eq!(
            said(&at(Some(later(1000))), later(1301)),
            ["wal of database shop/production/db: disk has nothing of after 2025-11-24T10:16:40.000Z"]
        );
        assert_eq!(said(&at(None), later(301)), ["wal of database shop/production/db: disk has nothing"]);
        assert!(said(&at(None), later(299)).is_empty(), "it has just begun");
        let told = Saved { trouble: Some("3 segments were removed".to_owned()), ..at(Some(later(1000))) };
        assert_eq!(said(&told, later(1001)), ["wal of database shop/production/db: 3 segments were removed"]);
        assert!(said(&Saved { wal: Vec::new(), ..told }, later(1001)).is_empty(), "none is kept any more");
    }

    #[test]
    fn what_is_promised_no_more_is_no_problem() {
        let policy = saved().policy;
        assert!(is_drilled(&policy, Method::Dump) && is_drilled(&policy, Method::PointInTime));
        assert!(!is_drilled(&BackupPolicy::of_postgres(), Method::PointInTime));
    }
}
