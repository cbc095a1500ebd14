//! Volumes on fakes: what has a policy is saved, tasks that are paused always go on, and a snapshot becomes a new volume with the same files.

use bytes::Bytes;
use havre_core::backup::policy::{BackupPolicy, VolumeBackup, VolumeMode};
use havre_core::backup::run::BackupRun;
use havre_core::backup::state::State as RunState;
use havre_core::event::Actor;
use havre_core::id::{BackupRunId, ServiceId, VolumeRestoreId};
use havre_data::{backup as loops, restore};
use havre_engine::Engine as _;
use havre_engine::error::EngineError;
use havre_engine::fake::files::tar_of;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::Script;
use havre_engine::network::VolumeSpec;
use havre_rescue::volume::{State, what_of};
use havre_store::{NewVolumeRestore, VolumePause};
use tokio_util::sync::CancellationToken;

use crate::backup;
use crate::kill::{Killed, incarnation};
use crate::world::{Control, Outside, spec, with_volume, work};

const VOLUME: &str = "havre-s1-data";
const RESTORED: &str = "havre-s1-data-restored-1";

fn files() -> Bytes {
    tar_of(&[("note", b"hello"), ("large", &[7; 50_000])])
}

/// A service that runs with files in its volume, which is saved in this way.
async fn prepare(control: &Control, mode: VolumeMode) -> ServiceId {
    control.outside.add_image("1", Script::runs());
    let mut work = with_volume(work("1"));
    work.volumes[0].backup = Some(VolumeBackup { mode, policy: BackupPolicy::of_postgres() });
    let id = control.apply(spec(work)).await;
    control.build(id).await;
    control.settle().await;
    control.outside.engine.set_files(VOLUME, files());
    backup::set_target(control).await;
    id
}

async fn of_volume(control: &Control) -> Vec<BackupRun> {
    let mut runs = backup::runs(control).await;
    runs.retain(|run| run.what.key() == "volume/dropit/production/api/data");
    runs
}

fn failure(run: &BackupRun) -> String {
    match &run.state {
        RunState::Failed { stage, reason, .. } => format!("{stage}: {reason}"),
        other => panic!("it has not failed: {other:?}"),
    }
}

#[tokio::test]
async fn a_volume_is_saved_with_its_entries() {
    let control = Outside::new().control();
    prepare(&control, VolumeMode::Plain).await;
    backup::rounds(&control).await;
    let runs = of_volume(&control).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    let manifest = runs[0].manifest.as_ref().expect("it is good");
    assert_eq!((manifest.rows["files"], manifest.rows["folders"]), (2, 1));
    assert_eq!(
        (manifest.content.bytes, manifest.source_version.as_str()),
        (files().len() as u64, "volume (plain)")
    );
    assert_eq!(control.outside.engine.count(Operation::Pause), 0, "nobody is paused");
}

#[tokio::test]
async fn what_is_not_whole_is_no_backup() {
    let control = Outside::new().control();
    prepare(&control, VolumeMode::Plain).await;
    let whole = files();
    control.outside.engine.set_files(VOLUME, whole.slice(..whole.len() - 1024));
    backup::rounds(&control).await;
    let failed = failure(&of_volume(&control).await[0]);
    assert!(failed.contains("the end of the tar did not come"), "{failed}");
    assert!(failed.contains("mode = \"pause\""), "{failed}");
}

#[tokio::test]
async fn tasks_are_paused_only_while_it_is_read() {
    let control = Outside::new().control();
    prepare(&control, VolumeMode::Pause).await;
    backup::rounds(&control).await;
    let engine = &control.outside.engine;
    assert!(of_volume(&control).await[0].is_good());
    assert_eq!((engine.count(Operation::Pause), engine.count(Operation::Unpause)), (1, 1));
    assert_eq!(engine.paused_tasks(), Vec::<String>::new());
    assert_eq!(control.world.store.read(|view| view.list_volume_pauses()).await.unwrap(), []);
}

#[tokio::test]
async fn a_pause_that_was_not_kept_is_no_backup_and_an_engine_that_does_not_answer_is_asked_again() {
    let control = Outside::new().control();
    prepare(&control, VolumeMode::Pause).await;
    let engine = &control.outside.engine;
    let away = || EngineError::Unreachable { address: "the fake".to_owned(), message: "gone".to_owned() };
    // The task is paused, and the run hears of nothing.
    engine.lose_next_answer(Operation::Pause, away());
    engine.fail_next(Operation::Unpause, away());
    // One run at a time at a target: that of the platform may come first.
    for _ in 0..3 {
        loops::activate(&control.world).await.unwrap();
        control.background().await;
        if !engine.paused_tasks().is_empty() {
            break;
        }
    }
    assert_eq!(engine.paused_tasks().len(), 1, "nobody could let it go on");
    backup::rounds(&control).await;
    assert_eq!(engine.paused_tasks(), Vec::<String>::new());
    assert!(failure(of_volume(&control).await.last().expect("there was one")).starts_with("dumping: "));
}

