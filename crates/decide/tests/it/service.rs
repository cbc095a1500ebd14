//! The live release is kept as specified.

use havre_core::id::TaskId;
use havre_core::quantity::Span;
use havre_core::task::EngineState;

use crate::sample;
use crate::sim::{Behaviour, Sim};

fn deployed() -> Sim {
    let mut sim = Sim::new(sample::spec(sample::work()));
    sim.deploy(sample::spec(sample::work()), Behaviour::Healthy);
    sim.settle();
    sim.log.clear();
    sim
}

#[test]
fn a_task_that_ends_is_replaced() {
    let mut sim = deployed();
    sim.engine.insert(TaskId::new(1), EngineState::Exited { code: 137, out_of_memory: true });
    sim.settle();
    insta::assert_snapshot!(sim.log.join("\n"), @r"
    note that t1 ended with code 137
    remove t1
    plan a task of r1 as replica 0
    start t3
    let t3 have traffic
    ");
    assert_eq!(sim.serving().into_iter().map(|task| task.row()).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn tasks_that_keep_ending_are_tried_ever_more_slowly() {
    let mut sim = deployed();
    sim.service.replicas = 1;
    sim.settle();
    sim.log.clear();
    sim.behaviour.insert(havre_core::id::ReleaseId::new(1), Behaviour::Exits);
    sim.engine.insert(TaskId::new(1), EngineState::Exited { code: 1, out_of_memory: false });
    let mut starts = Vec::new();
    for second in 0..130 {
        let before = sim.log.len();
        sim.activate();
        let started = sim.log[before..].iter().filter(|line| line.starts_with("start ")).count();
        starts.extend(std::iter::repeat_n(second, started));
        sim.now = sim.now.after(Span::seconds(1).duration());
    }
    assert_eq!(starts, [0, 1, 6, 21, 51, 111]);
}

#[test]
fn scaling_down_keeps_the_last_healthy_task() {
    let mut sim = deployed();
    sim.engine.insert(TaskId::new(1), EngineState::Exited { code: 1, out_of_memory: false });
    sim.service.replicas = 1;
    let waiting: Vec<String> = sim.activate().iter().map(ToString::to_string).collect();
    assert!(waiting.contains(&"t2 stays: it is the last healthy task".to_owned()), "{waiting:?}");
    sim.settle();
    assert_eq!(sim.serving().into_iter().map(|task| task.row()).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_task_that_stops_answering_is_replaced_after_half_a_minute() {
    let mut sim = deployed();
    let unhealthy = havre_core::route::Health::Unhealthy { reason: "no answer within 2s".to_owned() };
    sim.edge_health.insert(TaskId::new(2), unhealthy);
    sim.activate();
    assert_eq!(sim.log, ["note that t2 is unhealthy: no answer within 2s"]);
    sim.now = sim.now.after(Span::seconds(30).duration());
    sim.activate();
    assert!(sim.log.contains(&"plan a task of r1 as replica 1".to_owned()), "{:?}", sim.log);
    assert!(!sim.tasks[&TaskId::new(2)].wanted.is_run());
}

#[test]
fn a_task_that_is_paused_is_not_ill() {
    let mut sim = deployed();
    let unhealthy = havre_core::route::Health::Unhealthy { reason: "no answer within 2s".to_owned() };
    sim.edge_health.insert(TaskId::new(2), unhealthy);
    sim.activate();
    let later = sim.now.after(Span::seconds(600).duration());
    let mut seen = sim.seen();
    assert!(!havre_decide::service::plan::plan(&seen, later).steps.is_empty(), "it would be replaced");
    seen.paused.insert(TaskId::new(2));
    assert_eq!(havre_decide::service::plan::plan(&seen, later).steps, []);
}

#[test]
fn a_destroyed_service_leaves_nothing() {
    let mut sim = deployed();
    sim.service.destroyed_at = Some(sim.now);
    for _ in 0..5 {
        let seen = sim.seen();
        let plan = havre_decide::service::plan::plan(&seen, sim.now);
        if plan.steps == [havre_decide::service::step::Step::Dismantle] {
            assert!(sim.tasks.is_empty());
            return;
        }
        sim.round();
        sim.edge_catches_up();
    }
    panic!("not dismantled: {:?}", sim.log);
}
