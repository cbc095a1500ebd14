//! Laws no plan of a database may break, whoever made it. A plan that fails is not executed. Tests: `tests/it/database`.

use crate::database::plan::{Health, Next, Plan, Seen, Step};
use havre_core::database::state::State;
use havre_core::task::EngineState;

/// A law a plan would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Two servers would run on one volume.
    TwoServers,
    /// Data would go that nobody asked to destroy, or that a server still has open.
    DataLost,
    /// A task that runs would be forgotten.
    Forgotten,
    /// A server that does not answer would be asked to do something.
    NobodyThere,
    /// A server would start while its name is exchanged: two could answer to one name.
    Held,
    /// A server would start empty in the place of data that is lost.
    Empty,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TwoServers => "two servers would run on one volume",
            Self::DataLost => "data would go that nobody asked to destroy, or that a server has open",
            Self::Forgotten => "a task that runs would be forgotten",
            Self::NobodyThere => "a server that does not answer would be asked to do something",
            Self::Held => "a server would start while its name is exchanged",
            Self::Empty => "a server would start empty in the place of data that is lost",
        })
    }
}

/// Lists the laws a plan would break.
pub fn check(plan: &Plan, seen: &Seen) -> Vec<Violation> {
    let mut violations = Vec::new();
    let is_absent = seen.task == EngineState::Absent && seen.others.is_empty();
    let is_running = matches!(seen.task, EngineState::Running { .. });
    for step in &plan.steps {
        match step {
            Step::StartTask => {
                let may_start = matches!(seen.database.state, State::Starting { .. })
                    && seen.others.is_empty()
                    && !seen.is_volume_held;
                if !may_start {
                    violations.push(Violation::TwoServers);
                }
            }
            Step::Dismantle if !is_absent || !seen.database.state.is_destroying() => {
                violations.push(Violation::DataLost);
            }
            Step::MakeRole { .. } | Step::LockRole { .. } if seen.health != Health::Answers => {
                violations.push(Violation::NobodyThere);
            }
            _ => {}
        }
    }
    let starts = plan.steps.contains(&Step::StartTask) || matches!(plan.next, Some(Next::Begin { .. }));
    if seen.is_held && starts {
        violations.push(Violation::Held);
    }
    if seen.lost.is_some() && starts {
        violations.push(Violation::Empty);
    }
    match &plan.next {
        Some(Next::Begin { .. }) if !is_absent => violations.push(Violation::TwoServers),
        Some(Next::State { state }) if !state.has_task() && is_running => {
            violations.push(Violation::Forgotten)
        }
        _ => {}
    }
    violations
}
