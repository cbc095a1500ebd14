//! Edge reports: in memory, and which of them are news.

use std::collections::BTreeMap;

use havre_core::id::TaskId;
use havre_core::route::{Checks, EdgeView, Health, UpstreamView};
use havre_core::task::event::DrainReason;

use crate::world::{World, at, release};

fn view(upstreams: &[(TaskId, u64)]) -> EdgeView {
    let upstreams: BTreeMap<_, _> = upstreams
        .iter()
        .map(|(task, in_flight)| {
            let view = UpstreamView {
                health: Health::Healthy,
                checks: Checks::Passed,
                in_flight: *in_flight,
                requests: 0,
                errors: 0,
            };
            (*task, view)
        })
        .collect();
    EdgeView {
        edge: "node".to_owned(),
        instance: "one".to_owned(),
        generation: 1,
        listeners: vec!["127.0.0.1:80".parse().unwrap()],
        https: vec!["127.0.0.1:443".parse().unwrap()],
        at: at(0),
        upstreams,
    }
}

#[tokio::test]
async fn news_is_anything_but_counters() {
    let world = World::new();
    let task = TaskId::new(1);
    let is_news = |view: &EdgeView| {
        let before = world.changes();
        world.store.record_edge_report(view.clone());
        assert_eq!(world.store.edges(), std::slice::from_ref(view), "the newest report is kept either way");
        world.changes() > before
    };
    let mut report = view(&[(task, 1)]);
    assert!(is_news(&report), "a new edge");
    report.at = at(2);
    assert!(!is_news(&report), "only the time");
    let upstream = report.upstreams.get_mut(&task).unwrap();
    (upstream.in_flight, upstream.requests, upstream.errors) = (0, 9, 3);
    assert!(!is_news(&report), "only counters, and the task does not drain");
    report.upstreams.get_mut(&task).unwrap().health = Health::Unhealthy { reason: "no answer".to_owned() };
    assert!(is_news(&report), "health");
    report.upstreams.get_mut(&task).unwrap().checks = Checks::Pending;
    assert!(is_news(&report), "checks");
    report.generation = 2;
    assert!(is_news(&report), "generation");
    report.instance = "two".to_owned();
    assert!(is_news(&report), "a new process");
    report.listeners.clear();
    assert!(is_news(&report), "listeners");
    report.https.clear();
    assert!(is_news(&report), "listeners for HTTPS");
    report.upstreams.insert(TaskId::new(2), report.upstreams[&task].clone());
    assert!(is_news(&report), "another upstream");
    report.upstreams.remove(&task);
    assert!(is_news(&report), "one upstream less");
}

#[tokio::test]
async fn a_partial_report_changes_what_it_names() {
    let world = World::new();
    let (one, two) = (TaskId::new(1), TaskId::new(2));
    let partial = |view: &EdgeView| {
        let before = world.changes();
        let is_known = world.store.record_partial_report(view.clone());
        (is_known, world.changes() > before)
    };
    assert_eq!(partial(&view(&[(one, 1)])), (false, false), "nothing is known of the others");
    assert_eq!(world.store.edges(), []);
    let whole = view(&[(one, 1), (two, 1)]);
    world.store.record_edge_report(whole.clone());
    assert_eq!(partial(&EdgeView { at: at(2), ..view(&[(two, 5)]) }), (true, false), "only counters");
    assert_eq!(world.store.edges(), [EdgeView { at: at(2), ..view(&[(one, 1), (two, 5)]) }]);
    assert_eq!(partial(&EdgeView { generation: 2, ..view(&[]) }), (true, true), "another table");
    let mut sick = EdgeView { generation: 2, ..view(&[(one, 1)]) };
    sick.upstreams.get_mut(&one).unwrap().health = Health::Unhealthy { reason: "no answer".to_owned() };
    assert_eq!(partial(&sick), (true, true), "health");
    assert_eq!(partial(&EdgeView { instance: "two".to_owned(), ..sick }), (false, false), "another process");
}

