//! Chooses what comes next for a swap: one match over the state. Names are exchanged only while neither server runs, and before that everything
//! can become as it was. Tests at the end of the file.

use havre_core::deployment::state::State as DeploymentState;
use havre_core::id::DeploymentId;
use havre_core::name::ServiceName;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

use crate::swap::state::{FailureReason, Outcome, State};
use crate::swap::{Swap, Wish};

/// Longest time in which servers may take their new names, and in which services may lose the one in front.
pub const RENAME_MAX: Span = Span::seconds(600);

/// Longest wait for the one that has the name now to let services in. A server that was ready before the swap answers within seconds.
pub const START_MAX: Span = Span::seconds(3600);

/// How one of the two servers is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// It answers.
    Ready,
    /// It has no task, and the engine knows of none.
    Stopped,
    /// Neither of the two; why, for people.
    Between(String),
    /// It is gone, or on its way.
    Gone,
}

/// How what an upgrade waits for is: a run of a backup, or a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It is under way; how far, for people.
    Working(String),
    /// It is good.
    Done,
    /// It is over, and no good; why, for people.
    Failed(String),
}

/// A service that uses the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Which.
    pub service: ServiceName,
    /// The database that has the name now lets it in.
    pub has_role: bool,
    /// A deployment of it is open, which another one would supersede.
    pub is_deploying: bool,
}

/// Everything a plan may look at. Only asked where no step of the swap is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its row.
    pub swap: Swap,
    /// The database in front.
    pub front: Side,
    /// The other one, where there is one yet.
    pub back: Option<Side>,
    /// What an upgrade waits for.
    pub part: Option<Part>,
    /// Services that use the name.
    pub users: Vec<User>,
    /// The deployments that are waited for.
    pub deployments: Vec<(DeploymentId, DeploymentState)>,
    /// What was said last about why it does not go on.
    pub said: String,
}

/// What to do for one swap now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do; what follows is [`after`] it.
    pub step: Option<Step>,
    /// What to store.
    pub next: Option<Next>,
    /// Why there is not more to do, for people; empty when nothing is waited for.
    pub waiting_on: String,
}

/// One action at the servers. Each may be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Let nobody but Havre into the database in front.
    Close,
    /// Give both their new names, inside of their servers.
    Rename,
    /// Give both their old names, and let services in again.
    Undo,
}

/// What to store, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This state.
    State(State),
    /// A run that saves the one in front, and that it is waited for.
    Save,
    /// A restore of what was saved into a new server, and that it is waited for.
    Restore,
    /// The names of both, and what is promised of their backups, exchanged.
    Exchange,
    /// A deployment of what is live of each service, and that they are waited for.
    Deploy,
    /// That it is undone, and that what was begun for it goes.
    Undo(Outcome),
}

/// What comes next.
pub fn plan(seen: &Seen, now: Timestamp) -> Plan {
    let swap = &seen.swap;
    if swap.cancel_requested && swap.state.may_be_cancelled() {
        return next(Next::Undo(Outcome::Cancelled));
    }
    let is_gone = seen.front == Side::Gone || seen.back == Some(Side::Gone);
    if is_gone && swap.state.may_be_cancelled() && !matches!(seen.part, Some(Part::Failed(_))) {
        return next(Next::Undo(Outcome::Failed { reason: FailureReason::Gone }));
    }
    match &swap.state {
        State::Closing { since } => at_servers(seen, *since, Step::Close, now),
        State::Renaming { since } => at_servers(seen, *since, Step::Rename, now),
        State::Saving { .. } => part(seen, Next::Restore, |message| FailureReason::NotSaved { message }),
        State::Restoring { .. } => {
            let renaming = Next::State(State::Renaming { since: now });
            part(seen, renaming, |message| FailureReason::NotRestored { message })
        }
        State::Stopping { .. } if is_gone => failed(FailureReason::Gone, now),
        State::Stopping { .. } => match (&seen.front, &seen.back) {
            (Side::Stopped, Some(Side::Stopped)) => next(Next::Exchange),
            _ => wait("waits for both servers to stop".to_owned()),
        },
        State::Starting { since } => starting(seen, *since, now),
        State::Deploying { deployments, .. } => deploying(seen, deployments, now),
        State::Undoing { outcome, .. } => match &seen.front {
            // Nothing is left that services could use.
            Side::Gone => next(Next::State(outcome.ended(now))),
            Side::Ready => step(Step::Undo),
            Side::Stopped => wait("waits for the database to start".to_owned()),
            Side::Between(why) => wait(format!("waits for the database: {why}")),
        },
        State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => Plan::default(),
    }
}

