//! Which upstreams get no requests for a while although their probes succeed: because they fail what users ask, and
//! their peers do not. A pure state machine; `now` is an argument. Tests at the end of the file.
//!
//! Laws: at most half of those that could serve are ejected, so the last one never is; each ejection of the same
//! upstream is longer than the one before, up to a bound, until it has behaved for a while.

/// First ejection, in milliseconds; doubled each time.
const FIRST: u64 = 10_000;
/// Longest ejection.
const LONGEST: u64 = 300_000;
/// After this long without an ejection, one earlier is forgiven.
const CALM: u64 = 120_000;
/// Shares are compared over windows of this length.
const WINDOW: u64 = 10_000;
/// Fewest requests in a window that make a share mean something.
const FEWEST: u64 = 20;

/// What has been seen of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Requests it got; only grows.
    pub requests: u64,
    /// Those that ended with 5xx or without an answer; only grows.
    pub failures: u64,
    /// The last requests in a row that could not be brought to an end: no connection, no answer, a broken one.
    pub broken_run: u32,
    /// The last failures of any kind in a row.
    pub failure_run: u32,
    /// It is live and its probe succeeds.
    pub can_serve: bool,
}

/// What is remembered of one upstream. Starts as the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Ejected until this moment; 0 when it is not.
    pub until: u64,
    ejections: u32,
    /// Last ejection or forgiveness.
    changed: u64,
    window: u64,
    requests: u64,
    failures: u64,
}

impl Mark {
    fn is_ejected(&self) -> bool {
        self.until > 0
    }
}

/// Looks at all upstreams of a service, each with its mark. `after` failures in a row are too many; 0 ejects nobody
/// and brings everybody back.
pub fn review(upstreams: &mut [(Mark, Seen)], after: u32, now: u64) {
    for (mark, _) in upstreams.iter_mut() {
        if mark.is_ejected() && (after == 0 || now >= mark.until) {
            // Behaving well counts from here, not from when it was sent away.
            (mark.changed, mark.until) = (now, 0);
        }
        if mark.ejections > 0 && !mark.is_ejected() && now.saturating_sub(mark.changed) >= CALM {
            mark.ejections -= 1;
            mark.changed = now;
        }
    }
    let servable = upstreams.iter().filter(|(_, seen)| seen.can_serve).count();
    let most = servable / 2;
    let mut ejected = upstreams.iter().filter(|(mark, seen)| seen.can_serve && mark.is_ejected()).count();
    // Others have left or turned unhealthy meanwhile: the one that would be back first is back now.
    while ejected > most {
        let soonest = upstreams
            .iter_mut()
            .filter(|(mark, seen)| seen.can_serve && mark.is_ejected())
            .min_by_key(|(mark, _)| mark.until);
        let Some((mark, _)) = soonest else { break };
        (mark.changed, mark.until) = (now, 0);
        ejected -= 1;
    }
    while after > 0 && ejected < most {
        let Some(worst) = worst(upstreams, after) else { break };
        eject(&mut upstreams[worst].0, now);
        ejected += 1;
    }
    for (mark, seen) in upstreams.iter_mut() {
        if now.saturating_sub(mark.window) >= WINDOW || seen.requests < mark.requests {
            (mark.window, mark.requests, mark.failures) = (now, seen.requests, seen.failures);
        }
    }
}

fn eject(mark: &mut Mark, now: u64) {
    let length = (FIRST << mark.ejections.min(16)).min(LONGEST);
    mark.ejections = mark.ejections.saturating_add(1).min(16);
    (mark.until, mark.changed) = (now + length, now);
}

/// Requests and failures in the running window.
fn window(mark: &Mark, seen: &Seen) -> (u64, u64) {
    (seen.requests.saturating_sub(mark.requests), seen.failures.saturating_sub(mark.failures))
}

/// The one that deserves it most, if any does.
fn worst(upstreams: &[(Mark, Seen)], after: u32) -> Option<usize> {
    let serving =
        upstreams.iter().enumerate().filter(|(_, (mark, seen))| seen.can_serve && !mark.is_ejected());
    let (mut all_requests, mut all_failures) = (0, 0);
    for (_, (mark, seen)) in serving.clone() {
        let (requests, failures) = window(mark, seen);
        all_requests += requests;
        all_failures += failures;
    }
    serving
        .filter(|(_, (mark, seen))| {
            let (requests, failures) = window(mark, seen);
            let peers = (all_requests - requests, all_failures - failures);
            deserves(seen, (requests, failures), peers, after)
        })
        .max_by_key(|(_, (mark, seen))| (seen.broken_run, window(mark, seen).1))
        .map(|(index, _)| index)
}

