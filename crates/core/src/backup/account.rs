//! The account of copies: three of them, on two kinds of media, one off-site, and how much would be lost today. A copy counts when it
//! was read back and is not older than what was promised; everything else is said in sentences, and nothing is ever green by default.
//! Tests at the end of the file.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{MediumName, TargetName};
use crate::quantity::Span;
use crate::time::Timestamp;

/// What is promised. The usual one is 3-2-1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Copies, the live data included.
    pub copies: u32,
    /// Different media among them.
    pub media: u32,
    /// Copies that survive the loss of this place.
    pub offsite: u32,
    /// Most that may be lost: the oldest a copy may be and still count.
    pub rpo_target: Span,
}

impl Policy {
    /// 3-2-1 with that promise.
    pub const fn three_two_one(rpo_target: Span) -> Self {
        Self { copies: 3, media: 2, offsite: 1, rpo_target }
    }
}

/// How a target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The live data itself.
    Live,
    /// A folder of this machine.
    Local,
    /// A bucket.
    S3,
    /// A folder of another machine.
    Sftp,
}

/// A place where a copy can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name.
    pub name: TargetName,
    /// How it is reached.
    pub kind: Kind,
    /// What the bytes lie on. Two targets with the same name of a medium are lost together: two folders of one disk are one.
    pub medium: MediumName,
    /// Whether it outlives this place: another building, another account.
    pub is_offsite: bool,
}

/// A target with the newest of its snapshots that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The target.
    pub target: Target,
    /// When the run of its newest verified snapshot began; nothing where there is none. The live data is of now and needs none.
    pub newest_verified: Option<Timestamp>,
}

/// Where one copy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Current {
        /// How old it is.
        age: Duration,
    },
    /// It is older than promised, so it does not count.
    Stale {
        /// How old it is.
        age: Duration,
    },
    /// There is none that was read back.
    Missing,
}

/// What the policy asks for and is not there. Its text is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Too few copies.
    Copies {
        /// There are.
        found: u32,
        /// Promised.
        wanted: u32,
    },
    /// All on too few media.
    Media {
        /// There are.
        found: u32,
        /// Promised.
        wanted: u32,
    },
    /// Too few elsewhere.
    Offsite {
        /// There are.
        found: u32,
        /// Promised.
        wanted: u32,
    },
    /// More would be lost than was promised.
    Rpo {
        /// Age of the newest verified copy, live data aside; nothing where there is none.
        measured: Option<Duration>,
        /// Promised.
        wanted: Span,
    },
    /// A target whose copy does not count.
    Target {
        /// Which.
        name: TargetName,
        /// Why.
        standing: Standing,
    },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copies { found, wanted } => {
                write!(f, "copies: {found} of {wanted}, the live data included")
            }
            Self::Media { found, wanted } => {
                write!(f, "media: {found} of {wanted}; copies on one medium are lost together")
            }
            Self::Offsite { found, wanted } => {
                write!(
                    f,
                    "off-site: {found} of {wanted}; a fire or a lost account here would take every copy"
                )
            }
            Self::Rpo { measured: Some(measured), wanted } => {
                write!(f, "the newest copy that restores is {} old, {wanted} is promised", age(*measured))
            }
            Self::Rpo { measured: None, wanted } => {
                write!(f, "there is no copy that restores; {wanted} is promised, and all of it would be lost")
            }
            Self::Target { name, standing: Standing::Stale { age: old } } => {
                write!(f, "{name}: its newest verified snapshot is {} old and does not count", age(*old))
            }
            Self::Target { name, standing: Standing::Missing } => {
                write!(f, "{name}: it has no verified snapshot")
            }
            Self::Target { name, standing: Standing::Current { age: old } } => {
                write!(f, "{name}: its newest verified snapshot is {} old", age(*old))
            }
        }
    }
}

/// A length of time for people: its two largest units.
fn age(length: Duration) -> String {
    let minutes = length.as_secs() / 60;
    let (days, hours, rest) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) => format!("{rest} min"),
        (0, _) => format!("{hours} h {rest} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// What there is, against what was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Each target with where its copy stands, in the order given.
    pub copies: Vec<(TargetName, Standing)>,
    /// What would be lost if the live data went now: the age of the newest verified copy. Measured, never promised.
    pub rpo_measured: Option<Duration>,
    /// What is missing; empty means that the policy is met.
    pub gaps: Vec<Gap>,
}

impl Account {
    /// Whether everything promised is there.
    pub fn is_met(&self) -> bool {
        self.gaps.is_empty()
    }
}

