//! Chooses what comes next for a database: one match over the state. Two servers on one volume would destroy it, so a task is stopped and gone
//! before the next one is begun, always. Tests: `tests/it/database`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use havre_core::database::role::RoleName;
use havre_core::database::state::{FailureReason, State, StopReason};
use havre_core::database::{Database, Role, RoleState};
use havre_core::name::ServiceName;
use havre_core::quantity::Span;
use havre_core::task::EngineState;
use havre_core::time::Timestamp;

/// Longest wait for the first answer of a started server: one that was killed may have much of its log to read again.
pub const START_TIMEOUT: Span = Span::seconds(1800);

/// Tasks in a row that may end by themselves before a database that has never answered is given up for now.
pub const FAILURES_MAX: u32 = 5;

/// A database that could not be started is tried again this long afterwards.
pub const TRY_AGAIN: Span = Span::seconds(600);

/// A task that has been ready for this long has not failed in a row with those before it.
pub const STEADY: Span = Span::seconds(600);

/// Pauses before the next task after one, two… that ended by themselves; the last one stays.
pub const BACK_OFF: [Span; 5] =
    [Span::seconds(1), Span::seconds(5), Span::seconds(15), Span::seconds(30), Span::seconds(60)];

/// Pause between looks at a server that has not answered yet.
pub const PROBE_STARTING: Span = Span::seconds(1);

/// The same for one that has.
pub const PROBE_READY: Span = Span::seconds(15);

/// Why a database does not run whose name is exchanged.
const HELD: &str = "waits for its new name";

/// What the server said when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Nobody asked, because no task runs.
    NotAsked,
    /// It takes connections.
    Answers,
    /// It does not.
    Silent {
        /// What its client said, for people.
        message: String,
    },
}

/// Everything a plan may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its row.
    pub database: Database,
    /// What the engine says of its present task.
    pub task: EngineState,
    /// Numbers of other tasks of it the engine has, running or not.
    pub others: Vec<u32>,
    /// What the server said.
    pub health: Health,
    /// Roles of services.
    pub roles: Vec<Role>,
    /// Services that use it, or may have tasks that do.
    pub users: BTreeSet<ServiceName>,
    /// Replaced roles that some task may have been started with.
    pub in_use: BTreeSet<RoleName>,
    /// A restore writes on its volume.
    pub is_volume_held: bool,
    /// A swap exchanges its name: it may not run until that is done.
    pub is_held: bool,
    /// Its data went with the server it was on and is not back, for people: it may not start empty.
    pub lost: Option<String>,
}

/// One idempotent action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Network, image and volume exist and the engine runs the present task.
    StartTask,
    /// The present task has ended: signal, wait, SIGKILL.
    StopTask,
    /// Its last lines are told, and it is gone from the engine.
    RemoveTask,
    /// Another task of it has ended and is gone.
    RemoveOther {
        /// Its number.
        task: u32,
    },
    /// A row and a password for a service.
    AddRole {
        /// Whose.
        service: ServiceName,
    },
    /// The server knows the role.
    MakeRole {
        /// Which.
        role: RoleName,
    },
    /// The server lets the role in no more, and its row is gone.
    LockRole {
        /// Which.
        role: RoleName,
    },
    /// The volume with all data, and the rows, are gone.
    Dismantle,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StartTask => f.write_str("start its task"),
            Self::StopTask => f.write_str("stop its task"),
            Self::RemoveTask => f.write_str("remove its task"),
            Self::RemoveOther { task } => write!(f, "remove its task {task}"),
            Self::AddRole { service } => write!(f, "plan a role for {service}"),
            Self::MakeRole { role } => write!(f, "make the role {role}"),
            Self::LockRole { role } => write!(f, "lock the role {role}"),
            Self::Dismantle => f.write_str("remove its volume and its rows"),
        }
    }
}

/// What to store once the steps are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "next")]
pub enum Next {
    /// This state.
    State {
        /// Which.
        state: State,
    },
    /// One more task, as it is specified now.
    Begin {
        /// Tasks in a row that ended by themselves.
        failures: u32,
    },
}

/// What to do for one database now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What to store then; `None` stays.
    pub next: Option<Next>,
    /// Why there is not more to do, for people; empty when nothing is waited for.
    pub waiting_on: String,
    /// When to look again if nothing happens before.
    pub look_again_at: Option<Timestamp>,
}

impl Plan {
    fn steps(steps: Vec<Step>) -> Self {
        Self { steps, ..Self::default() }
    }

    fn state(state: State) -> Self {
        Self { next: Some(Next::State { state }), ..Self::default() }
    }

