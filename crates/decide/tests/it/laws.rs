//! Property tests: whatever happens in whatever order, no plan breaks a law and users keep a healthy upstream.

use havre_core::deployment::Kind;
use havre_core::id::{DeploymentId, ReleaseId, TaskId};
use havre_core::quantity::Span;
use havre_core::service::spec::{CanarySpec, TaskWork};
use havre_core::task::EngineState;
use havre_core::task::event::DrainReason;
use havre_decide::service::check::{Violation, check};
use havre_decide::service::step::Step;
use proptest::prelude::*;

use crate::sample;
use crate::sim::{Behaviour, Sim};

#[derive(Debug, Clone)]
enum Happening {
    Deploy(Behaviour),
    DeployWithCommand,
    Rollback(u8),
    Restart,
    Cancel(u8),
    Scale(u32),
    TaskEnds(u8),
    Seconds(u64),
    EdgeCatchesUp,
    EdgeDies,
    EdgeReturns,
    Busy(u8, u64),
    CommandsEnd,
    Round,
    Activate,
}

fn happening() -> impl Strategy<Value = Happening> {
    let behaviour = prop_oneof![4 => Just(Behaviour::Healthy), 1 => Just(Behaviour::NeverHealthy), 1 => Just(Behaviour::Exits)];
    prop_oneof![
        2 => behaviour.prop_map(Happening::Deploy),
        1 => Just(Happening::DeployWithCommand),
        1 => any::<u8>().prop_map(Happening::Rollback),
        1 => Just(Happening::Restart),
        1 => any::<u8>().prop_map(Happening::Cancel),
        1 => (1_u32..4).prop_map(Happening::Scale),
        1 => any::<u8>().prop_map(Happening::TaskEnds),
        2 => (1_u64..90).prop_map(Happening::Seconds),
        4 => Just(Happening::EdgeCatchesUp),
        1 => Just(Happening::EdgeDies),
        1 => Just(Happening::EdgeReturns),
        1 => (any::<u8>(), 0_u64..3).prop_map(|(task, count)| Happening::Busy(task, count)),
        2 => Just(Happening::CommandsEnd),
        3 => Just(Happening::Round),
        6 => Just(Happening::Activate),
    ]
}

fn nth_task(sim: &Sim, index: u8) -> Option<TaskId> {
    let count = sim.tasks.len();
    (count > 0).then(|| *sim.tasks.keys().nth(usize::from(index) % count).expect("in range"))
}

fn apply(sim: &mut Sim, happening: &Happening, spec: &havre_core::service::spec::ServiceSpec) {
    match happening {
        Happening::Deploy(behaviour) => {
            sim.deploy(spec.clone(), *behaviour);
        }
        Happening::DeployWithCommand => {
            let work = spec.tasks().expect("has tasks").clone();
            sim.deploy(sample::spec(sample::with_release_command(work)), Behaviour::Healthy);
        }
        Happening::Rollback(index) => {
            let release =
                ReleaseId::new(i64::from(*index) % i64::try_from(sim.releases.len()).expect("few") + 1);
            sim.request(release, Kind::Rollback);
        }
        Happening::Restart => {
            if let Some(live) = sim.service.live {
                let copy = sim.releases[&live].clone();
                let behaviour = sim.behaviour[&live];
                let id = ReleaseId::new(i64::try_from(sim.releases.len()).expect("few") + 1);
                sim.behaviour.insert(id, behaviour);
                sim.releases.insert(id, havre_core::release::Release { id, ..copy });
                sim.request(id, Kind::Restart);
            }
        }
        Happening::Cancel(index) => {
            let id =
                DeploymentId::new(i64::from(*index) % i64::try_from(sim.deployments.len()).expect("few") + 1);
            sim.deployments.get_mut(&id).expect("exists").cancel_requested = true;
        }
        Happening::Scale(replicas) => {
            let has_volume = !spec.tasks().expect("has tasks").volumes.is_empty();
            sim.service.replicas = if has_volume { 1 } else { *replicas };
        }
        Happening::TaskEnds(index) => {
            if let Some(task) = nth_task(sim, *index)
                && sim.engine.contains_key(&task)
            {
                sim.engine.insert(task, EngineState::Exited { code: 1, out_of_memory: false });
            }
        }
        Happening::Seconds(seconds) => sim.now = sim.now.after(Span::seconds(*seconds).duration()),
        Happening::EdgeCatchesUp => sim.edge_catches_up(),
        Happening::EdgeDies => sim.edge_is_up = false,
        Happening::EdgeReturns => sim.edge_is_up = true,
        Happening::Busy(index, count) => {
            if let Some(task) = nth_task(sim, *index) {
                sim.in_flight.insert(task, *count);
            }
        }
        Happening::CommandsEnd => sim.commands_end(),
        Happening::Round => {
            sim.round();
        }
        Happening::Activate => {
            sim.activate();
        }
    }
}