/// What follows from a step that was done.
pub fn after(swap: &Swap, done: Step, now: Timestamp) -> Next {
    match (done, &swap.state, &swap.wish) {
        (Step::Close, _, Wish::Upgrade { .. }) => Next::Save,
        (Step::Close, _, Wish::Exchange) => Next::State(State::Renaming { since: now }),
        (Step::Rename, ..) => Next::State(State::Stopping { since: now }),
        (Step::Undo, State::Undoing { outcome, .. }, _) => Next::State(outcome.ended(now)),
        (Step::Undo, other, _) => Next::State(other.clone()),
    }
}

/// A step for which the servers must answer.
fn at_servers(seen: &Seen, since: Timestamp, wanted: Step, now: Timestamp) -> Plan {
    let sides = [Some(&seen.front), seen.back.as_ref()];
    let waits = sides.into_iter().flatten().find_map(|side| match side {
        Side::Ready | Side::Gone => None,
        Side::Stopped => Some("it has no task".to_owned()),
        Side::Between(why) => Some(why.clone()),
    });
    if now.since(since) > RENAME_MAX.duration() {
        let message = waits.unwrap_or_else(|| seen.said.clone());
        return next(Next::Undo(Outcome::Failed { reason: FailureReason::NotRenamed { message } }));
    }
    match waits {
        Some(why) => wait(format!("waits for a server: {why}")),
        None => step(wanted),
    }
}

/// What an upgrade waits for, and what then.
fn part(seen: &Seen, then: Next, reason: impl FnOnce(String) -> FailureReason) -> Plan {
    let why = match &seen.part {
        Some(Part::Done) => return next(then),
        Some(Part::Working(how)) => return wait(how.clone()),
        Some(Part::Failed(why)) => why.clone(),
        None => "it is not known any more".to_owned(),
    };
    next(Next::Undo(Outcome::Failed { reason: reason(why) }))
}

/// Services are deployed again once every one is let in, and none is being deployed.
fn starting(seen: &Seen, since: Timestamp, now: Timestamp) -> Plan {
    let why = match &seen.back {
        None | Some(Side::Gone) => return failed(FailureReason::Gone, now),
        Some(Side::Stopped) => Some("waits for the database to start".to_owned()),
        Some(Side::Between(why)) => Some(format!("waits for the database: {why}")),
        Some(Side::Ready) => seen.users.iter().find_map(|user| {
            let service = &user.service;
            match (user.has_role, user.is_deploying) {
                (false, _) => Some(format!("waits for {service} to be let in")),
                (true, true) => Some(format!("waits for a deployment of {service} to end")),
                (true, false) => None,
            }
        }),
    };
    let Some(why) = why else { return next(Next::Deploy) };
    // A deployment may take as long as people want: it is waited for, whatever the clock says.
    let is_let_in = seen.back == Some(Side::Ready) && seen.users.iter().all(|user| user.has_role);
    if !is_let_in && now.since(since) > START_MAX.duration() {
        return failed(FailureReason::NotStarted, now);
    }
    wait(why)
}

fn deploying(seen: &Seen, wanted: &[DeploymentId], now: Timestamp) -> Plan {
    let open = wanted
        .iter()
        .filter(|id| seen.deployments.iter().any(|(found, state)| found == *id && !state.is_final()));
    let open: Vec<String> = open.map(ToString::to_string).collect();
    if !open.is_empty() {
        return wait(format!("waits for {}", open.join(", ")));
    }
    let is_bad = |state: &DeploymentState| match state {
        // A newer one started with what is right already.
        DeploymentState::Succeeded { .. } | DeploymentState::Superseded { .. } => false,
        other => other.is_final(),
    };
    let bad = seen.deployments.iter().filter(|(_, state)| is_bad(state)).map(|(id, _)| *id);
    let deployments: Vec<DeploymentId> = bad.collect();
    if deployments.is_empty() {
        return next(Next::State(State::Succeeded { at: now }));
    }
    failed(FailureReason::NotDeployed { deployments }, now)
}

