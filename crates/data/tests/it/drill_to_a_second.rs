//! Drills to a second on fakes: in turn with dumps, the files of a base backup and WAL go into a container that nobody can reach, and nothing is left
//! of it whatever came out.

use std::time::Duration;

use havre_core::database::Image;
use havre_core::database::task::NO_SERVICE;
use havre_core::event::Actor;
use havre_core::quantity::Span;
use havre_engine::Engine as _;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::{Program, Script};
use havre_engine::network::VolumeSpec;
use havre_rescue::aim::Pick;
use havre_rescue::drill::{Drill, Method, State, Verdict, drill_place, drill_volume};
use havre_rescue::proof::{Progress, Structure};
use havre_rescue::recovery::{Part, derive_drilled};
use havre_rescue::report::Report;
use havre_store::NewDrill;
use serde_json::json;

use crate::drill::{drills, failure, last, later};
use crate::restore::with;
use crate::wal::{TASK, base, bases, look, segment, server, stretches, tar, two_segments, writes};
use crate::world::{Control, Outside};
use crate::{backup, database};

const DRILL: &str = "havre-x1-drill-db-production-dropit";

/// A server that takes dumps, files and WAL, is through at once, and finds everything sound and true.
fn taking() -> Script {
    let rows = "{\"table\" : \"public.users\", \"rows\" : 2}\n{\"counted\" : true}\n";
    let programs = [
        ("pg_isready", Program::prints("", 0)),
        ("psql db --command", Program::prints("t\n", 0)),
        ("psql db", Program::reads(rows, 0)),
        ("psql", Program::reads("f\n", 0)),
        ("pg_restore", Program::prints("", 0)),
        ("pg_amcheck", Program::prints("", 0)),
        ("pg_verifybackup", Program::prints("", 0)),
        ("mkdir", Program::prints("", 0)),
        ("tar -x", Program::reads("", 0)),
        ("chown", Program::prints("", 0)),
        ("touch", Program::prints("", 0)),
    ];
    let programs = programs.map(|(name, program)| (name.to_owned(), program)).into();
    Script { programs, ..Script::runs() }
}

/// A database with a dump, a base backup, and WAL of ten seconds behind it. Servers that start from now on are like `next`.
async fn saved(control: &Control, drill: Option<&str>, next: Script) {
    database::add_postgres(&control.outside, server(two_segments()));
    let policy = json!({ "every": "1d", "keep": { "last": 5 }, "point_in_time": "7d", "drill": drill,
        "assert": ["select count(*) > 0 from users"] });
    database::apply(control, json!({ "backup": policy })).await;
    database::rounds(control).await;
    backup::set_target(control).await;
    backup::rounds(control).await;
    control.outside.clock.advance(Duration::from_secs(10));
    look(control).await;
    control.outside.clock.advance(Duration::from_secs(20));
    let names = ["000000010000000000000003", "000000010000000000000004", "000000010000000000000005"];
    let files: Vec<(&str, Vec<u8>)> = names.into_iter().zip([segment(3), segment(4), segment(5)]).collect();
    control.outside.engine.set_program(TASK, "ls", Program::prints(&names.join("\n"), 0));
    control.outside.engine.set_program(TASK, "tar", writes(tar(&files)));
    look(control).await;
    let found = stretches(control).await;
    assert!(found.len() == 1 && found[0].until.is_some(), "{found:?}");
    database::add_postgres(&control.outside, next);
}

/// Asks for a drill to the newest second.
async fn ask(control: &Control) -> Drill {
    let write = control.world.store.write(control.world.now(), Actor::Local, |tx| {
        let row = tx.list_databases()?.remove(0);
        let found = tx.find_aim(&row, Pick::Newest)?.expect("there is a line");
        tx.create_drill(&NewDrill::of_line(&row, found, false).unwrap())
    });
    write.await.unwrap()
}

/// How often a container of the first drill was started.
fn started(control: &Control) -> usize {
    let done = control.outside.engine.done();
    done.iter()
        .filter(|one| one.operation == Operation::EnsureTask && one.is_ok && one.subject == DRILL)
        .count()
}

#[tokio::test]
async fn files_and_wal_go_in_and_the_report_says_what_would_have_been_lost() {
    let control = Outside::new().control();
    saved(&control, None, taking()).await;
    ask(&control).await;
    let drill = last(&control).await;
    assert_eq!(drill.state.name(), "passed", "{:?}", drill.state);
    let inputs = control.outside.engine.inputs();
    let given = |word: &str| {
        let found = inputs.iter().find(|(line, _)| line.starts_with("tar -x") && line.ends_with(word));
        found.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    };
    assert_eq!(given("/var/lib/postgresql/16/docker"), base());
    let wal = tar(&[
        ("000000010000000000000003", segment(3)),
        ("000000010000000000000004", segment(4)),
        ("000000010000000000000005", segment(5)),
    ]);
    assert!(given("/var/lib/postgresql/havre-restore") == wal);
    assert_eq!(started(&control), 2, "what takes the files in, and what reads the WAL");
    assert!(control.outside.engine.volume_overlaps().is_empty());
    let report = Report::parse(&drill.report.clone().unwrap().text).unwrap();
    assert_eq!(report.method, Some(Method::PointInTime));
    assert_eq!(report.at, Some(drill.aim.clone().unwrap().newest));
    // The mark is twenty seconds old, and nothing of it itself comes back.
    assert_eq!(report.rpo_measured_ms, Some(20_001));
    let Verdict::Passed { findings, .. } = report.verdict else { panic!("it passed") };
    assert_eq!((&findings.files, &findings.structure), (&Structure::Sound, &Structure::Sound));
    assert_eq!((findings.rows["public.users"], findings.assertions.len()), (2, 1));
}

