//! From one probe's outcome to health: the rule, without any I/O. Tests at the end of the file.

use havre_api::edge_report::Health;

/// Health after a probe that ended with `outcome` (the reason for people if it failed). `failures` counts the
/// failed probes in a row and is kept by the caller. Only an upstream that is healthy gets the patience of
/// `unhealthy_after`: one that never was has shown nothing yet that a single failure could contradict.
pub(super) fn judge(
    before: &Health,
    outcome: Result<(), String>,
    failures: &mut u32,
    unhealthy_after: u32,
) -> Health {
    match outcome {
        Ok(()) => {
            *failures = 0;
            Health::Healthy
        }
        Err(reason) => {
            *failures = failures.saturating_add(1);
            if *before == Health::Healthy && *failures < unhealthy_after {
                Health::Healthy
            } else {
                Health::Unhealthy { reason }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Health after each outcome of `outcomes` (`+` succeeded, `-` failed): `H`, `U`.
    fn run(outcomes: &str, unhealthy_after: u32) -> String {
        let mut health = Health::Unknown;
        let mut failures = 0;
        outcomes
            .chars()
            .map(|outcome| {
                let outcome = if outcome == '+' { Ok(()) } else { Err("GET / answered 500".to_owned()) };
                health = judge(&health, outcome, &mut failures, unhealthy_after);
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
}