fn run(spec: havre_core::service::spec::ServiceSpec, happenings: &[Happening]) {
    let keeps_serving = spec.tasks().expect("has tasks").volumes.is_empty();
    let mut sim = Sim::new(spec.clone());
    sim.deploy(spec.clone(), Behaviour::Healthy);
    sim.settle();
    for happening in happenings {
        let had = sim.soon_serving().len();
        apply(&mut sim, happening, &spec);
        // Our own actions never take the last serving task away; only a task that ends by itself may.
        let by_itself = matches!(happening, Happening::TaskEnds(_));
        assert!(
            !keeps_serving || by_itself || had == 0 || !sim.soon_serving().is_empty(),
            "{happening:?} left nobody to serve\n{}",
            sim.log.join("\n")
        );
    }
    sim.edge_is_up = true;
    sim.in_flight.clear();
    // Whatever was tried, a healthy release deployed last wins.
    let last = sim.deploy(spec, Behaviour::Healthy);
    sim.settle();
    assert_eq!(sim.state(last).name(), "succeeded");
    assert!(!sim.serving().is_empty());
    let live = sim.service.live.expect("something is live");
    let strays: Vec<_> = sim.tasks.values().filter(|task| task.release != live).collect();
    assert!(strays.is_empty(), "left over: {strays:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn users_keep_a_healthy_upstream(happenings in prop::collection::vec(happening(), 1..60)) {
        run(sample::spec(sample::work()), &happenings);
    }

    #[test]
    fn users_keep_one_while_a_canary_is_tried(happenings in prop::collection::vec(happening(), 1..60)) {
        let canary = CanarySpec { percent: 20, hold: Span::seconds(300) };
        run(sample::spec(TaskWork { canary: Some(canary), ..sample::work() }), &happenings);
    }

    #[test]
    fn a_volume_never_has_two_writers(happenings in prop::collection::vec(happening(), 1..60)) {
        run(sample::spec(sample::with_volume(sample::work())), &happenings);
    }
}

fn settled() -> Sim {
    let mut sim = Sim::new(sample::spec(sample::work()));
    sim.deploy(sample::spec(sample::work()), Behaviour::Healthy);
    sim.settle();
    sim
}

/// `check` is the last guard, so it must refuse what a wrong plan would do.
#[test]
fn check_refuses_each_wrong_step() {
    let mut sim = settled();
    let seen = sim.seen();
    let (one, two, stranger) = (TaskId::new(1), TaskId::new(2), TaskId::new(99));
    let drain = |task| Step::DrainTask { task, deadline: sim.now, by: None, reason: DrainReason::Unwanted };
    let refused = |steps: &[Step]| check(steps, &seen, sim.now);
    assert_eq!(refused(&[Step::StopTask { task: stranger }]), [Violation::Foreign { task: stranger }]);
    assert_eq!(refused(&[Step::StopTask { task: one }]), [Violation::InTable { task: one }]);
    assert_eq!(refused(&[Step::RemoveTask { task: one }]), [Violation::InTable { task: one }]);
    assert_eq!(refused(&[drain(one)]), []);
    assert_eq!(
        refused(&[drain(one), drain(two)]),
        [Violation::LastHealthy { task: one }, Violation::LastHealthy { task: two }]
    );
    assert_eq!(refused(&[Step::GoLive { deployment: DeploymentId::new(9) }]), [Violation::Over]);
}

#[test]
fn check_refuses_a_release_without_a_healthy_task() {
    let mut sim = settled();
    let id = sim.deploy(sample::spec(sample::work()), Behaviour::NeverHealthy);
    sim.activate();
    let seen = sim.seen();
    assert_eq!(check(&[Step::GoLive { deployment: id }], &seen, sim.now), [Violation::NothingHealthy]);
}

#[test]
fn check_refuses_a_second_writer() {
    let spec = sample::spec(sample::with_volume(sample::work()));
    let mut sim = Sim::new(spec.clone());
    sim.deploy(spec, Behaviour::Healthy);
    sim.settle();
    let mut seen = sim.seen();
    let mut second = seen.tasks[0].clone();
    second.task.id = TaskId::new(7);
    second.engine = EngineState::Absent;
    seen.tasks.push(second);
    let steps = [Step::StartTask { task: TaskId::new(7) }];
    assert_eq!(check(&steps, &seen, sim.now), [Violation::TwoWriters { task: TaskId::new(7) }]);
}
