//! Which snapshots stay, each with the reasons why. Only verified ones count: a snapshot nobody has read back must not push out one
//! that restores. The newest verified one stays whatever the policy says. Deciding again about what stayed changes nothing, and a
//! policy that asks for more never keeps less. Tests at the end of the file.

use std::collections::BTreeSet;
use std::fmt;

use havre_schedule::{Periods, Zone};
use serde::{Deserialize, Serialize};

use crate::backup::SnapshotId;
use crate::time::Timestamp;

/// How many of each kind stay. Periods are those of the calendar of `zone`; one without a snapshot does not count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// The newest ones, whenever they were made.
    pub last: u32,
    /// The newest of each hour.
    pub hourly: u32,
    /// The newest of each day.
    pub daily: u32,
    /// The newest of each week, which begins on Monday.
    pub weekly: u32,
    /// The newest of each month.
    pub monthly: u32,
    /// The newest of each year.
    pub yearly: u32,
    /// Where midnight is.
    pub zone: Zone,
}

/// A snapshot to decide about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: SnapshotId,
    /// When its run began.
    pub at: Timestamp,
    /// Whether it was read back and was the same.
    pub is_verified: bool,
}

/// Why a snapshot stays. Its text is what people are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Reason {
    /// The newest one that restores. It stays under any policy.
    NewestVerified,
    /// Among the newest ones.
    Last {
        /// 1 for the newest.
        rank: u32,
    },
    /// The newest of its hour.
    Hourly {
        /// Which, such as `2026-10-25T02+02`.
        hour: String,
    },
    /// The newest of its day.
    Daily {
        /// Which.
        day: String,
    },
    /// The newest of its week.
    Weekly {
        /// Which, such as `2026-W43`.
        week: String,
    },
    /// The newest of its month.
    Monthly {
        /// Which.
        month: String,
    },
    /// The newest of its year.
    Yearly {
        /// Which.
        year: String,
    },
    /// Newer than everything that is verified, so it may be about to be.
    NotVerifiedYet,
    /// The calendar of the policy has no place for it, so nothing is decided about it.
    NoCalendar,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewestVerified => f.write_str("the newest verified one"),
            Self::Last { rank } => write!(f, "last {rank}"),
            Self::Hourly { hour } => write!(f, "hourly {hour}"),
            Self::Daily { day } => write!(f, "daily {day}"),
            Self::Weekly { week } => write!(f, "weekly {week}"),
            Self::Monthly { month } => write!(f, "monthly {month}"),
            Self::Yearly { year } => write!(f, "yearly {year}"),
            Self::NotVerifiedYet => f.write_str("not verified yet"),
            Self::NoCalendar => f.write_str("its time is not in the calendar of the policy"),
        }
    }
}

/// A snapshot that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub id: SnapshotId,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
}

/// What becomes of each snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetentionPlan {
    /// These stay, newest first.
    pub keep: Vec<Kept>,
    /// These go, newest first.
    pub forget: Vec<SnapshotId>,
}

/// One kind of period: how many may stay, which period an instant is in, and the reason to give.
type Rule = (u32, fn(&Periods) -> &str, fn(String) -> Reason);

fn rules(keep: &Keep) -> [Rule; 5] {
    [
        (keep.hourly, |at| at.hour.as_str(), |hour| Reason::Hourly { hour }),
        (keep.daily, |at| at.day.as_str(), |day| Reason::Daily { day }),
        (keep.weekly, |at| at.week.as_str(), |week| Reason::Weekly { week }),
        (keep.monthly, |at| at.month.as_str(), |month| Reason::Monthly { month }),
        (keep.yearly, |at| at.year.as_str(), |year| Reason::Yearly { year }),
    ]
}

