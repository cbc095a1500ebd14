//! The restart matrix: control is killed at every point where it waits for anything (a store write, the engine, the
//! edge, a log), comes back on the same disk, engine and edge, and must always reach the same end.

use havre_core::deployment::Kind;
use havre_core::deployment::state::State;
use havre_core::event::Actor;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::quantity::Span;
use havre_core::service::spec::{CanarySpec, CheckSpec, TaskWork};
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::Script;

use crate::kill::{Killed, incarnation};
use crate::world::{Control, Outside, spec, with_release_command, with_volume, work};

struct Scenario {
    first: TaskWork,
    second: TaskWork,
    script: Script,
    /// Users of the second release get errors.
    is_worse: bool,
    /// The second release is live already; what is killed brings the first one back.
    is_rollback: bool,
    /// State the last deployment must reach.
    end: &'static str,
    /// Why it ended, if that is told.
    why: Option<&'static str>,
    /// States it must have been in before.
    passes: &'static [&'static str],
    live: ReleaseId,
    /// Runs of the release command that are allowed.
    commands: usize,
    /// A service with a volume is down between its two tasks.
    may_be_down: bool,
}

impl Scenario {
    fn prepare(&self) -> (Outside, ServiceId) {
        let outside = Outside::new();
        outside.add_image("1", Script::runs());
        outside.add_image("2", self.script.clone());
        if self.is_worse {
            outside.edge.state.lock().unwrap().worse.insert(ReleaseId::new(2));
        }
        let service = incarnation(async || {
            let control = outside.control();
            let id = control.apply(spec(self.first.clone())).await;
            control.build(id).await;
            control.settle().await;
            control.apply(spec(self.second.clone())).await;
            control.build(id).await;
            if self.is_rollback {
                control.settle().await;
                control.request(id, ReleaseId::new(1), Kind::Rollback).await;
            }
            id
        });
        (outside, service)
    }

    /// Kills control after so many polls; `false` once it was done before that.
    fn run(&self, polls: usize) -> bool {
        let (outside, id) = self.prepare();
        let was_killed = incarnation(async || {
            let control = outside.control();
            let settle = Killed { future: Box::pin(async { control.settle().await }), polls };
            settle.await.is_none()
        });
        incarnation(async || {
            let control = outside.control();
            control.settle().await;
            self.check(&outside, &control, id, polls).await;
        });
        was_killed
    }

    async fn check(&self, outside: &Outside, control: &Control, id: ServiceId, polls: usize) {
        let deployments = control.deployments(id).await;
        let expected = 2 + usize::from(self.is_rollback);
        assert_eq!(deployments.len(), expected, "killed after {polls} polls: {deployments:?}");
        assert_eq!(deployments[0].state.name(), self.end, "killed after {polls} polls: {deployments:?}");
        assert_eq!(control.service(id).await.live, Some(self.live), "killed after {polls} polls");
        if let (State::Failed { reason, .. }, Some(why)) = (&deployments[0].state, self.why) {
            assert_eq!(reason.to_string(), why, "killed after {polls} polls");
        }
        let states = control.states(id).await;
        let is_complete = self.passes.iter().all(|state| states.contains(state));
        assert!(is_complete, "killed after {polls} polls: {states:?}");
        self.check_edge(outside, polls);
        assert_eq!(outside.engine.volume_overlaps(), [], "killed after {polls} polls");
        let names: Vec<String> = outside
            .engine
            .done()
            .into_iter()
            .filter(|done| done.operation == Operation::EnsureTask)
            .map(|d| d.subject)
            .collect();
        let mut commands: Vec<&String> = names.iter().filter(|name| name.contains("-release-")).collect();
        commands.dedup();
        assert!(commands.len() <= self.commands, "killed after {polls} polls: {commands:?}");
        let tasks = control.world.store.read(move |view| view.list_tasks(id)).await.unwrap();
        assert!(tasks.iter().all(|task| task.release == self.live), "killed after {polls} polls: {tasks:?}");
    }

    fn check_edge(&self, outside: &Outside, polls: usize) {
        let state = outside.edge.state.lock().unwrap();
        assert_eq!(state.answering(), [self.live], "killed after {polls} polls");
        assert!(
            self.may_be_down || state.outages == 0,
            "killed after {polls} polls: {} outages",
            state.outages
        );
    }

    fn matrix(&self) {
        let mut polls = 1;
        while self.run(polls) {
            polls += 1;
        }
        assert!(polls > 40, "only {polls} points were tried; the matrix does not cover a deployment");
    }
}

/// The second release takes over from the first.
fn takes_over(first: TaskWork, second: TaskWork) -> Scenario {
    Scenario {
        first,
        second,
        script: Script::runs(),
        is_worse: false,
        is_rollback: false,
        end: "succeeded",
        why: None,
        passes: &["preparing", "starting", "switching", "draining"],
        live: ReleaseId::new(2),
        commands: 0,
        may_be_down: false,
    }
}

/// One task only: so a way through more states has no more points to be killed at.
fn alone(tag: &str) -> TaskWork {
    TaskWork { replicas: 1, ..work(tag) }
}

#[test]
fn a_deployment_that_succeeds() {
    let scenario = takes_over(work("1"), with_release_command(work("2")));
    Scenario { commands: 1, passes: &["preparing", "migrating", "starting"], ..scenario }.matrix();
}

#[test]
fn a_deployment_that_fails() {
    Scenario {
        script: Script::exits(1, &["broken"]),
        end: "failed",
        passes: &["preparing", "starting"],
        live: ReleaseId::new(1),
        ..takes_over(work("1"), work("2"))
    }
    .matrix();
}

#[test]
fn a_volume_keeps_one_writer() {
    Scenario { may_be_down: true, ..takes_over(with_volume(work("1")), with_volume(work("2"))) }.matrix();
}

#[test]
fn a_deployment_that_is_checked_and_watched() {
    let check = CheckSpec { path: "/version".parse().unwrap(), status: 200, contains: "2".to_owned() };
    let second = TaskWork { checks: vec![check], bake: Span::seconds(5), ..alone("2") };
    let passes = &["starting", "verifying", "switching", "baking", "draining"];
    Scenario { passes, ..takes_over(alone("1"), second) }.matrix();
}

#[test]
fn a_deployment_that_some_clients_try_first() {
    let canary = CanarySpec { percent: 20, hold: Span::seconds(5) };
    let second = TaskWork { canary: Some(canary), ..alone("2") };
    let passes = &["starting", "canary", "switching", "draining"];
    Scenario { passes, ..takes_over(alone("1"), second) }.matrix();
}

#[test]
fn a_deployment_that_goes_back() {
    Scenario {
        is_worse: true,
        end: "failed",
        why: Some("the new release failed 20 of 100 requests while it was watched"),
        passes: &["switching", "baking", "reverting"],
        live: ReleaseId::new(1),
        ..takes_over(alone("1"), TaskWork { bake: Span::seconds(60), ..alone("2") })
    }
    .matrix();
}

#[test]
fn a_rollback() {
    Scenario { is_rollback: true, live: ReleaseId::new(1), ..takes_over(alone("1"), alone("2")) }.matrix();
}

/// The matrix proves nothing if a dropped future is not like a killed process: the lock must be free afterwards.
#[test]
fn an_incarnation_leaves_the_lock() {
    let outside = Outside::new();
    for _ in 0..2 {
        incarnation(async || {
            let control = outside.control();
            control.world.store.write(control.world.now(), Actor::Local, |_| Ok(())).await.unwrap();
        });
    }
}
