//! When a repository is packed anew: once a day at most, only if something was pushed since, and not in the middle of a working hour of
//! pushes. Tests at the end of the file.

use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// Least time between two.
const PAUSE: Span = Span::seconds(24 * 60 * 60);
/// How long nobody has pushed when it begins: one that begins in between would only be ended by the next push.
const QUIET: Span = Span::seconds(10 * 60);

/// Whether a repository is packed anew now that was last pushed to at `pushed_at`, and last packed at `repacked_at`.
pub fn is_due(pushed_at: Timestamp, repacked_at: Option<Timestamp>, now: Timestamp) -> bool {
    // An instant that has not come yet was written before the clock was set back, and says nothing.
    let was = |at: Timestamp| at <= now;
    if was(pushed_at) && now.since(pushed_at) < QUIET.duration() {
        return false;
    }
    match repacked_at.filter(|at| was(*at)) {
        Some(last) => pushed_at > last && now.since(last) >= PAUSE.duration(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_day_after_pushes_and_in_quiet_times() {
        let at = |minutes: i64| Timestamp::from_millis(1_000_000_000_000 + minutes * 60_000);
        let day = 24 * 60;
        for (pushed, repacked, now, expected) in [
            (0, None, 9, false),
            (0, None, 10, true),
            (0, None, 10 * day, true),
            // Nothing was pushed since.
            (0, Some(10), 10 * day, false),
            (0, Some(0), 10 * day, false),
            (20, Some(10), day + 9, false),
            (20, Some(10), day + 10, true),
            (day, Some(10), day + 9, false),
            (day + 5, Some(10), day + 14, false),
            (day + 5, Some(10), day + 15, true),
            // The clock was set back.
            (100, None, 0, true),
            (0, Some(100), 50, true),
            (100, Some(90), 50, true),
            (100, Some(10), 50, false),
        ] {
            let found = is_due(at(pushed), repacked.map(at), at(now));
            assert_eq!(found, expected, "pushed {pushed}, packed {repacked:?}, now {now}");
        }
    }
}