    fn wait(text: impl Into<String>, look_again_at: Timestamp) -> Self {
        Self { waiting_on: text.into(), look_again_at: Some(look_again_at), ..Self::default() }
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for step in &self.steps {
            writeln!(f, "- {step}")?;
        }
        match &self.next {
            Some(Next::State { state }) => writeln!(f, "→ {}", state.name())?,
            Some(Next::Begin { .. }) => writeln!(f, "→ the next task")?,
            None => {}
        }
        if !self.waiting_on.is_empty() {
            writeln!(f, "… {}", self.waiting_on)?;
        }
        Ok(())
    }
}

/// Chooses the steps of a database and its next state.
pub fn plan(seen: &Seen, now: Timestamp) -> Plan {
    if let State::Destroying { .. } = seen.database.state {
        return destroying(seen, now);
    }
    if seen.is_volume_held {
        return Plan::wait("a restore puts its files on its volume", now.after(PROBE_READY.duration()));
    }
    // Nothing is touched: a volume of it may be here after all.
    if let Some(why) = &seen.lost {
        return Plan::wait(why.clone(), now.after(PROBE_READY.duration()));
    }
    // Whatever it is, it is on the same volume.
    if !seen.others.is_empty() {
        return Plan::steps(seen.others.iter().map(|task| Step::RemoveOther { task: *task }).collect());
    }
    let added = roles_to_add(seen);
    if !added.is_empty() {
        return Plan::steps(added);
    }
    match &seen.database.state {
        State::Starting { since, failures } => starting(seen, *since, *failures, now),
        State::Ready { since } => ready(seen, *since, now),
        State::Stopping { why, .. } => stopping(seen, why, now),
        State::Stopped { since, why, failures } => stopped(seen, *since, why, *failures, now),
        State::Failed { at, reason } => failed(seen, *at, reason, now),
        State::Destroying { .. } => Plan::default(),
    }
}

fn starting(seen: &Seen, since: Timestamp, failures: u32, now: Timestamp) -> Plan {
    if seen.is_held || seen.database.started_revision != seen.database.revision {
        return Plan::state(State::Stopping { since: now, why: StopReason::Changed });
    }
    match (&seen.task, &seen.health) {
        (EngineState::Absent | EngineState::Created, _) => Plan::steps(vec![Step::StartTask]),
        (EngineState::Exited { code, out_of_memory }, _) => {
            let why = StopReason::Exited { exit: *code, out_of_memory: *out_of_memory };
            ended(seen, why, failures.saturating_add(1), now)
        }
        (EngineState::Running { .. }, Health::Answers) => Plan::state(State::Ready { since: now }),
        (EngineState::Running { .. }, _) if now.since(since) >= START_TIMEOUT.duration() => {
            Plan::state(State::Stopping { since: now, why: StopReason::Silent })
        }
        (EngineState::Running { .. }, Health::Silent { message }) => {
            Plan::wait(format!("does not answer yet: {message}"), now.after(PROBE_STARTING.duration()))
        }
        (EngineState::Running { .. }, Health::NotAsked) => {
            Plan::wait("has not been asked yet", now.after(PROBE_STARTING.duration()))
        }
    }
}

fn ready(seen: &Seen, since: Timestamp, now: Timestamp) -> Plan {
    match &seen.task {
        EngineState::Exited { code, out_of_memory } => {
            let why = StopReason::Exited { exit: *code, out_of_memory: *out_of_memory };
            let failures = if now.since(since) >= STEADY.duration() { 0 } else { 1 };
            return ended(seen, why, failures, now);
        }
        EngineState::Absent | EngineState::Created => {
            return Plan::state(State::Stopped { since: now, why: StopReason::Lost, failures: 0 });
        }
        EngineState::Running { .. } => {}
    }
    if seen.is_held || seen.database.started_revision != seen.database.revision {
        return Plan::state(State::Stopping { since: now, why: StopReason::Changed });
    }
    match &seen.health {
        Health::Answers => {
            let steps = roles_to_settle(seen);
            Plan { steps, look_again_at: Some(now.after(PROBE_READY.duration())), ..Plan::default() }
        }
        // Never stopped for it: a server under load is not helped by losing its memory.
        Health::Silent { message } => {
            Plan::wait(format!("does not answer: {message}"), now.after(PROBE_READY.duration()))
        }
        Health::NotAsked => Plan::wait("has not been asked yet", now.after(PROBE_STARTING.duration())),
    }
}

fn stopping(seen: &Seen, why: &StopReason, now: Timestamp) -> Plan {
    let stopped = State::Stopped { since: now, why: why.clone(), failures: 0 };
    match seen.task {
        EngineState::Running { .. } => Plan::steps(vec![Step::StopTask]),
        EngineState::Exited { .. } | EngineState::Created => {
            Plan { steps: vec![Step::RemoveTask], ..Plan::state(stopped) }
        }
        EngineState::Absent => Plan::state(stopped),
    }
}