fn failed(reason: FailureReason, at: Timestamp) -> Plan {
    next(Next::State(State::Failed { at, reason }))
}

fn step(step: Step) -> Plan {
    Plan { step: Some(step), ..Plan::default() }
}

fn next(next: Next) -> Plan {
    Plan { next: Some(next), ..Plan::default() }
}

fn wait(waiting_on: String) -> Plan {
    Plan { waiting_on, ..Plan::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::Names;
    use havre_core::id::{BackupRunId, DatabaseId, EnvironmentId, RestoreId, SwapId};
    use proptest::prelude::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).after(Span::seconds(seconds).duration())
    }

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().expect("a name")
    }

    fn seen(wish: Wish, state: State) -> Seen {
        let names = Names { name: name("db"), other: name("new"), aside: name("db-before-20261127") };
        let swap = Swap {
            id: SwapId::new(4),
            environment: EnvironmentId::new(1),
            project: name("shop"),
            environment_name: name("production"),
            front: DatabaseId::new(1),
            back: Some(DatabaseId::new(2)),
            names,
            wish,
            state,
            cancel_requested: false,
            created_at: at(0),
        };
        let (users, deployments, said) = (Vec::new(), Vec::new(), String::new());
        Seen { swap, front: Side::Ready, back: Some(Side::Ready), part: None, users, deployments, said }
    }

    fn upgrade() -> Wish {
        Wish::Upgrade { version: 16, target: name("disk") }
    }

    #[test]
    fn an_exchange_goes_on_by_itself() {
        let mut world = seen(Wish::Exchange, State::Closing { since: at(0) });
        assert_eq!(plan(&world, at(1)).step, Some(Step::Close));
        let renaming = State::Renaming { since: at(1) };
        assert_eq!(after(&world.swap, Step::Close, at(1)), Next::State(renaming.clone()));
        world.swap.state = renaming;
        assert_eq!(plan(&world, at(2)).step, Some(Step::Rename));
        let stopping = State::Stopping { since: at(2) };
        assert_eq!(after(&world.swap, Step::Rename, at(2)), Next::State(stopping.clone()));
        world.swap.state = stopping;
        assert_eq!(plan(&world, at(3)).waiting_on, "waits for both servers to stop");
        world.front = Side::Stopped;
        assert_eq!(plan(&world, at(3)).next, None, "never while one of them runs");
        world.back = Some(Side::Stopped);
        assert_eq!(plan(&world, at(3)).next, Some(Next::Exchange));
        world.swap.state = State::Starting { since: at(3) };
        assert_eq!(plan(&world, at(4)).waiting_on, "waits for the database to start");
        world.back = Some(Side::Ready);
        world.users = vec![User { service: name("api"), has_role: false, is_deploying: true }];
        assert_eq!(plan(&world, at(4)).waiting_on, "waits for api to be let in");
        assert!(matches!(plan(&world, at(3604)).next, Some(Next::State(State::Failed { .. }))));
        world.users[0].has_role = true;
        assert_eq!(plan(&world, at(9999)).waiting_on, "waits for a deployment of api to end");
        world.users[0].is_deploying = false;
        assert_eq!(plan(&world, at(5)).next, Some(Next::Deploy));
        let id = DeploymentId::new(9);
        world.swap.state = State::Deploying { since: at(5), deployments: vec![id] };
        world.deployments = vec![(id, DeploymentState::Pending)];
        assert_eq!(plan(&world, at(6)).waiting_on, "waits for d9");
        world.deployments[0].1 = DeploymentState::Cancelled { at: at(6) };
        let Some(Next::State(State::Failed { reason, .. })) = plan(&world, at(7)).next else {
            panic!("it must fail")
        };
        assert_eq!(reason.to_string(), "the names are exchanged, but d9 did not succeed");
        world.deployments[0].1 = DeploymentState::Succeeded { at: at(6) };
        assert_eq!(plan(&world, at(7)).next, Some(Next::State(State::Succeeded { at: at(7) })));
    }

    #[test]
    fn an_upgrade_saves_and_restores_before() {
        let mut world = seen(upgrade(), State::Closing { since: at(0) });
        world.back = None;
        world.swap.back = None;
        assert_eq!(plan(&world, at(1)).step, Some(Step::Close));
        assert_eq!(after(&world.swap, Step::Close, at(1)), Next::Save);
        world.swap.state = State::Saving { since: at(1), run: BackupRunId::new(1) };
        world.part = Some(Part::Working("dumping: 12 MB so far".to_owned()));
        assert_eq!(plan(&world, at(9999)).waiting_on, "dumping: 12 MB so far");
        world.part = Some(Part::Done);
        assert_eq!(plan(&world, at(2)).next, Some(Next::Restore));
        world.swap.state = State::Restoring { since: at(2), restore: RestoreId::new(1) };
        (world.back, world.part) = (Some(Side::Gone), Some(Part::Failed("rows differ".to_owned())));
        let Some(Next::Undo(Outcome::Failed { reason })) = plan(&world, at(3)).next else {
            panic!("it must be undone")
        };
        assert_eq!(reason.to_string(), "the new server did not get what was saved: rows differ");
        (world.back, world.part) = (Some(Side::Ready), Some(Part::Done));
        assert_eq!(plan(&world, at(3)).next, Some(Next::State(State::Renaming { since: at(3) })));
    }

    #[test]
    fn what_cannot_go_on_is_undone_only_before_names_are_exchanged() {
        let mut world = seen(Wish::Exchange, State::Renaming { since: at(0) });
        world.back = Some(Side::Between("it is stopped".to_owned()));
        assert_eq!(plan(&world, at(1)).waiting_on, "waits for a server: it is stopped");
        assert!(matches!(plan(&world, at(601)).next, Some(Next::Undo(Outcome::Failed { .. }))));
        world.swap.cancel_requested = true;
        assert_eq!(plan(&world, at(1)).next, Some(Next::Undo(Outcome::Cancelled)));
        world.swap.state = State::Undoing { since: at(1), outcome: Outcome::Cancelled };
        assert_eq!(plan(&world, at(2)).step, Some(Step::Undo));
        let cancelled = Next::State(State::Cancelled { at: at(2) });
        assert_eq!(after(&world.swap, Step::Undo, at(2)), cancelled);
        world.front = Side::Gone;
        assert_eq!(plan(&world, at(2)).next, Some(cancelled));
        world.swap.state = State::Starting { since: at(1) };
        (world.back, world.swap.cancel_requested) = (Some(Side::Ready), true);
        assert_eq!(plan(&world, at(2)).next, Some(Next::Deploy), "it is too late to cancel");
    }

    fn sides() -> impl Strategy<Value = Side> {
        prop_oneof![
            Just(Side::Ready),
            Just(Side::Stopped),
            Just(Side::Between("it is starting".to_owned())),
            Just(Side::Gone),
        ]
    }

    fn states() -> impl Strategy<Value = State> {
        let since = at(0);
        prop_oneof![
            Just(State::Closing { since }),
            Just(State::Saving { since, run: BackupRunId::new(1) }),
            Just(State::Restoring { since, restore: RestoreId::new(1) }),
            Just(State::Renaming { since }),
            Just(State::Stopping { since }),
            Just(State::Starting { since }),
            Just(State::Deploying { since, deployments: Vec::new() }),
            Just(State::Undoing { since, outcome: Outcome::Cancelled }),
        ]
    }

    proptest! {
        /// Whatever is seen: names are exchanged while nobody runs, a server is told something only where it answers, and what has other
        /// names already is never undone.
        #[test]
        fn laws(front in sides(), back in proptest::option::of(sides()), state in states(), cancel in any::<bool>(),
            seconds in 0_u64..10_000) {
            let mut world = seen(upgrade(), state);
            (world.front, world.back, world.swap.cancel_requested) = (front, back, cancel);
            let plan = plan(&world, at(seconds));
            prop_assert!(plan.step.is_none() || plan.next.is_none());
            if plan.step.is_some() {
                prop_assert_eq!(&world.front, &Side::Ready);
            }
            if plan.next == Some(Next::Exchange) {
                prop_assert_eq!((&world.front, &world.back), (&Side::Stopped, &Some(Side::Stopped)));
            }
            if let Some(Next::Undo(_)) = plan.next {
                prop_assert!(world.swap.state.may_be_cancelled());
            }
            if plan.step.is_none() && plan.next.is_none() {
                prop_assert!(!plan.waiting_on.is_empty(), "it says what it waits for");
            }
        }
    }
}