fn standing(copy: &Holding, policy: &Policy, now: Timestamp) -> Standing {
    if copy.target.kind == Kind::Live {
        return Standing::Current { age: Duration::ZERO };
    }
    let Some(at) = copy.newest_verified else { return Standing::Missing };
    let age = now.since(at);
    if age <= policy.rpo_target.duration() { Standing::Current { age } } else { Standing::Stale { age } }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Takes stock.
pub fn account(policy: &Policy, copies: &[Holding], now: Timestamp) -> Account {
    let standings: Vec<(&Holding, Standing)> =
        copies.iter().map(|copy| (copy, standing(copy, policy, now))).collect();
    let current: Vec<&Target> = standings
        .iter()
        .filter(|(_, standing)| matches!(standing, Standing::Current { .. }))
        .map(|(copy, _)| &copy.target)
        .collect();
    let media: BTreeSet<&MediumName> = current.iter().map(|target| &target.medium).collect();
    let offsite = current.iter().filter(|target| target.is_offsite && target.kind != Kind::Live).count();
    let saved = copies.iter().filter(|copy| copy.target.kind != Kind::Live);
    let rpo_measured = saved.filter_map(|copy| copy.newest_verified).max().map(|at| now.since(at));

    let mut gaps = Vec::new();
    if count(current.len()) < policy.copies {
        gaps.push(Gap::Copies { found: count(current.len()), wanted: policy.copies });
    }
    if count(media.len()) < policy.media {
        gaps.push(Gap::Media { found: count(media.len()), wanted: policy.media });
    }
    if count(offsite) < policy.offsite {
        gaps.push(Gap::Offsite { found: count(offsite), wanted: policy.offsite });
    }
    if rpo_measured.is_none_or(|measured| measured > policy.rpo_target.duration()) {
        gaps.push(Gap::Rpo { measured: rpo_measured, wanted: policy.rpo_target });
    }
    for (copy, standing) in &standings {
        if !matches!(standing, Standing::Current { .. }) {
            gaps.push(Gap::Target { name: copy.target.name.clone(), standing: standing.clone() });
        }
    }
    let copies = standings.into_iter().map(|(copy, standing)| (copy.target.name.clone(), standing)).collect();
    Account { copies, rpo_measured, gaps }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const NOW: Timestamp = Timestamp::from_millis(1_763_978_400_000);
    const POLICY: Policy = Policy::three_two_one(Span::seconds(86_400));

    fn copy(name: &str, kind: Kind, medium: &str, hours: Option<i64>) -> Holding {
        let target = Target {
            name: name.parse().expect("a name"),
            kind,
            medium: medium.parse().expect("a name"),
            is_offsite: matches!(kind, Kind::S3 | Kind::Sftp),
        };
        let newest_verified = hours.map(|hours| Timestamp::from_millis(NOW.as_millis() - hours * HOUR));
        Holding { target, newest_verified }
    }

    fn sentences(copies: &[Holding]) -> Vec<String> {
        account(&POLICY, copies, NOW).gaps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn three_copies_on_two_media_with_one_elsewhere() {
        let copies = [
            copy("live", Kind::Live, "disk", None),
            copy("second", Kind::Local, "disk-two", Some(3)),
            copy("bucket", Kind::S3, "bucket", Some(2)),
        ];
        let account = account(&POLICY, &copies, NOW);
        assert!(account.is_met(), "{account:?}");
        assert_eq!(account.rpo_measured, Some(Duration::from_secs(2 * 3600)));
    }

    #[test]
    fn a_folder_on_the_same_disk_is_not_enough() {
        let copies = [copy("live", Kind::Live, "disk", None), copy("folder", Kind::Local, "disk", Some(3))];
        assert_eq!(
            sentences(&copies),
            [
                "copies: 2 of 3, the live data included",
                "media: 1 of 2; copies on one medium are lost together",
                "off-site: 0 of 1; a fire or a lost account here would take every copy",
            ]
        );
    }

    #[test]
    fn a_bucket_that_got_nothing_for_days_does_not_count() {
        let copies = [
            copy("live", Kind::Live, "disk", None),
            copy("second", Kind::Local, "disk-two", None),
            copy("bucket", Kind::S3, "bucket", Some(75)),
        ];
        assert_eq!(
            sentences(&copies),
            [
                "copies: 1 of 3, the live data included",
                "media: 1 of 2; copies on one medium are lost together",
                "off-site: 0 of 1; a fire or a lost account here would take every copy",
                "the newest copy that restores is 3 d 3 h old, 1d is promised",
                "second: it has no verified snapshot",
                "bucket: its newest verified snapshot is 3 d 3 h old and does not count",
            ]
        );
    }

    #[test]
    fn without_any_copy_nothing_is_green() {
        let gaps = sentences(&[copy("live", Kind::Live, "disk", None)]);
        assert_eq!(
            gaps.last().map(String::as_str),
            Some("there is no copy that restores; 1d is promised, and all of it would be lost")
        );
        assert!(!account(&POLICY, &[], NOW).is_met());
    }

    proptest! {
        #[test]
        fn met_means_what_it_says(ages in prop::collection::vec(prop::option::of(0_i64..60), 0..6)) {
            let mut copies = vec![copy("live", Kind::Live, "disk", None)];
            for (number, hours) in ages.iter().enumerate() {
                let kind = if number % 2 == 0 { Kind::Local } else { Kind::S3 };
                copies.push(copy(&format!("t{number}"), kind, &format!("m{number}"), *hours));
            }
            let account = account(&POLICY, &copies, NOW);
            let fresh = |copy: &&Holding| copy.newest_verified.is_some_and(|at| NOW.since(at) <= POLICY.rpo_target.duration());
            if account.is_met() {
                prop_assert!(copies.iter().filter(fresh).count() >= 2);
                prop_assert!(copies.iter().filter(fresh).any(|copy| copy.target.is_offsite));
            }
        }
    }
}
