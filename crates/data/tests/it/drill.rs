//! Drills on fakes: a snapshot goes into a server nobody can reach, is compared, and nothing is left of it whatever came out.

use havre_backup::Repository as _;
use havre_core::database::Image;
use havre_core::database::task::NO_SERVICE;
use havre_core::event::Actor;
use havre_core::id::DrillId;
use havre_core::quantity::Span;
use havre_core::task::spec::Purpose;
use havre_engine::Engine as _;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::{Program, Script};
use havre_engine::network::VolumeSpec;
use havre_rescue::drill::{Drill, State, derive_drill, drill_place, drill_volume};
use havre_rescue::proof::Progress;
use havre_rescue::report::Report;
use serde_json::json;

use crate::backup;
use crate::restore::{PLACE, db, rounds, saved, server, with};
use crate::world::{Control, Outside};

fn weekly() -> serde_json::Value {
    json!({ "every": "1d", "keep": { "last": 5 }, "drill": "7d", "assert": ["select count(*) > 0 from users"] })
}

pub(crate) async fn drills(control: &Control) -> Vec<Drill> {
    control.world.store.read(|view| view.list_drills(None, 100)).await.unwrap()
}

/// The newest one, of which nothing is left.
pub(crate) async fn last(control: &Control) -> Drill {
    rounds(control).await;
    let tasks = control.outside.engine.list_tasks().await.unwrap();
    let is_drill = |purpose: &Purpose| matches!(purpose, Purpose::Drill { .. });
    assert!(!tasks.iter().any(|task| is_drill(&task.purpose)), "{tasks:?}");
    assert_eq!(control.outside.engine.volume_names(), ["havre-m1-data"]);
    drills(control).await.remove(0)
}

pub(crate) fn failure(drill: &Drill) -> String {
    match &drill.state {
        State::Failed { stage, reason, .. } => format!("{stage}: {reason}"),
        other => panic!("it has not failed: {other:?}"),
    }
}

pub(crate) async fn later(control: &Control, span: Span) {
    control.outside.clock.advance(span.duration());
    rounds(control).await;
}

async fn story(control: &Control) -> Vec<String> {
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    events.iter().map(|event| event.kind.to_string()).filter(|text| text.starts_with("drill ")).collect()
}

#[tokio::test]
async fn a_drill_comes_by_its_policy_and_leaves_a_signed_report() {
    let control = Outside::new().control();
    saved(&control, weekly(), server(2)).await;
    let drill = last(&control).await;
    assert_eq!((drill.state.name(), drill.is_scheduled), ("passed", true), "{:?}", drill.state);
    let signed = drill.report.clone().unwrap();
    let report = Report::parse(&signed.text).unwrap();
    assert!(report.has_passed());
    assert_eq!(report.manifest.what, db());
    assert!(signed.text.contains("\"sql\":\"select count(*) > 0 from users\""), "{}", signed.text);
    assert!(control.world.store.read(move |view| view.is_report_signed(&signed)).await.unwrap());
    let spec = control.outside.engine.done();
    let started = spec.iter().filter(|done| done.operation == Operation::EnsureTask && done.is_ok);
    let names: Vec<&str> = started.map(|done| done.subject.as_str()).collect();
    assert_eq!(names, ["havre-m1-1-db-production-dropit", "havre-x1-drill-db-production-dropit"]);
    let story = story(&control).await;
    assert_eq!(story.len(), 4, "{story:?}");
    assert!(story[3].contains("passed"), "{story:?}");
    later(&control, Span::seconds(6 * 86_400)).await;
    assert_eq!(drills(&control).await.len(), 1, "the next one is not due");
    later(&control, Span::seconds(86_400)).await;
    assert_eq!(last(&control).await.id.to_string(), "x2");
}

#[tokio::test]
async fn what_is_not_as_it_was_saved_fails_it() {
    for (script, said) in [
        (server(3), "checking: 1 tables are not as they were saved: public.users had 2 rows and has 3"),
        (
            with(server(2), "psql --command", Program::prints("f\n", 0)),
            "checking: `select count(*) > 0 from users` is not true: the answer is f",
        ),
        (
            with(server(2), "pg_amcheck", Program::prints("btree index \"db.public.users_pkey\":\n", 2)),
            "checking: its structure is damaged: btree index \"db.public.users_pkey\":",
        ),
        (
            with(server(2), "pg_restore", Program::prints("", 1)),
            "loading: the snapshot could not be loaded: pg_restore ended with code 1 and said nothing",
        ),
        (Script::exits(1, &[]), "preparing: no server came up to restore into: it ended with code 1"),
    ] {
        let control = Outside::new().control();
        saved(&control, weekly(), script).await;
        let drill = last(&control).await;
        assert_eq!(failure(&drill), said);
        assert!(story(&control).await.last().unwrap().contains(" failed while "));
        assert!(!Report::parse(&drill.report.unwrap().text).unwrap().has_passed());
    }
}

