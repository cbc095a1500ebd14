//! Which second a drill brings back. A drill follows one line: the newest base backup of a target that brings something back, and the WAL behind
//! it. Asked for, it goes to the end of the line that reaches furthest, where all of the WAL has to be there; by its policy it takes any line, and
//! every other time any second of it, where a server has to stop in the middle. Pure: what is *any* follows from a number that is given. Tests at
//! the end of the file.

use std::collections::BTreeMap;
use std::slice;

use serde::{Deserialize, Serialize};

use crate::line::{Base, Interval, Recovery, Stretch, interval, resolve};
use havre_core::name::{DatabaseName, TargetName};
use havre_core::time::Timestamp;

/// Which line, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The one that reaches furthest, to its end.
    Newest,
    /// Any of them, to its end or to any second of it, as this number says.
    Any(u64),
}

/// What a drill brings back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aim {
    /// The newest second that its line had when it was asked for: what came later would have been lost then.
    pub newest: Timestamp,
    /// Its second, and how it comes to it.
    pub recovery: Recovery,
}

/// Chooses a second and its line; nothing where no second can be brought back.
pub fn aim<'a>(
    bases: &'a [Base],
    stretches: &[Stretch],
    source: &DatabaseName,
    pick: Pick,
) -> Option<(&'a Base, Aim)> {
    let lines = lines(bases, stretches);
    let (base, there) = match pick {
        Pick::Newest => lines.into_iter().max_by_key(|(base, there)| (there.until, base.run))?,
        Pick::Any(number) => {
            let count = u64::try_from(lines.len()).ok().filter(|count| *count > 0)?;
            let turn = usize::try_from((number >> 1) % count).ok()?;
            lines.into_iter().nth(turn)?
        }
    };
    // What happened before the end comes back, and nothing of the end itself.
    let newest = Timestamp::from_millis(there.until.as_millis().saturating_sub(1));
    let at = match pick {
        Pick::Any(number) if number % 2 == 1 => within(there.from, newest, number >> 8),
        Pick::Newest | Pick::Any(_) => newest,
    };
    let (base, recovery) = resolve(slice::from_ref(base), stretches, source, at).ok().flatten()?;
    Some((base, Aim { newest, recovery }))
}

/// Of each target the newest base backup that brings something back, with what it brings back.
fn lines<'a>(bases: &'a [Base], stretches: &[Stretch]) -> Vec<(&'a Base, Interval)> {
    let mut lines: BTreeMap<&TargetName, (&Base, Interval)> = BTreeMap::new();
    for base in bases {
        let Some(there) = interval(base, stretches) else { continue };
        let age = (base.whole_at, base.run);
        if lines.get(&base.target).is_none_or(|(other, _)| (other.whole_at, other.run) < age) {
            lines.insert(&base.target, (base, there));
        }
    }
    lines.into_values().collect()
}

/// An instant from the first to the last of these.
fn within(from: Timestamp, last: Timestamp, number: u64) -> Timestamp {
    let length = u64::try_from(last.since(from).as_millis()).unwrap_or(u64::MAX);
    let step = number % length.saturating_add(1);
    Timestamp::from_millis(from.as_millis().saturating_add(i64::try_from(step).unwrap_or(0)))
}