fn ended(seen: &Seen, why: StopReason, failures: u32, now: Timestamp) -> Plan {
    let next = if seen.database.ready_at.is_none() && failures >= FAILURES_MAX {
        State::Failed { at: now, reason: FailureReason::NeverReady { message: why.to_string() } }
    } else {
        State::Stopped { since: now, why, failures }
    };
    Plan { steps: vec![Step::RemoveTask], ..Plan::state(next) }
}

fn stopped(seen: &Seen, since: Timestamp, why: &StopReason, failures: u32, now: Timestamp) -> Plan {
    // Left over by a crash between the two.
    if seen.task != EngineState::Absent {
        return Plan::steps(vec![Step::StopTask, Step::RemoveTask]);
    }
    if seen.is_held {
        return Plan::wait(HELD, now.after(PROBE_READY.duration()));
    }
    let pause = match failures {
        0 => Span::seconds(0),
        count => BACK_OFF[(count as usize - 1).min(BACK_OFF.len() - 1)],
    };
    let until = since.after(pause.duration());
    // A clock that jumped back must not hold a database up.
    if now < until && now >= since {
        return Plan::wait(format!("{why}; its next task starts at {until}"), until);
    }
    Plan { next: Some(Next::Begin { failures }), ..Plan::default() }
}

fn failed(seen: &Seen, at: Timestamp, reason: &FailureReason, now: Timestamp) -> Plan {
    if seen.task != EngineState::Absent {
        return Plan::steps(vec![Step::StopTask, Step::RemoveTask]);
    }
    if seen.is_held {
        return Plan::wait(HELD, now.after(PROBE_READY.duration()));
    }
    let until = at.after(TRY_AGAIN.duration());
    let is_changed = seen.database.started_revision != seen.database.revision;
    if !is_changed && now < until && now >= at {
        return Plan::wait(format!("{reason}; tried again at {until}, or when it is changed"), until);
    }
    Plan { next: Some(Next::Begin { failures: 0 }), ..Plan::default() }
}

fn destroying(seen: &Seen, now: Timestamp) -> Plan {
    // Of one whose data is not there nobody uses anything; its name may be made anew.
    if !seen.users.is_empty() && seen.lost.is_none() {
        let names: Vec<&str> = seen.users.iter().map(ServiceName::as_str).collect();
        let text = format!("waits for services that use it to be gone: {}", names.join(", "));
        return Plan::wait(text, now.after(PROBE_READY.duration()));
    }
    let mut steps: Vec<Step> = seen.others.iter().map(|task| Step::RemoveOther { task: *task }).collect();
    match seen.task {
        EngineState::Absent => {}
        EngineState::Created | EngineState::Exited { .. } => steps.push(Step::RemoveTask),
        EngineState::Running { .. } => steps.extend([Step::StopTask, Step::RemoveTask]),
    }
    if steps.is_empty() {
        steps.push(Step::Dismantle);
    }
    Plan::steps(steps)
}

/// Every user has a role that is not on its way out.
fn roles_to_add(seen: &Seen) -> Vec<Step> {
    let has_role = |service: &ServiceName| {
        seen.roles.iter().any(|role| role.name.service == *service && is_lasting(role))
    };
    let missing = seen.users.iter().filter(|service| !has_role(service));
    missing.map(|service| Step::AddRole { service: service.clone() }).collect()
}

fn is_lasting(role: &Role) -> bool {
    matches!(role.state, RoleState::Wanted | RoleState::Made)
}

/// What the server should be told of roles.
fn roles_to_settle(seen: &Seen) -> Vec<Step> {
    let mut steps = Vec::new();
    for role in &seen.roles {
        let name = role.name.clone();
        let has_user = seen.users.contains(&name.service);
        match role.state {
            _ if !has_user => steps.push(Step::LockRole { role: name }),
            RoleState::Wanted => steps.push(Step::MakeRole { role: name }),
            RoleState::Replaced { .. } if !seen.in_use.contains(&name) => {
                steps.push(Step::LockRole { role: name });
            }
            RoleState::Made | RoleState::Replaced { .. } => {}
        }
    }
    steps
}

/// What follows from a task that could not be started: `None` to try again.
pub fn not_started(seen: &Seen, message: String, is_permanent: bool, now: Timestamp) -> Option<State> {
    let State::Starting { since, .. } = seen.database.state else { return None };
    let gives_up = is_permanent || now.since(since) >= START_TIMEOUT.duration();
    gives_up.then_some(State::Failed { at: now, reason: FailureReason::NotStarted { message } })
}