#[tokio::test]
async fn an_image_without_the_program_is_no_failure() {
    let control = Outside::new().control();
    let mut script = server(2);
    script.programs.retain(|(name, _)| name != "pg_amcheck");
    saved(&control, weekly(), script).await;
    let drill = last(&control).await;
    assert_eq!(drill.state.name(), "passed", "{:?}", drill.state);
    assert!(drill.report.unwrap().text.contains("\"structure\":\"not_available\""));
}

#[tokio::test]
async fn damaged_bytes_and_a_repository_that_is_gone_fail_it() {
    let control = Outside::new().control();
    saved(&control, json!({ "every": "1d", "keep": { "last": 5 }, "drill": "1d" }), server(2)).await;
    let point = control.world.store.read(|view| view.list_points(&db())).await.unwrap().remove(0);
    backup::repository(&control).await.damage(&point.manifest.snapshot);
    let drill = last(&control).await;
    assert!(failure(&drill).starts_with("loading: the repository failed: "), "{:?}", drill.state);
    control.outside.places.at(PLACE).break_with(Some("the disk is gone"));
    later(&control, Span::seconds(86_400)).await;
    let drill = last(&control).await;
    assert!(failure(&drill).contains("the disk is gone"), "{:?}", drill.state);
    assert!(backup::repository(&control).await.list().await.is_err());
}

/// A control that is killed while the snapshot goes in.
async fn killed_while_loading(outside: &Outside) {
    let control = outside.control();
    saved(&control, weekly(), server(2)).await;
    let stop = tokio_util::sync::CancellationToken::new();
    // Stopped before it begins: the row is there, and nothing is done yet.
    outside.engine.set_reachable(false);
    let _ = havre_data::restore::activate(&control.world, &stop).await;
    control.background().await;
    outside.engine.set_reachable(true);
    let drill = drills(&control).await.remove(0);
    let image = Image { id: "d".repeat(64).parse().unwrap(), pull: None };
    let volume = VolumeSpec { name: drill_volume(drill.id), service: NO_SERVICE, place: drill_place(&drill) };
    outside.engine.ensure_volume(&volume).await.unwrap();
    outside.engine.ensure_task(&derive_drill(&drill, &image)).await.unwrap();
    let loading = State::Working { progress: Progress::Loading { since: control.world.now() } };
    let write = control.world.store.write(control.world.now(), Actor::Havre, move |tx| {
        tx.set_drill_state(drill.id, &drill.state, &loading)
    });
    write.await.unwrap();
}

#[tokio::test]
async fn what_a_killed_control_left_goes_and_the_drill_is_tried_again_soon() {
    let outside = Outside::new();
    killed_while_loading(&outside).await;
    let control = outside.control();
    let drill = last(&control).await;
    assert_eq!(failure(&drill), "loading: Havre ended while it ran");
    assert!(drill.state.is_interrupted());
    later(&control, Span::seconds(601)).await;
    let drill = last(&control).await;
    assert_eq!((drill.id.to_string().as_str(), drill.state.name()), ("x2", "passed"));
}

#[tokio::test]
async fn a_drill_the_store_knows_nothing_of_is_taken_away() {
    let outside = Outside::new();
    let control = outside.control();
    saved(&control, json!({ "every": "1d", "keep": { "last": 5 } }), server(2)).await;
    let json = json!({"name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"});
    let point = control.world.store.read(|view| view.list_points(&db())).await.unwrap().remove(0);
    let drill = Drill {
        id: DrillId::new(9),
        environment_id: havre_core::id::EnvironmentId::new(1),
        project: "dropit".parse().unwrap(),
        environment: "production".parse().unwrap(),
        database: "db".parse().unwrap(),
        target: point.target,
        manifest: point.manifest,
        spec: serde_json::from_value(json).unwrap(),
        image: None,
        assertions: Vec::new(),
        aim: None,
        is_scheduled: false,
        state: State::first(control.world.now()),
        report: None,
        created_at: control.world.now(),
        ended_at: None,
    };
    let image = Image { id: "d".repeat(64).parse().unwrap(), pull: None };
    let volume = VolumeSpec { name: drill_volume(drill.id), service: NO_SERVICE, place: drill_place(&drill) };
    outside.engine.ensure_volume(&volume).await.unwrap();
    outside.engine.ensure_task(&derive_drill(&drill, &image)).await.unwrap();
    control.world.engine_changed();
    rounds(&control).await;
    assert_eq!(outside.engine.volume_names(), ["havre-m1-data"]);
    assert!(drills(&control).await.is_empty());
}
