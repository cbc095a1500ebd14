//! Laws of a deployment's plan, on top of those of every step (`service::check`).

use crate::deployment::plan::Plan;
use crate::service::check::{Violation, check as check_steps};
use crate::service::seen::Seen;
use havre_core::deployment::Deployment;
use havre_core::time::Timestamp;

/// Lists the laws this plan would break.
pub fn check(deployment: &Deployment, plan: &Plan, seen: &Seen, now: Timestamp) -> Vec<Violation> {
    let mut violations = check_steps(&plan.steps, seen, now);
    if deployment.state.is_final() && (!plan.steps.is_empty() || plan.next.is_some()) {
        violations.push(Violation::Over);
    }
    violations
}
