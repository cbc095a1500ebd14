//! The choice between two upstreams, and how a fresh one is spared at first. Pure; no clock, no randomness of its own.
//! Tests at the end of the file.

/// Full weight.
pub const FULL: u32 = 1000;
/// Least weight of a fresh upstream: it must get some requests to become warm.
const LEAST: u32 = 100;

/// One of two upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Requests in flight.
    pub load: u64,
    /// Its weight, of [`FULL`].
    pub weight: u32,
}

/// Whether the second of two gets the request: the one with less in flight, and where that is the same, either. A
/// lighter one is considered only as often as its weight says, so that its share grows with it even where nothing is
/// in flight.
pub fn takes_second(first: Candidate, second: Candidate, random: u32) -> bool {
    let is_second_lighter = second.weight < first.weight;
    let (light, heavy) = if is_second_lighter { (second, first) } else { (first, second) };
    let chance = u64::from(light.weight) * u64::from(FULL) / u64::from(heavy.weight.max(1));
    if u64::from(random % FULL) >= chance {
        return !is_second_lighter;
    }
    second.load < first.load || (second.load == first.load && (random / FULL) & 1 == 1)
}

/// Weight of an upstream that has been getting requests since `from`, when it becomes full after `span`; both in
/// milliseconds.
pub fn weight(now: u64, from: u64, span: u64) -> u32 {
    let age = now.saturating_sub(from);
    if age >= span {
        return FULL;
    }
    u32::try_from(age * u64::from(FULL) / span).unwrap_or(FULL).max(LEAST)
}

/// A number that depends on every bit of `state`, which moves on: good enough to spread requests.
pub fn random(state: &mut u32) -> u32 {
    *state = state.wrapping_add(0x9E37_79B9);
    let bits = (*state ^ (*state >> 16)).wrapping_mul(0x85EB_CA6B);
    let bits = (bits ^ (bits >> 13)).wrapping_mul(0xC2B2_AE35);
    bits ^ (bits >> 16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of a thousand choices, how many go to the second.
    fn share(first: Candidate, second: Candidate) -> u32 {
        let mut state = 7;
        (0..1000).map(|_| u32::from(takes_second(first, second, random(&mut state)))).sum()
    }

    fn candidate(load: u64, weight: u32) -> Candidate {
        Candidate { load, weight }
    }

    proptest! {
        #[test]
        fn the_busier_of_two_warm_ones_never_gets_it(load in 0_u64..1000, more in 1_u64..1000, random: u32) {
            prop_assert!(!takes_second(candidate(load, FULL), candidate(load + more, FULL), random));
            prop_assert!(takes_second(candidate(load + more, FULL), candidate(load, FULL), random));
        }

        #[test]
        fn the_share_of_an_idle_fresh_one_follows_its_weight(weight in LEAST..FULL) {
            let got = share(candidate(0, FULL), candidate(0, weight));
            prop_assert!(got.abs_diff(weight / 2) <= 60, "{got} for {weight}");
            let other = share(candidate(0, weight), candidate(0, FULL));
            prop_assert!((1000 - other).abs_diff(weight / 2) <= 60, "{other} for {weight}");
            prop_assert_eq!(share(candidate(0, FULL), candidate(1, weight)), 0);
        }

        #[test]
        fn a_weight_only_grows(from in 0_u64..1000, span in 0_u64..100_000, now in 0_u64..200_000, later in 0_u64..1000) {
            let before = weight(now, from, span);
            prop_assert!((LEAST..=FULL).contains(&before));
            prop_assert!(weight(now + later, from, span) >= before);
            prop_assert_eq!(weight(from + span, from, span), FULL);
        }
    }

    #[test]
    fn equals_share_evenly() {
        let got = share(candidate(3, FULL), candidate(3, FULL));
        assert!(got.abs_diff(500) < 60, "{got}");
    }
}
