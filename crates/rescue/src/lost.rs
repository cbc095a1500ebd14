//! Databases whose data went with the server it was on. Such a database never starts empty: it waits until its newest backup is back in a new
//! volume under the same name, or until somebody gives it up. Tests at the end of the file.

use std::collections::BTreeMap;

use havre_core::backup::target::TargetState;
use havre_core::database::role::RoleName;
use havre_core::id::EnvironmentId;
use havre_core::name::{DatabaseName, TargetName};
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

use crate::restore::Point;

/// Times the newest backup is put back without being asked for.
pub const ATTEMPTS_MAX: u32 = 3;
/// Pause after one of them that failed.
pub const TRY_AGAIN: Span = Span::seconds(600);

/// A row: a database whose data is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its name.
    pub name: DatabaseName,
    /// Since when that is known.
    pub since: Timestamp,
    /// Times that a backup of it was put back.
    pub attempts: u32,
    /// When that was tried last.
    pub tried_at: Option<Timestamp>,
    /// Somebody has asked for it to go, and nothing comes back any more.
    pub is_given_up: bool,
    /// Roles it had: they may own what is in its backups.
    pub roles: Vec<RoleName>,
}

/// What comes next for a database whose data is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<'a> {
    /// This backup is put back now.
    Restore(&'a Point),
    /// Another try then.
    Later(Timestamp),
    /// Nobody has looked yet at every target that has a backup of it.
    Unseen,
    /// No target that has a backup of it can be used.
    Away,
    /// It was tried often enough: somebody has to look.
    Person,
    /// Nobody knows of a backup.
    Nothing,
    /// It goes.
    GivenUp,
}

/// Chooses. A backup counts where its target can be used: one on a disk of the old server is gone with it, however new it was.
pub fn next<'a>(
    lost: &Lost,
    points: &'a [Point],
    targets: &BTreeMap<TargetName, TargetState>,
    now: Timestamp,
) -> Next<'a> {
    if lost.is_given_up {
        return Next::GivenUp;
    }
    if points.is_empty() {
        return Next::Nothing;
    }
    if lost.attempts >= ATTEMPTS_MAX {
        return Next::Person;
    }
    if points.iter().any(|point| targets.get(&point.target) == Some(&TargetState::Waiting)) {
        return Next::Unseen;
    }
    let usable = points.iter().filter(|point| targets.get(&point.target) == Some(&TargetState::Ready));
    let newest = usable
        .reduce(|best, one| if one.manifest.started_at > best.manifest.started_at { one } else { best });
    let Some(newest) = newest else { return Next::Away };
    match lost.tried_at.map(|tried| (tried, tried.after(TRY_AGAIN.duration()))) {
        // A clock that jumped back must not hold it up.
        Some((tried, until)) if now >= tried && now < until => Next::Later(until),
        Some(_) | None => Next::Restore(newest),
    }
}

/// What people read meanwhile.
pub fn said(next: &Next<'_>, name: &DatabaseName) -> String {
    let what = "its data went with the server it was on, and it does not start empty in its place";
    match next {
        Next::Restore(point) => {
            format!("{what}: the backup of {} comes back now", point.manifest.started_at)
        }
        Next::Later(at) => {
            format!(
                "{what}: putting it back failed (`havre restore list {name} --done` says why), and is tried again at {at}"
            )
        }
        Next::Unseen => format!("{what}: waits until its backup targets have been looked at"),
        Next::Away => format!(
            "{what}: no target that has a backup of it can be used; `havre backup target list` says why, and setting it again with what it \
             needs is looked at at once"
        ),
        Next::Person => format!(
            "{what}: putting it back failed {ATTEMPTS_MAX} times; `havre restore list {name} --done` says why, `havre restore {name} --at ...` or \
             `--snapshot ...` takes another backup"
        ),
        Next::Nothing => format!(
            "{what}, and no backup of it is known; `havre db destroy {name}` and then `havre apply` make an empty one"
        ),
        Next::GivenUp => format!("{what}: somebody has given it up"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::proof::tests::{AT, manifest};
    use super::*;
    use havre_core::backup::manifest::Manifest;
    use havre_core::id::BackupRunId;

    fn after(seconds: u64) -> Timestamp {
        AT.after(std::time::Duration::from_secs(seconds))
    }

    fn point(target: &str, seconds: u64) -> Point {
        let manifest = Manifest { started_at: after(seconds), ..manifest() };
        Point { run: BackupRunId::new(1), target: target.parse().expect("is a name"), manifest }
    }

    fn lost() -> Lost {
        Lost {
            environment: EnvironmentId::new(1),
            name: "db".parse().expect("is a name"),
            since: AT,
            attempts: 0,
            tried_at: None,
            is_given_up: false,
            roles: Vec::new(),
        }
    }

    fn targets(disk: TargetState, s3: TargetState) -> BTreeMap<TargetName, TargetState> {
        BTreeMap::from([("disk".parse().expect("is a name"), disk), ("s3".parse().expect("is a name"), s3)])
    }

    fn gone() -> TargetState {
        TargetState::Failed { reason: "there is no repository".to_owned() }
    }

    #[test]
    fn the_newest_one_that_can_be_read_comes_back() {
        let points = [point("disk", 30), point("s3", 20), point("s3", 10)];
        let next = |targets| next(&lost(), &points, &targets, after(100));
        assert_eq!(next(targets(TargetState::Ready, TargetState::Ready)), Next::Restore(&points[0]));
        assert_eq!(next(targets(gone(), TargetState::Ready)), Next::Restore(&points[1]));
        assert_eq!(next(targets(TargetState::Waiting, TargetState::Ready)), Next::Unseen);
        assert_eq!(next(targets(gone(), gone())), Next::Away);
        assert_eq!(next(BTreeMap::new()), Next::Away);
    }

    #[test]
    fn it_is_tried_a_few_times_and_never_begins_empty() {
        let points = [point("disk", 30)];
        let ready = targets(TargetState::Ready, TargetState::Ready);
        let tried = |attempts, tried_at| Lost { attempts, tried_at, ..lost() };
        let again = after(100).after(TRY_AGAIN.duration());
        assert_eq!(next(&tried(1, Some(after(100))), &points, &ready, after(101)), Next::Later(again));
        assert_eq!(next(&tried(1, Some(after(100))), &points, &ready, again), Next::Restore(&points[0]));
        assert_eq!(next(&tried(1, Some(after(100))), &points, &ready, AT), Next::Restore(&points[0]));
        assert_eq!(next(&tried(ATTEMPTS_MAX, Some(after(100))), &points, &ready, again), Next::Person);
        assert_eq!(next(&lost(), &[], &ready, AT), Next::Nothing);
        let given_up = Lost { is_given_up: true, ..lost() };
        assert_eq!(next(&given_up, &points, &ready, AT), Next::GivenUp);
    }

    #[test]
    fn every_answer_says_that_nothing_is_there_and_what_to_do() {
        let name: DatabaseName = "db".parse().expect("is a name");
        for next in [Next::Person, Next::Nothing, Next::Away, Next::Later(AT)] {
            let text = said(&next, &name);
            assert!(text.contains("does not start empty") && text.contains("`havre "), "{text}");
        }
    }
}
