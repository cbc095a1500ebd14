//! Chooses what comes next for a copy: one match over the state. Nothing that is there is touched before all rows are in the fresh database
//! and nothing speaks against them. Tests at the end of the file.

use serde::{Deserialize, Serialize};

use havre_core::copy::state::{FailureReason, Outcome, State};
use havre_core::copy::{DatabaseCopy, Origin};
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// How often a copy is begun: a server may be restarted meanwhile, or control.
pub const ATTEMPTS_MAX: u32 = 3;

/// Longest time in which a copy may take its place.
pub const SWAP_TIMEOUT: Span = Span::seconds(600);

/// Longest wait for somebody to begin to send a dump.
pub const UPLOAD_TIMEOUT: Span = Span::seconds(60);

/// How one of the two servers is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// It answers.
    Ready,
    /// It does not right now; why, for people.
    NotReady(String),
    /// It is gone, or on its way.
    Gone,
}

/// Everything a plan may look at. Only asked where no step of the copy is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its row.
    pub copy: DatabaseCopy,
    /// The server its rows come from; `None` for an upload.
    pub source: Option<Side>,
    /// The server it goes into.
    pub target: Side,
}

/// What to do for one copy now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do; what follows is stored with its result.
    pub step: Option<Step>,
    /// What to store.
    pub next: Option<State>,
    /// Why there is not more to do, for people; empty when nothing is waited for.
    pub waiting_on: String,
}

/// One action. Each may be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Make a fresh database and put the rows into it, from the beginning.
    Copy,
    /// Put the fresh database into its place.
    Swap,
    /// Take the fresh database away.
    Undo,
}

/// What comes next.
pub fn plan(seen: &Seen, now: Timestamp) -> Plan {
    let copy = &seen.copy;
    let is_gone = seen.target == Side::Gone || seen.source == Some(Side::Gone);
    match &copy.state {
        State::Waiting { .. } if copy.cancel_requested => next(State::Cancelled { at: now }),
        State::Waiting { .. } if is_gone => next(State::Failed { at: now, reason: FailureReason::Gone }),
        State::Waiting { since } if matches!(copy.origin, Origin::Upload) => {
            plan_upload(now.since(*since) > UPLOAD_TIMEOUT.duration(), now)
        }
        State::Waiting { .. } => match waits(seen) {
            Some(waiting_on) => Plan { waiting_on, ..Plan::default() },
            None => next(State::Copying { since: now }),
        },
        State::Copying { .. } => plan_copying(seen, is_gone, now),
        State::Swapping { since, .. } => match &seen.target {
            Side::Gone => next(State::Failed { at: now, reason: FailureReason::Gone }),
            _ if now.since(*since) > SWAP_TIMEOUT.duration() => {
                undo(now, Outcome::Failed { reason: FailureReason::NotSwapped })
            }
            Side::NotReady(why) => wait(format!("waits for {}: {why}", copy.place())),
            Side::Ready => step(Step::Swap),
        },
        State::Undoing { outcome, .. } => match &seen.target {
            // Nothing is left to take away.
            Side::Gone => next(ended(outcome, now)),
            Side::NotReady(why) => wait(format!("waits for {}: {why}", copy.place())),
            Side::Ready => step(Step::Undo),
        },
        State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => Plan::default(),
    }
}

/// Whoever sends it begins it.
fn plan_upload(is_late: bool, now: Timestamp) -> Plan {
    if !is_late {
        return wait("waits for the dump".to_owned());
    }
    let message = "nobody began to send it".to_owned();
    next(State::Failed { at: now, reason: FailureReason::BrokenOff { message } })
}

fn plan_copying(seen: &Seen, is_gone: bool, now: Timestamp) -> Plan {
    let copy = &seen.copy;
    if copy.cancel_requested {
        return undo(now, Outcome::Cancelled);
    }
    if is_gone {
        return undo(now, Outcome::Failed { reason: FailureReason::Gone });
    }
    let failed = |reason: FailureReason| undo(now, Outcome::Failed { reason });
    match copy.origin {
        // No step of it is under way: whoever sent it is not there any more.
        Origin::Upload => {
            let message = "control was stopped while it came; send it again".to_owned();
            failed(FailureReason::BrokenOff { message })
        }
        Origin::Database { .. } if copy.attempt >= ATTEMPTS_MAX => {
            let message = format!("it was begun {} times and never came to its end", copy.attempt);
            failed(FailureReason::GaveUp { message })
        }
        Origin::Database { .. } => match waits(seen) {
            Some(waiting_on) => wait(waiting_on),
            None => step(Step::Copy),
        },
    }
}

/// How a copy ends that was undone.
pub fn ended(outcome: &Outcome, now: Timestamp) -> State {
    match outcome {
        Outcome::Failed { reason } => State::Failed { at: now, reason: reason.clone() },
        Outcome::Cancelled => State::Cancelled { at: now },
    }
}