#[tokio::test]
async fn a_report_that_another_one_has_overtaken_says_nothing() {
    let world = World::new();
    let task = TaskId::new(1);
    // It got its first requests and drains, all since the report that comes late.
    let newer = EdgeView { generation: 3, ..view(&[(task, 5)]) };
    world.store.record_edge_report(newer.clone());
    let before = world.changes();
    for late in [view(&[(task, 0)]), view(&[])] {
        let late = EdgeView { generation: 2, at: at(9), ..late };
        world.store.record_edge_report(late.clone());
        assert!(!world.store.record_partial_report(late));
        assert_eq!(world.store.edges(), std::slice::from_ref(&newer));
    }
    assert_eq!(world.changes(), before);
    // Another process begins where its disk says.
    let restarted = EdgeView { generation: 2, instance: "two".to_owned(), ..view(&[]) };
    world.store.record_edge_report(restarted.clone());
    // What it carried before stays known for a while, under a name of its own.
    let edges = world.store.edges();
    assert_eq!((&edges[0], edges.len(), edges[1].generation), (&restarted, 2, 3));
}

#[tokio::test]
async fn what_a_predecessor_carries_is_not_hidden_by_its_successor() {
    let world = World::new();
    let task = TaskId::new(1);
    let report = |edge: &str, instance: &str, in_flight| EdgeView {
        edge: edge.to_owned(),
        instance: instance.to_owned(),
        ..view(&[(task, in_flight)])
    };
    let seen = || -> Vec<(String, u64)> {
        let edges = world.store.edges().into_iter();
        edges.map(|edge| (edge.edge, edge.upstreams[&task].in_flight)).collect()
    };
    world.store.record_edge_report(report("node", "one", 3));
    world.store.record_edge_report(report("node", "two", 0));
    assert_eq!(seen(), [("node".to_owned(), 0), ("node~one".to_owned(), 3)]);
    world.store.record_edge_report(report("node~one", "one", 1));
    assert_eq!(seen(), [("node".to_owned(), 0), ("node~one".to_owned(), 1)]);
    // One that had nothing in flight leaves nothing behind.
    world.store.record_edge_report(report("node", "three", 0));
    assert_eq!(seen().len(), 2);
}

#[tokio::test]
async fn a_draining_task_that_becomes_idle_is_news() {
    let world = World::new();
    let service = world.service().await;
    let task = world
        .write(1, move |tx| {
            let release = release(tx, service, 1)?;
            let task = tx.allocate_task(service, release, 0, true)?.id;
            tx.drain_task(task, at(30), None, DrainReason::Replaced)?;
            Ok(task)
        })
        .await;
    // Known again after a restart.
    let world = world.reopen();
    assert_eq!(world.store.edges(), [], "reports do not outlive the process");
    for (in_flight, news) in [(3, 1), (2, 1), (0, 2), (0, 2), (1, 2), (0, 3)] {
        world.store.record_edge_report(view(&[(task, in_flight)]));
        assert_eq!(world.changes(), news, "after {in_flight} in flight");
    }
}

#[tokio::test]
async fn silent_edges_are_forgotten_and_their_number_is_bounded() {
    let world = World::new();
    let named = |name: usize, seconds| EdgeView { edge: format!("e{name:03}"), at: at(seconds), ..view(&[]) };
    for name in 0..100 {
        world.store.record_edge_report(named(name, i64::try_from(name).unwrap()));
    }
    let names: Vec<_> = world.store.edges().into_iter().map(|view| view.edge).collect();
    assert_eq!((names.len(), names[0].as_str(), names[63].as_str()), (64, "e036", "e099"));
    world.store.record_edge_report(named(100, 3600 + 99));
    let names: Vec<_> = world.store.edges().into_iter().map(|view| view.edge).collect();
    assert_eq!(names, ["e099", "e100"]);
}
