//! How long contents that were fetched are kept for the next pipeline: until nobody has used them for a month, or until they are too many for
//! their part of the disk, the one that was not used for longest first. Contents that were pushed to Havre are not meant: they have no other
//! place to come from. Tests at the end of the file.

use havre_core::artifact::Digest;
use havre_core::name::ProjectName;
use havre_core::quantity::{ByteSize, Span};
use havre_core::time::Timestamp;

use super::batch::FLOOR;

/// Most bytes of all that was fetched, of every project.
pub const CACHE_MAX: ByteSize = ByteSize::mebibytes(10 * 1024);
/// Most contents that were fetched, of every project.
pub const KEPT_MAX: usize = 20_000;
/// Time after which one that nobody has used goes.
pub const AGE_MAX: Span = Span::seconds(30 * 24 * 3600);

/// A content that was fetched for a project and is still here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// For which project: what its token opens is for nobody else.
    pub project: ProjectName,
    /// Its SHA-256.
    pub oid: Digest,
    /// Its bytes.
    pub bytes: u64,
    /// When a pipeline last used it.
    pub used_at: Timestamp,
}

/// Those that go, where `free` bytes of the disk are free.
pub fn plan_tidy(mut kept: Vec<Kept>, free: u64, now: Timestamp) -> Vec<Kept> {
    let all = kept.iter().map(|one| one.bytes).fold(0, u64::saturating_add);
    let budget = CACHE_MAX.as_bytes().min(all.saturating_add(free).saturating_sub(FLOOR.as_bytes()));
    kept.sort_by(|a, b| (a.used_at, &a.project, &a.oid).cmp(&(b.used_at, &b.project, &b.oid)));
    let (mut left, mut count) = (all, kept.len());
    kept.retain(|one| {
        let goes = left > budget || count > KEPT_MAX || now.since(one.used_at) > AGE_MAX.duration();
        if goes {
            left = left.saturating_sub(one.bytes);
            count -= 1;
        }
        goes
    });
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any};

    use super::*;

    const GIGABYTE: u64 = 1024 * 1024 * 1024;

    fn kept(digit: &str, gigabytes: u64, days_ago: u64) -> Kept {
        Kept {
            project: "dropit".parse().expect("is a name"),
            oid: digit.repeat(64).parse().expect("is a digest"),
            bytes: gigabytes * GIGABYTE,
            used_at: Timestamp::from_millis(0).after(Span::seconds((100 - days_ago) * 24 * 3600).duration()),
        }
    }

    fn now() -> Timestamp {
        kept("a", 0, 0).used_at
    }

    #[test]
    fn what_nobody_uses_goes_first() {
        let (old, used, new) = (kept("a", 4, 20), kept("b", 4, 10), kept("c", 4, 0));
        let all = vec![new.clone(), old.clone(), used.clone()];
        assert_eq!(
            plan_tidy(all.clone(), 100 * GIGABYTE, now()),
            std::slice::from_ref(&old),
            "12 GB are more than 10"
        );
        assert_eq!(plan_tidy(all.clone(), GIGABYTE / 2, now()), std::slice::from_ref(&old));
        assert_eq!(plan_tidy(all, 0, now()).len(), 1, "a gigabyte stays free");
        let some = vec![new.clone(), used.clone()];
        assert_eq!(plan_tidy(some.clone(), 100 * GIGABYTE, now()), []);
        assert_eq!(plan_tidy(some, 0, now()), [used]);
        let stale = kept("d", 1, 31);
        assert_eq!(plan_tidy(vec![new, stale.clone()], 100 * GIGABYTE, now()), [stale]);
    }

    #[test]
    fn small_ones_are_not_kept_without_end() {
        let kept = |place: usize| Kept {
            oid: format!("{place:064x}").parse().expect("is a digest"),
            ..kept("a", 0, 0)
        };
        let all: Vec<Kept> = (0..KEPT_MAX + 2).map(kept).collect();
        assert_eq!(plan_tidy(all, 100 * GIGABYTE, now()).len(), 2);
    }

    fn any_kept() -> impl Strategy<Value = Kept> {
        (any::<u8>(), 0_u64..6, 0_u64..60).prop_map(|(name, gigabytes, days)| Kept {
            oid: format!("{name:064x}").parse().expect("is a digest"),
            ..kept("a", gigabytes, days)
        })
    }

    proptest::proptest! {
        #[test]
        fn what_stays_fits_and_was_used_later(
            all in proptest::collection::vec(any_kept(), 0..8),
            free in 0_u64..20,
        ) {
            let gone = plan_tidy(all.clone(), free * GIGABYTE, now());
            let mut stays = all.clone();
            for one in &gone {
                let place = stays.iter().position(|other| other == one).expect("it was there");
                stays.remove(place);
            }
            let sum = |some: &[Kept]| some.iter().map(|one| one.bytes).sum::<u64>();
            proptest::prop_assert!(sum(&stays) <= CACHE_MAX.as_bytes());
            let free_then = free * GIGABYTE + sum(&gone);
            proptest::prop_assert!(stays.is_empty() || sum(&stays) == 0 || free_then >= FLOOR.as_bytes());
            for one in &gone {
                proptest::prop_assert!(stays.iter().all(|other| other.used_at >= one.used_at));
            }
            proptest::prop_assert_eq!(plan_tidy(stays, free_then, now()), Vec::new(), "once is enough");
        }
    }
}
