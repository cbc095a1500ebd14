//! Restores of volumes: each has a name nobody had, and goes with its service; and tasks that are paused are named until they go on.

use std::collections::BTreeMap;

use havre_core::backup::Content;
use havre_core::backup::manifest::Manifest;
use havre_core::backup::state::About;
use havre_core::backup::target::TargetSpec;
use havre_core::deployment::Kind;
use havre_core::deployment::state::State as Deployment;
use havre_core::id::{BackupRunId, ServiceId, TaskId};
use havre_core::name::VolumeName;
use havre_core::quantity::Span;
use havre_rescue::tree::Tree;
use havre_rescue::volume::{RESTORED_MAX, State, VolumeRestore};
use havre_store::{NewRelease, NewVolumeRestore, StoreError, VolumePause};

use crate::world::{World, apply, at, image, tasks};

fn manifest() -> Manifest {
    let about = About {
        what: "volume/dropit/production/api/data".parse().unwrap(),
        source_version: "volume (plain)".to_owned(),
        rows: BTreeMap::from([("files".to_owned(), 2)]),
        repository: "b".repeat(64).parse().unwrap(),
        started_at: at(0),
    };
    let content = Content { bytes: 10, sha256: "a".repeat(64).parse().unwrap() };
    Manifest::new(&about, &content, &"1".repeat(64).parse().unwrap(), at(1))
}

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

/// A service with the volume `data`.
async fn service(world: &World) -> ServiceId {
    let mut spec = serde_json::to_value(tasks("api", 1, &[])).unwrap();
    spec["work"]["volumes"] = serde_json::json!([{ "name": "data", "path": "/data" }]);
    let spec = serde_json::from_value(spec).unwrap();
    world.write(0, move |tx| Ok(apply(tx, spec)?.0.id)).await
}

async fn create(world: &World, service: ServiceId, volume: &str) -> Result<VolumeRestore, StoreError> {
    let (source, volume, target) = (name("data"), name(volume), "disk".parse().unwrap());
    let new = NewVolumeRestore { service, source, volume, target, manifest: manifest() };
    world.try_write(2, move |tx| tx.create_volume_restore(&new)).await
}

async fn end(world: &World, restore: &VolumeRestore, to: State) {
    let (id, from) = (restore.id, restore.state.clone());
    world.write(3, move |tx| tx.set_volume_restore_state(id, &from, &to)).await;
}

fn ready() -> State {
    let digest = "c".repeat(64).parse().unwrap();
    State::Ready { at: at(3), found: Tree { files: 2, folders: 1, links: 0, others: 0, bytes: 10, digest } }
}

#[tokio::test]
async fn a_restore_makes_a_volume_that_goes_with_its_service() {
    let world = World::new();
    let service = service(&world).await;
    let made = create(&world, service, "data-restored-1").await.unwrap();
    assert_eq!((made.id.to_string().as_str(), made.state.name()), ("f1", "waiting"));
    assert_eq!(made.manifest, manifest());
    let open = world.store.read(|view| view.list_open_volume_restores()).await.unwrap();
    assert_eq!(open, std::slice::from_ref(&made));
    end(&world, &made, ready()).await;
    let world = world.reopen();
    let place = made.place.clone();
    let all =
        world.store.read(move |view| view.list_volume_restores(&place, &name("data"), 10)).await.unwrap();
    assert_eq!((all.len(), all[0].state.name(), all[0].ended_at), (1, "ready", Some(at(3))));
    let volumes = world.store.read(move |view| view.list_volumes(&view.get_service(service)?)).await.unwrap();
    assert_eq!(volumes.into_iter().collect::<Vec<_>>(), [name("data"), name("data-restored-1")]);
    let stale =
        world.try_write(4, move |tx| tx.set_volume_restore_state(made.id, &made.state, &ready())).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    let story = world.story().await;
    let of_restore: Vec<&String> = story.iter().filter(|text| text.starts_with("restore ")).collect();
    assert_eq!(
        of_restore,
        [
            "restore f1 of volume data of dropit/production/api into data-restored-1: asked for",
            "restore f1 of volume data of dropit/production/api into data-restored-1: it holds what was saved: 3 entries \
             with 10 bytes (cccccccccccc)",
        ]
    );
}

/// What the loops would do: today's specification is live.
async fn deploy(world: &World, service: ServiceId, seconds: i64) {
    world
        .write(seconds, move |tx| {
            let row = tx.get_service(service)?;
            let release = tx.create_release(NewRelease {
                service,
                artifact: image(),
                spec: row.spec,
                revision: row.revision,
                build: None,
                commit: String::new(),
            })?;
            let deployment = tx.create_deployment(service, release.id, Kind::Deploy)?.id;
            let switching = Deployment::Switching { since: at(seconds) };
            tx.set_deployment_state(deployment, &Deployment::Pending, switching.clone())?;
            tx.go_live(deployment, at(seconds))?;
            tx.set_deployment_state(deployment, &switching, Deployment::Succeeded { at: at(seconds) })
        })
        .await;
}