#[tokio::test]
async fn what_a_killed_control_had_paused_goes_on_at_the_next_start() {
    let control = Outside::new().control();
    control.outside.add_image("1", Script::runs());
    let service = control.apply(spec(with_volume(work("1")))).await;
    control.build(service).await;
    control.settle().await;
    let engine = &control.outside.engine;
    let container = engine.list_tasks().await.unwrap().remove(0).name;
    let pause = VolumePause { container: container.clone(), service, task: None, run: BackupRunId::new(1) };
    let record = control.world.store.write(control.world.now(), Actor::Havre, move |tx| {
        // Of one that was named and never paused as well.
        let other = VolumePause { container: "havre-gone".to_owned(), ..pause.clone() };
        tx.record_volume_pauses(&[pause, other])
    });
    record.await.unwrap();
    engine.pause(&container).await.unwrap();
    // There is not even a target any more.
    loops::activate(&control.world).await.unwrap();
    assert_eq!(engine.paused_tasks(), Vec::<String>::new());
    assert_eq!(control.world.store.read(|view| view.list_volume_pauses()).await.unwrap(), []);
}

/// Kills control after so many polls while it saves a volume whose tasks it pauses; `false` once it was done before that.
fn killed(polls: usize) -> bool {
    let outside = Outside::new();
    incarnation(async || prepare(&outside.control(), VolumeMode::Pause).await);
    // Few parts, so that there are not too many points.
    outside.engine.set_files(VOLUME, tar_of(&[("note", b"hello")]));
    let was_killed = incarnation(async || {
        let control = outside.control();
        let first = Killed { future: Box::pin(async { backup::rounds(&control).await }), polls };
        first.await.is_none()
    });
    incarnation(async || {
        let control = outside.control();
        loops::activate(&control.world).await.unwrap();
        control.background().await;
        for _ in 0..3 {
            backup::later(&control, 90_000).await;
        }
        assert_eq!(outside.engine.paused_tasks(), Vec::<String>::new(), "killed after {polls} polls");
        assert_eq!(control.world.store.read(|view| view.list_volume_pauses()).await.unwrap(), []);
        assert!(of_volume(&control).await.iter().any(BackupRun::is_good), "killed after {polls} polls");
    });
    was_killed
}

#[test]
fn nobody_stays_paused_wherever_control_is_killed() {
    let mut polls = 1;
    while killed(polls) {
        polls += 1;
    }
    assert!(polls > 10, "only {polls} points were tried; the matrix does not cover it");
}

/// Asks for a restore of the newest backup.
async fn ask(control: &Control, service: ServiceId) -> VolumeRestoreId {
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        let place = tx.get_service(service)?.place;
        let point = tx.list_points(&what_of(&place, &"data".parse().unwrap()))?.remove(0);
        let (source, volume) = ("data".parse().unwrap(), "data-restored-1".parse().unwrap());
        let (target, manifest) = (point.target, point.manifest);
        Ok(tx.create_volume_restore(&NewVolumeRestore { service, source, volume, target, manifest })?.id)
    });
    write.await.unwrap()
}

async fn restored(control: &Control, id: VolumeRestoreId) -> State {
    let stop = CancellationToken::new();
    for _ in 0..5 {
        restore::activate(&control.world, &stop).await.unwrap();
        control.background().await;
    }
    control.world.store.read(move |view| view.get_volume_restore(id)).await.unwrap().state
}

#[tokio::test]
async fn a_snapshot_becomes_a_new_volume_beside_the_old_one() {
    let control = Outside::new().control();
    let service = prepare(&control, VolumeMode::Plain).await;
    backup::rounds(&control).await;
    control.outside.engine.set_files(VOLUME, tar_of(&[("note", b"later")]));
    let id = ask(&control, service).await;
    let State::Ready { found, .. } = restored(&control, id).await else { panic!("it is not ready") };
    assert_eq!((found.files, found.bytes), (2, 50_005));
    assert_eq!(control.outside.engine.files(RESTORED), Some(files()));
    assert_eq!(
        control.outside.engine.files(VOLUME),
        Some(tar_of(&[("note", b"later")])),
        "it stays as it is"
    );
}

#[tokio::test]
async fn one_that_fails_leaves_no_volume() {
    let control = Outside::new().control();
    let service = prepare(&control, VolumeMode::Plain).await;
    backup::rounds(&control).await;
    let full = EngineError::NoSpace { what: "fill volume".to_owned() };
    control.outside.engine.fail_next(Operation::Extract, full);
    let id = ask(&control, service).await;
    let state = restored(&control, id).await;
    assert!(state.outcome().contains("no space left"), "{state:?}");
    assert_eq!(control.outside.engine.volume_names(), [VOLUME]);
}

#[tokio::test]
async fn a_load_that_nobody_goes_on_with_is_begun_again() {
    let control = Outside::new().control();
    let service = prepare(&control, VolumeMode::Plain).await;
    backup::rounds(&control).await;
    let id = ask(&control, service).await;
    let now = control.world.now();
    let begin = control.world.store.write(now, Actor::Havre, move |tx| {
        let from = tx.get_volume_restore(id)?.state;
        tx.set_volume_restore_state(id, &from, &State::Loading { since: now })
    });
    begin.await.unwrap();
    // As far as the one before had come.
    let place = control.service(service).await.place;
    let half = VolumeSpec { name: RESTORED.to_owned(), service, place };
    control.outside.engine.ensure_volume(&half).await.unwrap();
    control.outside.engine.set_files(RESTORED, tar_of(&[("half", b"of it")]));
    let state = restored(&control, id).await;
    assert_eq!(state.name(), "ready", "{state:?}");
    assert_eq!(control.outside.engine.files(RESTORED), Some(files()));
}
