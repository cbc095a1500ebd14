//! From one probe's outcome to health: the rule, without any I/O. Tests at the end of the file.

use havre_api::edge_report::Health;

/// Health after a probe that ended with `outcome` (the reason for people if it failed). `failures` counts the
/// failed probes in a row and is kept by the caller. An upstream that is healthy gets the patience of
/// `unhealthy_after`, and so does one that control calls live while this edge knows nothing of it yet: after a restart
/// of the edge a single slow answer must not take a lone task away from its users. A standby that never was healthy has
/// shown nothing that a failure could contradict.
pub(super) fn judge(
    before: &Health,
    outcome: Result<(), String>,
    failures: &mut u32,
    patience: Patience,
) -> Health {
    let may_fail = |so_far: u32| so_far < patience.unhealthy_after;
    match outcome {
        Ok(()) => {
            *failures = 0;
            Health::Healthy
        }
        Err(reason) => {
            *failures = failures.saturating_add(1);
            match before {
                Health::Healthy if may_fail(*failures) => Health::Healthy,
                Health::Unknown if patience.is_live && may_fail(*failures) => Health::Unknown,
                _ => Health::Unhealthy { reason },
            }
        }
    }
}

/// How many failures are forgiven, and to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Failed probes in a row that turn an upstream unhealthy.
    pub(super) unhealthy_after: u32,
    /// Control calls it live.
    pub(super) is_live: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Health after each outcome of `outcomes` (`+` succeeded, `-` failed): `H`, `U`.
    fn run(outcomes: &str, unhealthy_after: u32) -> String {
        judged(outcomes, Patience { unhealthy_after, is_live: false })
    }

    fn judged(outcomes: &str, patience: Patience) -> String {
        let mut health = Health::Unknown;
        let mut failures = 0;
        outcomes
            .chars()
            .map(|outcome| {
                let outcome = if outcome == '+' { Ok(()) } else { Err("GET / answered 500".to_owned()) };
                health = judge(&health, outcome, &mut failures, patience);
                match &health {
                    Health::Unknown => '?',
                    Health::Healthy => 'H',
                    Health::Unhealthy { reason } => {
                        assert_eq!(reason, "GET / answered 500");
                        'U'
                    }
                }
            })
            .collect()
    }

    #[test]
    fn patience_is_for_healthy_upstreams_only() {
        assert_eq!(run("--+", 3), "UUH");
        assert_eq!(run("+--+---+-", 3), "HHHHHHUHH");
        assert_eq!(run("+----", 3), "HHHUU");
        assert_eq!(run("+-+", 1), "HUH");
        assert_eq!(run("+-", 0), "HU");
    }

    #[test]
    fn a_live_upstream_is_not_condemned_by_one_probe_after_a_restart() {
        let live = Patience { unhealthy_after: 3, is_live: true };
        assert_eq!(judged("--+", live), "??H");
        assert_eq!(judged("---+", live), "??UH");
    }
}