#[tokio::test]
async fn a_volume_is_due_once_a_release_with_it_is_live() {
    let world = World::new();
    let target = serde_json::json!({
        "name": "disk", "location": { "kind": "folder", "path": "/mnt/disk" }, "medium": "two", "is_offsite": false,
    });
    let target: TargetSpec = serde_json::from_value(target).unwrap();
    world.write(0, move |tx| tx.set_backup_target(&target, None).map(drop)).await;
    let due = async || {
        let duties = world.store.read(|view| view.list_backup_duties()).await.unwrap();
        duties.iter().map(|duty| duty.what.key()).filter(|key| key != "platform").collect::<Vec<_>>()
    };
    let id = service(&world).await;
    deploy(&world, id, 3).await;
    assert_eq!(due().await, Vec::<String>::new(), "nothing is promised for it");
    let mut spec = serde_json::to_value(tasks("api", 1, &[])).unwrap();
    let backup = serde_json::json!({ "mode": "pause", "policy": { "every": "6h", "keep": { "last": 3 } } });
    spec["work"]["volumes"] = serde_json::json!([
        { "name": "data", "path": "/data", "backup": backup }, { "name": "other", "path": "/other", "backup": backup },
    ]);
    let spec = serde_json::from_value(spec).unwrap();
    world.write(4, move |tx| apply(tx, spec).map(drop)).await;
    assert_eq!(due().await, ["volume/dropit/production/api/data"], "the other one is not there yet");
    let promises = world.store.read(|view| view.list_backup_promises()).await.unwrap();
    let promise = promises.iter().find(|promise| promise.what.key() != "platform").unwrap();
    assert_eq!((promise.every, promise.since), (Span::seconds(6 * 3600), at(3)));
    deploy(&world, id, 5).await;
    assert_eq!(due().await.len(), 2);
    let keep = world.store.read(move |view| view.find_backup_keep(&manifest().what)).await.unwrap();
    assert_eq!(keep.map(|keep| keep.last), Some(3));
    world.write(6, move |tx| tx.request_destroy(id, at(6))).await;
    assert_eq!(due().await, Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_restored_into_what_is_there() {
    let world = World::new();
    let service = service(&world).await;
    let taken = create(&world, service, "data").await.unwrap_err();
    assert!(matches!(taken, StoreError::NameTaken { kind: "volume", .. }), "{taken}");
    let made = create(&world, service, "other").await.unwrap();
    let taken = create(&world, service, "other").await.unwrap_err();
    assert!(matches!(taken, StoreError::NameTaken { kind: "volume", .. }), "{taken}");
    // One that failed leaves its name.
    let failed = State::Failed { at: at(3), stage: "loading".to_owned(), reason: "no room".to_owned() };
    end(&world, &made, failed).await;
    create(&world, service, "other").await.unwrap();
    world.write(4, move |tx| tx.request_destroy(service, at(4))).await;
    let gone = create(&world, service, "third").await.unwrap_err();
    assert!(matches!(gone, StoreError::BeingDestroyed { .. }), "{gone}");
}

#[tokio::test]
async fn there_are_only_so_many() {
    let world = World::new();
    let service = service(&world).await;
    for number in 0..RESTORED_MAX {
        let made = create(&world, service, &format!("v{number}")).await.unwrap();
        end(&world, &made, ready()).await;
    }
    let refused = create(&world, service, "more").await.unwrap_err();
    assert!(matches!(refused, StoreError::TooManyVolumes { most: RESTORED_MAX, .. }), "{refused}");
}

#[tokio::test]
async fn a_pause_is_named_until_it_is_over() {
    let world = World::new();
    let pause = |container: &str, task: Option<i64>| VolumePause {
        container: container.to_owned(),
        service: ServiceId::new(1),
        task: task.map(TaskId::new),
        run: BackupRunId::new(7),
    };
    let all = vec![pause("a", Some(1)), pause("b", None)];
    for _ in 0..2 {
        let pauses = all.clone();
        world.write(1, move |tx| tx.record_volume_pauses(&pauses)).await;
    }
    let world = world.reopen();
    assert_eq!(world.store.read(|view| view.list_volume_pauses()).await.unwrap(), all);
    for _ in 0..2 {
        world.write(2, |tx| tx.forget_volume_pause("a")).await;
    }
    assert_eq!(world.store.read(|view| view.list_volume_pauses()).await.unwrap(), all[1..]);
}
