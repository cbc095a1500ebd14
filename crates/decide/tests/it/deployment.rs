//! Walks through whole deployments, as text.

use havre_core::deployment::Kind;
use havre_core::deployment::state::{FailureReason, State};
use havre_core::id::{DeploymentId, ReleaseId, TaskId};
use havre_core::quantity::Span;
use havre_core::route::{Canary, Checks, Role};
use havre_core::service::spec::{CanarySpec, CheckSpec, ServiceSpec, TaskWork};
use havre_decide::deployment::outline::outline;
use havre_decide::service::step::Blocker;

use crate::sample;
use crate::sim::{Behaviour, Sim};

fn live(sim: &Sim) -> Option<ReleaseId> {
    sim.service.live
}

/// A service with release r1 live on t1 and t2.
fn deployed() -> Sim {
    let mut sim = Sim::new(sample::spec(sample::work()));
    sim.deploy(sample::spec(sample::work()), Behaviour::Healthy);
    sim.settle();
    assert_eq!(live(&sim), Some(ReleaseId::new(1)));
    sim.log.clear();
    sim
}

#[test]
fn a_second_release_takes_over() {
    let mut sim = deployed();
    let id = sim.deploy(sample::spec(sample::with_release_command(sample::work())), Behaviour::Healthy);
    sim.settle();
    assert!(matches!(sim.state(id), State::Succeeded { .. }));
    insta::assert_snapshot!(sim.log.join("\n"), @r"
    d2 pending -> preparing
    make sure the networks exist
    make sure the artifact of r2 is here
    d2 preparing -> migrating
    run the release command of d2
    d2 migrating -> starting
    remove the release command of d2
    plan a task of r2 as replica 0
    plan a task of r2 as replica 1
    start t3
    start t4
    d2 starting -> switching
    make the release of d2 live
    d2 switching -> draining
    drain t1 until 1970-01-01T00:17:10.000Z at the latest
    drain t2 until 1970-01-01T00:17:10.000Z at the latest
    stop t1
    stop t2
    remove t1
    remove t2
    d2 draining -> succeeded
    ");
}

#[test]
fn requests_in_flight_hold_old_tasks_until_the_deadline() {
    let mut sim = deployed();
    let id = sim.deploy(sample::spec(sample::work()), Behaviour::Healthy);
    sim.in_flight.insert(TaskId::new(1), 1);
    for _ in 0..6 {
        sim.activate();
        sim.edge_catches_up();
    }
    assert!(matches!(sim.state(id), State::Draining { .. }));
    assert_eq!(sim.tasks.keys().map(|task| task.row()).collect::<Vec<_>>(), [1, 3, 4], "t1 is still busy");
    sim.now = sim.now.after(Span::seconds(31).duration());
    sim.settle();
    assert!(matches!(sim.state(id), State::Succeeded { .. }));
}

#[test]
fn a_release_that_is_never_healthy_gets_no_user() {
    let mut sim = deployed();
    let id = sim.deploy(sample::spec(sample::work()), Behaviour::NeverHealthy);
    sim.settle();
    assert_eq!(live(&sim), Some(ReleaseId::new(1)));
    let State::Failed { reason: FailureReason::NeverHealthy { task, probe, .. }, .. } = sim.state(id) else {
        panic!("{:?}", sim.state(id));
    };
    assert_eq!((*task, probe.as_str()), (TaskId::new(3), "GET / answered 503"));
    assert_eq!(sim.serving().len(), 2);
    assert_eq!(sim.tasks.len(), 2, "nothing of r2 is left");
}

#[test]
fn a_release_that_exits_fails_at_once() {
    let mut sim = deployed();
    let id = sim.deploy(sample::spec(sample::work()), Behaviour::Exits);
    sim.activate();
    assert!(
        matches!(sim.state(id), State::Failed { reason: FailureReason::TaskExited { exit: 1, .. }, .. }),
        "{:?}",
        sim.state(id)
    );
    sim.settle();
    assert_eq!(live(&sim), Some(ReleaseId::new(1)));
}

#[test]
fn a_release_command_that_fails_changes_nothing() {
    let mut sim = deployed();
    sim.command_exit = 3;
    let id = sim.deploy(sample::spec(sample::with_release_command(sample::work())), Behaviour::Healthy);
    sim.settle();
    let State::Failed { reason: FailureReason::ReleaseCommandFailed { exit: 3, .. }, .. } = sim.state(id)
    else {
        panic!("{:?}", sim.state(id));
    };
    assert_eq!((live(&sim), sim.command_runs, sim.commands.len()), (Some(ReleaseId::new(1)), 1, 0));
}

#[test]
fn a_check_that_fails_is_seen_before_any_user() {
    let mut sim = deployed();
    let mut work = sample::work();
    work.checks = vec![havre_core::service::spec::CheckSpec {
        path: "/version".parse().expect("is a path"),
        status: 200,
        contains: "2".to_owned(),
    }];
    sim.checks = Checks::Failed { reason: "GET /version did not contain `2`".to_owned() };
    let id = sim.deploy(sample::spec(work), Behaviour::Healthy);
    sim.settle();
    let State::Failed { reason: FailureReason::CheckFailed { check, .. }, .. } = sim.state(id) else {
        panic!("{:?}", sim.state(id));
    };
    assert_eq!(check, "GET /version did not contain `2`");
    assert_eq!(live(&sim), Some(ReleaseId::new(1)));
}

#[test]
fn a_release_that_is_worse_goes_back() {
    let mut sim = deployed();
    let mut work = sample::work();
    work.bake = Span::seconds(60);
    sim.errors.insert(ReleaseId::new(1), (1000, 10));
    sim.errors.insert(ReleaseId::new(2), (100, 20));
    let id = sim.deploy(sample::spec(work), Behaviour::Healthy);
    sim.settle();
    let State::Failed { reason, .. } = sim.state(id) else { panic!("{:?}", sim.state(id)) };
    assert_eq!(*reason, FailureReason::Worse { requests: 200, errors: 40 });
    assert_eq!(live(&sim), Some(ReleaseId::new(1)));
    assert_eq!(
        sim.serving().into_iter().map(|task| task.row()).collect::<Vec<_>>(),
        [1, 2],
        "same old tasks"
    );
}

/// Reports are in memory: a control that starts after the end of the watch has none at first.
#[test]
fn nobody_is_found_good_before_an_edge_has_reported() {
    let mut sim = deployed();
    let mut work = sample::work();
    work.bake = Span::seconds(60);
    let id = sim.deploy(sample::spec(work), Behaviour::Healthy);
    for _ in 0..6 {
        sim.activate();
        sim.edge_catches_up();
    }
    assert!(matches!(sim.state(id), State::Baking { .. }), "{:?}", sim.state(id));
    sim.errors.insert(ReleaseId::new(2), (100, 20));
    sim.edge_is_up = false;
    sim.now = sim.now.after(Span::seconds(61).duration());
    sim.activate();
    assert!(matches!(sim.state(id), State::Baking { .. }), "{:?}", sim.state(id));
    sim.edge_is_up = true;
    sim.settle();
    let State::Failed { reason, .. } = sim.state(id) else { panic!("{:?}", sim.state(id)) };
    assert_eq!(*reason, FailureReason::Worse { requests: 200, errors: 40 });
    assert_eq!(live(&sim), Some(ReleaseId::new(1)));
}

fn with_canary() -> ServiceSpec {
    let canary = CanarySpec { percent: 10, hold: Span::seconds(600) };
    sample::spec(TaskWork { canary: Some(canary), ..sample::work() })
}

#[test]
fn a_canary_gets_its_share_before_everybody_gets_the_release() {
    let mut sim = deployed();
    let id = sim.deploy(with_canary(), Behaviour::Healthy);
    for _ in 0..5 {
        sim.activate();
        sim.edge_catches_up();
    }
    let State::Canary { until, .. } = *sim.state(id) else { panic!("{:?}", sim.state(id)) };
    let blockers = sim.activate();
    assert_eq!(blockers, [Blocker::Canary { percent: 10, until }]);
    let canary = sim.edge_table.services.values().next().and_then(|service| service.canary.clone());
    assert_eq!(canary, Some(Canary { release: ReleaseId::new(2), percent: 10 }));
    let upstreams = sim.edge_table.services.values().flat_map(|service| &service.upstreams);
    let tried: Vec<Role> =
        upstreams.filter(|one| one.release == ReleaseId::new(2)).map(|one| one.role).collect();
    assert_eq!(tried, [Role::Standby, Role::Standby], "probed, and for nobody but the canary's share");
    assert_eq!(live(&sim), Some(ReleaseId::new(1)));
    assert_eq!(sim.serving().into_iter().map(|task| task.row()).collect::<Vec<_>>(), [1, 2]);

    sim.settle();
    assert!(matches!(sim.state(id), State::Succeeded { .. }));
    assert!(sim.log.iter().any(|line| line == "d2 canary -> switching"), "{}", sim.log.join("\n"));
    assert!(sim.edge_table.services.values().all(|service| service.canary.is_none()));
    assert!(sim.now >= until);

    // A way back is not tried out.
    let back = sim.request(ReleaseId::new(1), Kind::Rollback);
    sim.settle();
    assert!(matches!(sim.state(back), State::Succeeded { .. }));
    assert!(!sim.log.iter().any(|line| line.starts_with("d3 canary")), "{}", sim.log.join("\n"));
}

#[test]
fn a_canary_that_does_badly_leaves_everybody_with_the_live_release() {
    for is_worse in [true, false] {
        let mut sim = deployed();
        sim.errors.insert(ReleaseId::new(1), (1000, 10));
        let id = sim.deploy(with_canary(), Behaviour::Healthy);
        for _ in 0..5 {
            sim.activate();
            sim.edge_catches_up();
        }
        assert!(matches!(sim.state(id), State::Canary { .. }));
        if is_worse {
            sim.errors.insert(ReleaseId::new(2), (100, 20));
        } else {
            sim.behaviour.insert(ReleaseId::new(2), Behaviour::NeverHealthy);
        }
        sim.edge_catches_up();
        sim.settle();
        let State::Failed { reason, .. } = sim.state(id) else { panic!("{:?}", sim.state(id)) };
        match (is_worse, reason) {
            (true, FailureReason::Worse { requests: 200, errors: 40 }) => {}
            (false, FailureReason::NotHealthyAnyMore { probe, .. }) => {
                assert_eq!(probe, "GET / answered 503")
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(live(&sim), Some(ReleaseId::new(1)));
        assert_eq!(sim.serving().into_iter().map(|task| task.row()).collect::<Vec<_>>(), [1, 2]);
    }
}

#[test]
fn a_volume_has_one_writer_and_a_failure_brings_the_old_release_back() {
    let mut sim = Sim::new(sample::spec(sample::with_volume(sample::work())));
    sim.deploy(sample::spec(sample::with_volume(sample::work())), Behaviour::Healthy);
    sim.settle();
    let bad = sim.deploy(sample::spec(sample::with_volume(sample::work())), Behaviour::NeverHealthy);
    sim.settle();
    assert!(matches!(sim.state(bad), State::Failed { .. }));
    assert_eq!(live(&sim), Some(ReleaseId::new(1)));
    assert_eq!(sim.serving().len(), 1, "the old release runs again");
}

#[test]
fn the_newest_of_three_wins() {
    let mut sim = deployed();
    let two = sim.deploy(sample::spec(sample::work()), Behaviour::Healthy);
    let three = sim.deploy(sample::spec(sample::work()), Behaviour::Healthy);
    let four = sim.deploy(sample::spec(sample::work()), Behaviour::Healthy);
    sim.settle();
    assert_eq!([two, three, four].map(|id| sim.state(id).name()), ["superseded", "superseded", "succeeded"]);
    assert_eq!(live(&sim), Some(ReleaseId::new(4)));
}

#[test]
fn a_rollback_runs_no_release_command() {
    let mut sim = Sim::new(sample::spec(sample::work()));
    sim.deploy(sample::spec(sample::with_release_command(sample::work())), Behaviour::Healthy);
    sim.settle();
    sim.deploy(sample::spec(sample::work()), Behaviour::Healthy);
    sim.settle();
    let back = sim.request(ReleaseId::new(1), Kind::Rollback);
    sim.settle();
    assert!(matches!(sim.state(back), State::Succeeded { .. }));
    assert_eq!((live(&sim), sim.command_runs), (Some(ReleaseId::new(1)), 1));
}

#[test]
fn cancelling_before_the_switch_leaves_nothing() {
    let mut sim = deployed();
    let id = sim.deploy(sample::spec(sample::work()), Behaviour::NeverHealthy);
    sim.activate();
    sim.deployments.get_mut(&id).expect("exists").cancel_requested = true;
    sim.settle();
    assert!(matches!(sim.state(id), State::Cancelled { .. }));
    assert_eq!((live(&sim), sim.tasks.len()), (Some(ReleaseId::new(1)), 2));
}

#[test]
fn without_an_edge_nothing_switches() {
    let mut sim = deployed();
    sim.edge_is_up = false;
    let id = sim.deploy(sample::spec(sample::work()), Behaviour::Healthy);
    let waiting: Vec<String> = sim.activate().iter().map(ToString::to_string).collect();
    assert_eq!(sim.state(id).name(), "starting");
    assert_eq!(
        waiting,
        [
            "t3 is not healthy yet: no edge reports; is `havred edge` running?",
            "t4 is not healthy yet: no edge reports; is `havred edge` running?"
        ]
    );
    assert_eq!(live(&sim), Some(ReleaseId::new(1)));
}

/// States a walk through a deployment enters, of those that are announced.
fn entered(sim: &Sim, id: DeploymentId) -> Vec<String> {
    let prefix = format!("{id} ");
    let states =
        sim.log.iter().filter(|line| line.starts_with(&prefix)).filter_map(|line| line.split(" -> ").nth(1));
    // The first has nothing old to drain, and nobody is told that it passes that state; `succeeded` needs no words.
    states.filter(|state| !matches!(*state, "draining" | "succeeded")).map(ToOwned::to_owned).collect()
}

#[test]
fn what_is_announced_is_what_comes() {
    let checks = vec![CheckSpec {
        path: "/version".parse().expect("is a path"),
        status: 200,
        contains: String::new(),
    }];
    let canary = Some(CanarySpec { percent: 10, hold: Span::seconds(60) });
    let all =
        TaskWork { checks, canary, bake: Span::seconds(60), ..sample::with_release_command(sample::work()) };
    for work in [sample::work(), all.clone(), sample::with_volume(all)] {
        let spec = sample::spec(work);
        for kind in [Kind::Deploy, Kind::Rollback] {
            let mut sim = deployed();
            let release = ReleaseId::new(2);
            let live = sim.releases[&ReleaseId::new(1)].clone();
            sim.deploy(spec.clone(), Behaviour::Healthy);
            sim.deployments.get_mut(&DeploymentId::new(2)).expect("exists").kind = kind;
            let announced = outline(&sim.service, Some(&live), &spec, kind);
            sim.settle();
            assert!(
                matches!(sim.state(DeploymentId::new(2)), State::Succeeded { .. }),
                "{}",
                sim.log.join("\n")
            );
            assert_eq!(sim.service.live, Some(release));
            let mut states: Vec<&str> = announced.iter().map(|step| step.state).collect();
            states.dedup();
            states.retain(|state| *state != "draining");
            assert_eq!(states, entered(&sim, DeploymentId::new(2)), "{kind:?}: {announced:?}");
        }
    }
}

#[test]
fn a_canary_is_announced() {
    let sim = deployed();
    let live = sim.releases[&ReleaseId::new(1)].clone();
    let announced = outline(&sim.service, Some(&live), &with_canary(), Kind::Deploy);
    let text: Vec<&str> = announced.iter().map(|step| step.text.as_str()).collect();
    assert_eq!(
        text,
        [
            "make sure the image, networks and volumes are there",
            "start 2 tasks beside the old ones and wait at most 2m until GET / answers 2xx or 3xx",
            "give it to 10 % of the clients for 10m and stop there if it answers worse",
            "switch all routes at once and see the new release through the public listener",
            "let the old tasks finish what is in flight for at most 30s, then stop them",
        ]
    );
}