/// Decides about all snapshots of one thing in one repository.
pub fn plan_retention(keep: &Keep, snapshots: &[Candidate]) -> RetentionPlan {
    let mut sorted: Vec<&Candidate> = snapshots.iter().collect();
    sorted.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id)));
    let mut reasons: Vec<Vec<Reason>> = sorted.iter().map(|_| Vec::new()).collect();
    let periods: Vec<Option<Periods>> =
        sorted.iter().map(|one| keep.zone.periods(one.at.as_millis())).collect();
    let verified: Vec<usize> = (0..sorted.len()).filter(|at| sorted[*at].is_verified).collect();

    let newer_than_verified = verified.first().copied().unwrap_or(sorted.len());
    for waiting in reasons.iter_mut().take(newer_than_verified) {
        waiting.push(Reason::NotVerifiedYet);
    }
    if let Some(newest) = verified.first() {
        reasons[*newest].push(Reason::NewestVerified);
    }
    for (rank, at) in (1..=keep.last).zip(&verified) {
        reasons[*at].push(Reason::Last { rank });
    }
    for (count, period, reason) in rules(keep) {
        let mut seen = BTreeSet::new();
        for at in &verified {
            let Some(label) = periods[*at].as_ref().map(period) else { continue };
            if seen.len() < usize::try_from(count).unwrap_or(usize::MAX) && seen.insert(label.to_owned()) {
                reasons[*at].push(reason(label.to_owned()));
            }
        }
    }
    for at in &verified {
        if periods[*at].is_none() {
            reasons[*at].push(Reason::NoCalendar);
        }
    }

    let mut plan = RetentionPlan::default();
    for (one, reasons) in sorted.into_iter().zip(reasons) {
        if reasons.is_empty() {
            plan.forget.push(one.id.clone());
        } else {
            plan.keep.push(Kept { id: one.id.clone(), reasons });
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: usize) -> SnapshotId {
        format!("{number:064x}").parse().expect("is an id")
    }

    fn made(times: &[&str]) -> Vec<Candidate> {
        let candidate = |(number, at): (usize, &&str)| Candidate {
            id: id(number),
            at: Timestamp::parse(at).expect("is an instant"),
            is_verified: true,
        };
        times.iter().enumerate().map(candidate).collect()
    }

    fn text(plan: &RetentionPlan) -> String {
        let mut text = String::new();
        for kept in &plan.keep {
            let reasons: Vec<String> = kept.reasons.iter().map(ToString::to_string).collect();
            text.push_str(&format!("{} stays: {}\n", &kept.id.hex()[62..], reasons.join(", ")));
        }
        for gone in &plan.forget {
            text.push_str(&format!("{} goes\n", &gone.hex()[62..]));
        }
        text
    }

    #[test]
    fn each_one_that_stays_says_why() {
        let snapshots = made(&[
            "2026-11-24T03:00:00Z",
            "2026-11-24T01:00:00Z",
            "2026-11-23T03:00:00Z",
            "2026-11-22T03:00:00Z",
            "2026-10-31T03:00:00Z",
            "2025-12-31T23:30:00Z",
        ]);
        let keep = Keep { last: 1, daily: 2, weekly: 2, monthly: 2, yearly: 2, ..Keep::default() };
        assert_eq!(
            text(&plan_retention(&keep, &snapshots)),
            "00 stays: the newest verified one, last 1, daily 2026-11-24, weekly 2026-W48, monthly 2026-11, yearly 2026\n\
             02 stays: daily 2026-11-23\n\
             03 stays: weekly 2026-W47\n\
             04 stays: monthly 2026-10\n\
             05 stays: yearly 2025\n\
             01 goes\n"
        );
    }

    #[test]
    fn midnight_is_where_the_zone_says() {
        let snapshots = made(&["2026-01-01T00:30:00Z", "2025-12-31T23:30:00Z"]);
        let keep = |zone: &str| Keep { yearly: 2, zone: zone.parse().expect("is a zone"), ..Keep::default() };
        assert!(plan_retention(&keep("UTC"), &snapshots).forget.is_empty());
        assert_eq!(plan_retention(&keep("Europe/Paris"), &snapshots).forget, [id(1)]);
    }

    #[test]
    fn the_hour_that_comes_twice_is_two() {
        let snapshots = made(&["2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z"]);
        let zone: Zone = "Europe/Paris".parse().expect("is a zone");
        let keep = Keep { hourly: 2, zone, ..Keep::default() };
        assert_eq!(
            text(&plan_retention(&keep, &snapshots)),
            "00 stays: the newest verified one, hourly 2026-10-25T02+01\n01 stays: hourly 2026-10-25T02+02\n"
        );
    }

    #[test]
    fn what_nobody_has_read_back_pushes_nothing_out() {
        let mut snapshots = made(&["2026-11-24T03:00:00Z", "2026-11-23T03:00:00Z", "2026-11-22T03:00:00Z"]);
        snapshots[0].is_verified = false;
        snapshots[2].is_verified = false;
        let keep = Keep { last: 1, ..Keep::default() };
        assert_eq!(
            text(&plan_retention(&keep, &snapshots)),
            "00 stays: not verified yet\n01 stays: the newest verified one, last 1\n02 goes\n"
        );
    }

    #[test]
    fn a_zone_nobody_knows_deletes_nothing() {
        let snapshots = made(&["2026-11-24T03:00:00Z", "2026-11-23T03:00:00Z"]);
        let keep =
            Keep { daily: 1, zone: "Mars/Olympus".parse().expect("has the grammar"), ..Keep::default() };
        assert!(plan_retention(&keep, &snapshots).forget.is_empty());
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        // Four years, so that every kind of period has several snapshots and several periods.
        let one = (0_i64..4 * 366 * 24 * 4, any::<bool>());
        prop::collection::vec(one, 0..40).prop_map(|all| {
            let candidate = |(number, (quarter, is_verified)): (usize, (i64, bool))| Candidate {
                id: id(number),
                at: Timestamp::from_millis(1_700_000_000_000 + quarter * 900_000),
                is_verified,
            };
            all.into_iter().enumerate().map(candidate).collect()
        })
    }

    fn keeps() -> impl Strategy<Value = Keep> {
        let zone = prop::sample::select(vec!["UTC", "Europe/Paris", "America/St_Johns"]);
        (0_u32..4, 0_u32..4, 0_u32..4, 0_u32..4, 0_u32..4, 0_u32..4, zone).prop_map(
            |(last, hourly, daily, weekly, monthly, yearly, zone)| Keep {
                last,
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                zone: zone.parse().expect("is a zone"),
            },
        )
    }

    fn kept(plan: &RetentionPlan) -> BTreeSet<SnapshotId> {
        plan.keep.iter().map(|one| one.id.clone()).collect()
    }

    proptest! {
        #[test]
        fn every_snapshot_is_decided_about_once(keep in keeps(), snapshots in candidates()) {
            let plan = plan_retention(&keep, &snapshots);
            let mut all: Vec<SnapshotId> = kept(&plan).into_iter().chain(plan.forget.clone()).collect();
            all.sort();
            let mut expected: Vec<SnapshotId> = snapshots.iter().map(|one| one.id.clone()).collect();
            expected.sort();
            prop_assert_eq!(all, expected);
            prop_assert!(plan.keep.iter().all(|one| !one.reasons.is_empty()));
        }

        #[test]
        fn the_newest_verified_one_stays(keep in keeps(), snapshots in candidates()) {
            let plan = plan_retention(&keep, &snapshots);
            let newest = snapshots.iter().filter(|one| one.is_verified).map(|one| one.at).max();
            let is_there = |id: &SnapshotId| snapshots.iter().any(|one| one.id == *id && Some(one.at) == newest);
            prop_assert!(newest.is_none() || kept(&plan).iter().any(is_there));
        }

        #[test]
        fn deciding_again_changes_nothing(keep in keeps(), snapshots in candidates()) {
            let plan = plan_retention(&keep, &snapshots);
            let stayed = kept(&plan);
            let left: Vec<Candidate> = snapshots.into_iter().filter(|one| stayed.contains(&one.id)).collect();
            prop_assert_eq!(plan_retention(&keep, &left), RetentionPlan { forget: Vec::new(), ..plan });
        }

        #[test]
        fn asking_for_more_never_keeps_less(keep in keeps(), more in 0_usize..6, snapshots in candidates()) {
            let mut wider = keep.clone();
            match more {
                0 => wider.last += 1,
                1 => wider.hourly += 1,
                2 => wider.daily += 1,
                3 => wider.weekly += 1,
                4 => wider.monthly += 1,
                _ => wider.yearly += 1,
            }
            let (narrow, wide) = (plan_retention(&keep, &snapshots), plan_retention(&wider, &snapshots));
            prop_assert!(kept(&narrow).is_subset(&kept(&wide)));
        }
    }
}