fn waits(seen: &Seen) -> Option<String> {
    let sides = [
        seen.source.as_ref().map(|side| ("where it comes from", side)),
        Some(("where it goes", &seen.target)),
    ];
    sides.into_iter().flatten().find_map(|(which, side)| match side {
        Side::NotReady(why) => Some(format!("waits for the database {which}: {why}")),
        Side::Ready | Side::Gone => None,
    })
}

fn step(step: Step) -> Plan {
    Plan { step: Some(step), ..Plan::default() }
}

fn next(state: State) -> Plan {
    Plan { next: Some(state), ..Plan::default() }
}

fn wait(waiting_on: String) -> Plan {
    Plan { waiting_on, ..Plan::default() }
}

fn undo(now: Timestamp, outcome: Outcome) -> Plan {
    next(State::Undoing { since: now, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::copy::Wish;
    use havre_core::copy::state::Report;
    use havre_core::id::{CopyId, DatabaseId};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).after(Span::seconds(seconds).duration())
    }

    fn seen(state: State) -> Seen {
        let copy = DatabaseCopy {
            id: CopyId::new(7),
            origin: Origin::Database {
                id: DatabaseId::new(1),
                environment: "production".parse().expect("a name"),
            },
            target: DatabaseId::new(2),
            project: "dropit".parse().expect("a name"),
            environment: "staging".parse().expect("a name"),
            name: "db".parse().expect("a name"),
            wish: Wish::default(),
            attempt: 0,
            state,
            cancel_requested: false,
            created_at: at(0),
        };
        Seen { copy, source: Some(Side::Ready), target: Side::Ready }
    }

    #[test]
    fn it_goes_on_by_itself() {
        let mut world = seen(State::Waiting { since: at(0) });
        assert_eq!(plan(&world, at(1)), next(State::Copying { since: at(1) }));
        world.source = Some(Side::NotReady("it is stopped".to_owned()));
        assert_eq!(
            plan(&world, at(1)).waiting_on,
            "waits for the database where it comes from: it is stopped"
        );
        let world = seen(State::Copying { since: at(1) });
        assert_eq!(plan(&world, at(2)).step, Some(Step::Copy));
        let world = seen(State::Swapping { since: at(2), report: Report::default() });
        assert_eq!(plan(&world, at(3)).step, Some(Step::Swap));
        let world = seen(State::Undoing { since: at(2), outcome: Outcome::Cancelled });
        assert_eq!(plan(&world, at(3)).step, Some(Step::Undo));
        let world = seen(State::Cancelled { at: at(2) });
        assert_eq!(plan(&world, at(3)), Plan::default());
    }

    #[test]
    fn what_cannot_go_on_is_undone() {
        let mut world = seen(State::Copying { since: at(1) });
        world.copy.attempt = ATTEMPTS_MAX;
        let undone = |world: &Seen| match plan(world, at(2)).next {
            Some(State::Undoing { outcome: Outcome::Failed { reason }, .. }) => reason.to_string(),
            other => panic!("it is not undone: {other:?}"),
        };
        assert_eq!(undone(&world), "it was given up: it was begun 3 times and never came to its end");
        world.copy.origin = Origin::Upload;
        world.source = None;
        assert!(undone(&world).starts_with("the dump did not come to its end"));
        world.copy.state = State::Waiting { since: at(1) };
        assert_eq!(plan(&world, at(2)).waiting_on, "waits for the dump");
        assert_eq!(undone_at(&world, at(62)), Some("failed"));
        let mut world = seen(State::Swapping { since: at(2), report: Report::default() });
        assert_eq!(undone_at(&world, at(603)), Some("undoing"));
        world.copy.cancel_requested = true;
        assert_eq!(plan(&world, at(3)).step, Some(Step::Swap), "it is too late to cancel");
    }

    fn undone_at(world: &Seen, now: Timestamp) -> Option<&'static str> {
        plan(world, now).next.map(|state| state.name())
    }

    #[test]
    fn a_wish_to_cancel_and_a_database_that_goes_end_it() {
        let mut world = seen(State::Waiting { since: at(0) });
        world.copy.cancel_requested = true;
        assert_eq!(undone_at(&world, at(1)), Some("cancelled"));
        world.copy.cancel_requested = false;
        world.source = Some(Side::Gone);
        assert_eq!(undone_at(&world, at(1)), Some("failed"));
        let mut world = seen(State::Copying { since: at(0) });
        world.copy.cancel_requested = true;
        assert_eq!(undone_at(&world, at(1)), Some("undoing"));
        world.copy.state = State::Undoing { since: at(1), outcome: Outcome::Cancelled };
        world.target = Side::Gone;
        assert_eq!(undone_at(&world, at(2)), Some("cancelled"));
    }
}