#[tokio::test]
async fn both_ways_come_in_turn() {
    let control = Outside::new().control();
    saved(&control, Some("7d"), taking()).await;
    let mut methods = Vec::new();
    for _ in 0..3 {
        let drill = last(&control).await;
        assert_eq!(drill.state.name(), "passed", "{:?}", drill.state);
        if let Some(aim) = &drill.aim {
            let base = bases(&control).await.remove(0);
            assert!((base.whole_at..=aim.newest).contains(&aim.recovery.at), "{aim:?}");
        }
        methods.push(drill.method());
        later(&control, Span::seconds(7 * 86_400)).await;
    }
    assert_eq!(methods, [Method::Dump, Method::PointInTime, Method::Dump]);
    assert!(drills(&control).await.iter().all(|drill| drill.is_scheduled));
}

#[tokio::test]
async fn damaged_files_start_no_server() {
    let control = Outside::new().control();
    let said = "pg_verifybackup: error: checksum mismatch for file \"base/1/2606\"\n";
    saved(&control, None, with(taking(), "pg_verifybackup", Program::prints(said, 1))).await;
    ask(&control).await;
    assert_eq!(
        failure(&last(&control).await),
        "loading: its structure is damaged: pg_verifybackup: error: checksum mismatch for file \"base/1/2606\""
    );
    assert_eq!(started(&control), 1, "only what takes the files in");
}

#[tokio::test]
async fn an_image_without_the_program_is_no_failure() {
    let control = Outside::new().control();
    let mut script = taking();
    script.programs.retain(|(name, _)| name != "pg_verifybackup");
    saved(&control, None, script).await;
    ask(&control).await;
    let drill = last(&control).await;
    assert_eq!(drill.state.name(), "passed", "{:?}", drill.state);
    let text = drill.report.unwrap().text;
    assert!(text.contains("\"files\":{\"structure\":\"not_available\"}"), "{text}");
}

#[tokio::test]
async fn what_is_not_what_was_stored_fails_it() {
    for is_wal in [false, true] {
        let control = Outside::new().control();
        saved(&control, None, taking()).await;
        let snapshot = match is_wal {
            true => stretches(&control).await.remove(0).snapshot,
            false => bases(&control).await.remove(0).manifest.snapshot,
        };
        backup::repository(&control).await.damage(&snapshot);
        ask(&control).await;
        let drill = last(&control).await;
        assert!(failure(&drill).starts_with("loading: the repository failed: "), "{:?}", drill.state);
        assert_eq!(started(&control), 1);
        let now = control.world.now();
        let problems = control.world.store.read(move |view| view.list_backup_problems(now)).await.unwrap();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let expected =
            "drill of database dropit/production/db in disk: x1 (point in time) failed while loading: ";
        assert!(said.iter().any(|line| line.starts_with(expected)), "{said:?}");
    }
}

#[tokio::test]
async fn what_is_not_true_of_that_second_fails_it() {
    let control = Outside::new().control();
    saved(&control, None, with(taking(), "psql db --command", Program::prints("f\n", 0))).await;
    ask(&control).await;
    assert_eq!(
        failure(&last(&control).await),
        "checking: `select count(*) > 0 from users` is not true: the answer is f"
    );
}

#[tokio::test]
async fn one_that_was_cut_off_is_not_believed() {
    let outside = Outside::new();
    let control = outside.control();
    saved(&control, None, taking()).await;
    let drill = ask(&control).await;
    let image = Image { id: "d".repeat(64).parse().unwrap(), pull: None };
    let volume = VolumeSpec { name: drill_volume(drill.id), service: NO_SERVICE, place: drill_place(&drill) };
    outside.engine.ensure_volume(&volume).await.unwrap();
    let aim = drill.aim.clone().unwrap();
    outside.engine.ensure_task(&derive_drilled(&drill, &aim, Part::Fill, &image)).await.unwrap();
    let loading = State::Working { progress: Progress::Loading { since: control.world.now() } };
    let write = control.world.store.write(control.world.now(), Actor::Havre, move |tx| {
        tx.set_drill_state(drill.id, &drill.state, &loading)
    });
    write.await.unwrap();
    drop(control);
    let control = outside.control();
    let drill = last(&control).await;
    assert_eq!(failure(&drill), "loading: Havre ended while it ran");
    assert!(drill.state.is_interrupted());
}