/// A number for [`Pick::Any`]: nobody has to guess it, it only has to be another one each time. FNV-1a of a key and an instant, mixed, since near
/// instants differ in few bits.
pub fn number(key: &str, now: Timestamp) -> u64 {
    let bytes = key.bytes().chain(now.as_millis().to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::line::intervals;
    use super::super::line::tests::{base, minute, stretch};
    use super::*;

    fn db() -> DatabaseName {
        "db".parse().expect("a name")
    }

    fn elsewhere(mut base: Base, mut stretches: Vec<Stretch>) -> (Base, Vec<Stretch>) {
        base.target = "bucket".parse().expect("a name");
        stretches.iter_mut().for_each(|one| one.target = base.target.clone());
        (base, stretches)
    }

    fn before(at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis() - 1)
    }

    #[test]
    fn the_newest_second_is_the_last_one_of_the_line_that_reaches_furthest() {
        let (far, more) = elsewhere(base(3), vec![stretch(3, 9)]);
        let bases = [base(2), base(5), far];
        let stretches = [vec![stretch(0, 4), stretch(5, 7)], more].concat();
        let (chosen, found) = aim(&bases, &stretches, &db(), Pick::Newest).expect("there is a line");
        assert_eq!((chosen.target.as_str(), found.newest), ("bucket", before(minute(10))));
        assert_eq!((found.recovery.at, found.recovery.stretches.len()), (found.newest, 1));
        let (chosen, found) = aim(&bases[..2], &stretches, &db(), Pick::Newest).expect("there is a line");
        assert_eq!(chosen.run, bases[1].run, "the base backup that is nearer");
        assert_eq!((found.recovery.at, found.recovery.stretches.len()), (before(minute(8)), 1));
    }

    #[test]
    fn each_target_has_its_turn_and_every_other_time_a_second_in_the_middle() {
        let (far, more) = elsewhere(base(3), vec![stretch(3, 9)]);
        let bases = [base(2), far];
        let stretches = [vec![stretch(2, 7)], more].concat();
        let chosen = |number| {
            let (base, found) = aim(&bases, &stretches, &db(), Pick::Any(number)).expect("there is a line");
            (base.target.to_string(), found.newest, found.recovery.at)
        };
        assert_eq!(chosen(0), ("bucket".to_owned(), before(minute(10)), before(minute(10))));
        assert_eq!(chosen(2), ("disk".to_owned(), before(minute(8)), before(minute(8))));
        assert_eq!(chosen(1), ("bucket".to_owned(), before(minute(10)), minute(3)));
        assert_eq!(chosen(1 + (60_000 << 8)), ("bucket".to_owned(), before(minute(10)), minute(4)));
        assert_ne!(
            number("database/shop/production/db", minute(1)),
            number("database/shop/production/db", minute(2))
        );
    }

    #[test]
    fn nothing_is_drilled_where_nothing_can_be_brought_back() {
        for pick in [Pick::Newest, Pick::Any(0), Pick::Any(7)] {
            assert_eq!(aim(&[], &[stretch(0, 9)], &db(), pick), None);
            assert_eq!(aim(&[base(2)], &[stretch(4, 9)], &db(), pick), None, "its WAL is not there");
        }
        // A gap ends the line of the older one, and is not drilled across.
        let bases = [base(2)];
        let stretches = [stretch(2, 4), stretch(6, 9)];
        let (_, found) = aim(&bases, &stretches, &db(), Pick::Newest).expect("there is a line");
        assert_eq!(found.newest, before(minute(5)));
    }

    proptest! {
        #[test]
        fn whatever_is_chosen_can_be_brought_back(
            starts in prop::collection::vec(0_u64..30, 0..5),
            pieces in prop::collection::vec((0_u64..30, 0_u64..6), 0..12),
            number in any::<u64>(),
        ) {
            let bases: Vec<Base> = starts.into_iter().map(base).collect();
            let stretches: Vec<Stretch> =
                pieces.into_iter().map(|(first, more)| stretch(first, first + more)).collect();
            let there = intervals(&bases, &stretches);
            for pick in [Pick::Newest, Pick::Any(number)] {
                let found = aim(&bases, &stretches, &db(), pick);
                prop_assert_eq!(found.is_some(), !there.is_empty());
                let Some((_, found)) = found else { continue };
                let at = found.recovery.at;
                prop_assert!(at <= found.newest);
                prop_assert!(there.iter().any(|one| one.from <= at && found.newest < one.until));
                prop_assert!(!found.recovery.stretches.is_empty());
            }
        }
    }
}