fn deserves(seen: &Seen, (requests, failures): (u64, u64), peers: (u64, u64), after: u32) -> bool {
    if seen.broken_run >= after {
        return true;
    }
    let (peer_requests, peer_failures) = peers;
    // An error that all of them answer is the program's, and ejecting would only make less of it.
    let is_worse_by =
        |factor: u64| peer_requests > 0 && failures * peer_requests > factor * peer_failures * requests;
    if seen.failure_run >= after {
        return is_worse_by(2);
    }
    requests >= FEWEST && peer_requests >= FEWEST && failures * 5 >= requests && is_worse_by(3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(requests: u64, failures: u64, broken_run: u32, failure_run: u32) -> Seen {
        Seen { requests, failures, broken_run, failure_run, can_serve: true }
    }

    fn fresh(seen: &[Seen]) -> Vec<(Mark, Seen)> {
        seen.iter().map(|seen| (Mark::default(), *seen)).collect()
    }

    fn ejected(upstreams: &[(Mark, Seen)]) -> Vec<bool> {
        upstreams.iter().map(|(mark, _)| mark.is_ejected()).collect()
    }

    #[test]
    fn who_is_ejected() {
        let good = seen(100, 0, 0, 0);
        let rows = [
            ("cannot be reached", vec![seen(10, 5, 5, 5), good], vec![true, false]),
            ("the only one", vec![seen(10, 5, 5, 5)], vec![false]),
            (
                "one of three at most",
                vec![seen(9, 5, 5, 5), seen(9, 6, 6, 6), good],
                vec![false, true, false],
            ),
            ("fails alone", vec![seen(100, 60, 0, 5), good], vec![true, false]),
            ("all fail alike", vec![seen(100, 60, 0, 5), seen(100, 50, 0, 5)], vec![false, false]),
            ("share, no run", vec![seen(100, 25, 0, 1), seen(100, 2, 0, 0)], vec![true, false]),
            ("share too small", vec![seen(100, 15, 0, 1), good], vec![false, false]),
            ("too few to tell", vec![seen(10, 5, 0, 1), good], vec![false, false]),
            ("nobody to compare with", vec![seen(100, 60, 0, 5), seen(0, 0, 0, 0)], vec![false, false]),
        ];
        for (name, seen, expected) in rows {
            let mut upstreams = fresh(&seen);
            review(&mut upstreams, 5, 1000);
            assert_eq!(ejected(&upstreams), expected, "{name}");
            let mut upstreams = fresh(&seen);
            review(&mut upstreams, 0, 1000);
            assert_eq!(ejected(&upstreams), vec![false; seen.len()], "{name}, switched off");
        }
    }

    #[test]
    fn each_time_is_longer_and_good_behaviour_is_remembered() {
        let mut upstreams = fresh(&[seen(10, 5, 5, 5), seen(10, 0, 0, 0)]);
        let mut now = 1000;
        for length in [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000] {
            upstreams[0].1.broken_run = 5;
            review(&mut upstreams, 5, now);
            assert_eq!(upstreams[0].0.until, now + length);
            (upstreams[0].1.broken_run, upstreams[0].1.failure_run) = (0, 0);
            now += length;
            review(&mut upstreams, 5, now);
            assert!(!upstreams[0].0.is_ejected());
        }
        for _ in 0..20 {
            now += CALM;
            review(&mut upstreams, 5, now);
        }
        upstreams[0].1.broken_run = 5;
        review(&mut upstreams, 5, now);
        assert_eq!(upstreams[0].0.until, now + FIRST);
    }

    fn any_seen() -> impl Strategy<Value = Seen> {
        (0_u64..200, 0_u64..200, 0_u32..8, 0_u32..8, prop::bool::weighted(0.8)).prop_map(
            |(requests, failures, broken, more, can_serve)| Seen {
                requests: requests + failures,
                failures,
                broken_run: broken,
                failure_run: broken + more,
                can_serve,
            },
        )
    }

    proptest! {
        /// Over any history: at most half of those that can serve are out, therefore never the last one; nobody
        /// stays out beyond the bound; nobody is out who was not seen failing.
        #[test]
        fn the_laws_hold_over_any_history(
            history in proptest::collection::vec(
                (proptest::collection::vec(any_seen(), 6), 0_u64..60_000), 1..40),
            count in 1_usize..=6,
            after in 0_u32..8,
        ) {
            let mut upstreams: Vec<(Mark, Seen)> = fresh(&history[0].0[..count]);
            let mut now = 0;
            for (step, passed) in &history {
                now += passed;
                for ((_, seen), news) in upstreams.iter_mut().zip(step) {
                    let (requests, failures) = (seen.requests + news.requests, seen.failures + news.failures);
                    *seen = Seen { requests, failures, ..*news };
                }
                let before = ejected(&upstreams);
                review(&mut upstreams, after, now);
                let servable = upstreams.iter().filter(|(_, seen)| seen.can_serve).count();
                let out = upstreams.iter().filter(|(mark, seen)| seen.can_serve && mark.is_ejected()).count();
                prop_assert!(out <= servable / 2, "{out} of {servable}");
                for ((mark, seen), was_out) in upstreams.iter().zip(before) {
                    prop_assert!(mark.until <= now + LONGEST);
                    prop_assert!(mark.until == 0 || mark.until > now);
                    if mark.is_ejected() && !was_out {
                        prop_assert!(after > 0 && seen.can_serve && seen.failures > 0 || seen.broken_run >= after);
                    }
                }
            }
        }
    }
}
