//! How long nothing is tried after a failure: a table that everybody can read, spread out a little so that what failed
//! together does not come back together. No randomness: the spread comes from the id. Tests at the end of the file.

use havre_core::id::CertificateId;
use havre_core::quantity::Span;

/// Pause after the first, second, ... failure; the last one repeats. Five failures in an hour are what an issuer lets a host
/// have; these pauses make four, and a day later it is still tried, because people repair DNS at their own pace.
pub const PAUSES: [Span; 8] = [
    Span::seconds(60),
    Span::seconds(5 * 60),
    Span::seconds(15 * 60),
    Span::seconds(3600),
    Span::seconds(3 * 3600),
    Span::seconds(6 * 3600),
    Span::seconds(12 * 3600),
    Span::seconds(24 * 3600),
];

/// The table in one line, for people.
pub fn table() -> String {
    let text: Vec<String> = PAUSES.iter().map(ToString::to_string).collect();
    text.join(" ")
}

/// Pause after `failures` failures in a row (at least one), up to a tenth longer than the table says, never shorter.
pub fn pause(id: CertificateId, failures: u32) -> Span {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    let base = PAUSES[index].as_millis();
    Span::millis(base + spread(id, u64::from(failures), base / 10))
}

/// Pause before a DNS provider is asked again for the records of an open order, after `tries` that failed (at least one). No
/// issuer hears of it, so what passes by itself is tried once an hour at the rarest; what a person must change, rarer from
/// the beginning.
pub fn stall(id: CertificateId, tries: u32, is_passing: bool) -> Span {
    /// The entry of [`PAUSES`] that is an hour, counted from one.
    const AN_HOUR: u32 = 4;
    let turn = if is_passing { tries.min(AN_HOUR) } else { tries.saturating_add(AN_HOUR - 1) };
    pause(id, turn)
}

/// A number from 0 to `most`, always the same for the same id and turn, and well spread over ids.
pub fn spread(id: CertificateId, turn: u64, most: u64) -> u64 {
    // SplitMix64's finaliser (Steele, Lea, Flood 2014): every input bit reaches every output bit.
    let mut mixed = id.row().unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(turn);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    if most == u64::MAX { mixed } else { mixed % (most + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_day_and_stay() {
        let id = CertificateId::new(7);
        let pauses: Vec<u64> = (1..=10).map(|failures| pause(id, failures).as_millis() / 1000).collect();
        for (pause, table) in pauses.iter().zip(PAUSES.iter().chain(std::iter::repeat(&PAUSES[7]))) {
            let base = table.as_millis() / 1000;
            assert!((base..=base + base / 10).contains(pause), "{pause} is not near {base}");
        }
        assert_eq!(table(), "1m 5m 15m 1h 3h 6h 12h 1d");
    }

    #[test]
    fn what_passes_by_itself_is_tried_every_hour_and_the_rest_rarer() {
        let id = CertificateId::new(7);
        for (is_passing, hours) in [(true, [0, 0, 0, 1, 1, 1]), (false, [1, 3, 6, 12, 24, 24])] {
            let stalled = (1..=6).map(|tries| stall(id, tries, is_passing).as_millis() / 3_600_000);
            // A tenth longer at most: 24 h are 26 h and a bit at most, 6 h still 6.
            for (stalled, hours) in stalled.zip(hours) {
                assert!((hours..=hours + hours / 10).contains(&stalled), "{stalled} h is not near {hours} h");
            }
        }
    }

    #[test]
    fn what_fails_together_does_not_come_back_together() {
        let mut pauses: Vec<u64> = (1..=100).map(|id| pause(CertificateId::new(id), 4).as_millis()).collect();
        pauses.sort_unstable();
        let width = pauses[99] - pauses[0];
        assert!(width > 3600 * 100 * 8 / 10, "spread over {width} ms only");
        pauses.dedup();
        assert!(pauses.len() > 95);
    }
}
