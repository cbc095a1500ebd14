//! Volumes on a real Docker: the files of a service that is paused while they are read, a new volume with the same files and owners, and a tar
//! for whoever wants one.

use havre_api::backup::{BackupRun, BackupRunList, BackupTarget};
use havre_api::restore::RestorePointList;
use havre_api::task::ExecRequest;
use havre_api::volume::{CreateVolumeRestoreResponse, VolumeRestore};
use havre_core::backup::policy::{BackupPolicy, VolumeBackup, VolumeMode};
use havre_core::backup::run::RunState;
use havre_core::service::spec::{ServiceSpec, VolumeSpec};
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::world::api::no_env;
use crate::world::docker::{docker, label};
use crate::world::spec::{argv, faults, with};
use crate::world::{SERVICE, World, until};

/// A folder the image gives to the user its processes run as.
const FOLDER: &str = "/home/node";

fn with_volume(name: &str) -> ServiceSpec {
    with(faults("well-behaved", "1"), |work| {
        work.volumes = vec![VolumeSpec {
            name: name.parse().expect("a name"),
            path: FOLDER.parse().expect("a path"),
            backup: Some(VolumeBackup { mode: VolumeMode::Pause, policy: BackupPolicy::of_postgres() }),
        }];
    })
}

/// Runs JavaScript inside the running task; what it wrote.
async fn evaluate(world: &World, script: &str) -> (String, String) {
    let request =
        ExecRequest { argv: argv(&["node", "-e", script]), task: None, terminal: None, env: no_env() };
    world.api.session(&format!("{SERVICE}/exec"), &request, b"").await.text()
}

async fn read(world: &World) -> String {
    let script = format!("process.stdout.write(require('fs').readFileSync('{FOLDER}/deep/note'))");
    let (text, errors) = evaluate(world, &script).await;
    assert_eq!(errors, "");
    text
}

async fn write(world: &World, text: &str) {
    let script = format!(
        "const fs = require('fs'); fs.mkdirSync('{FOLDER}/deep', {{ recursive: true }}); \
         fs.writeFileSync('{FOLDER}/deep/note', '{text}', {{ mode: 0o640 }}); \
         fs.writeFileSync('{FOLDER}/' + 'x'.repeat(150), 'a long name')"
    );
    assert_eq!(evaluate(world, &script).await, (String::new(), String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_back_beside_those_that_are_there() {
    let world = World::start_sealed().await;
    world.deploy_well(&with_volume("files")).await;
    write(&world, "before").await;
    let place = world.folder.path().join("repository");
    let target = json!({ "location": { "kind": "folder", "path": place }, "medium": "two" });
    let _: BackupTarget = world.api.send(Method::PUT, "/v1/backup-targets/disk", &target).await;
    let look = async || {
        let runs =
            world.api.find::<BackupRunList>("/v1/backup-runs?what=volume/e2e/production/app/files").await?;
        runs.runs.into_iter().find(|run: &BackupRun| run.is_final)
    };
    let run = until("the volume is saved", look).await;
    assert_eq!((run.status, run.failure.as_str()), (RunState::Good, ""));
    assert!(run.manifest.expect("it is good").rows["files"] >= 2);
    // It answers again, and nothing is left of what read it.
    write(&world, "after").await;
    let ours = label(&world.installation);
    let made =
        ["ps", "-a", "--filter", &ours, "--filter", "label=dev.havre.holder", "--format", "{{.Names}}"];
    until("nothing is left", async || docker(&made).ok().filter(String::is_empty)).await;

    let volume = format!("{SERVICE}/volumes/files");
    let asked: CreateVolumeRestoreResponse =
        world.api.send(Method::POST, &format!("{volume}/restores"), &json!({})).await;
    assert_eq!(asked.volume.as_str(), "files-restored-1");
    let path = format!("/v1/volume-restores/{}", asked.restore.expect("it is no dry run").id);
    let over = async || world.api.find::<VolumeRestore>(&path).await.filter(|restore| restore.is_final);
    let restore = until("the restore is over", over).await;
    assert_eq!(restore.status, "ready", "{}", restore.failure);
    assert_eq!(read(&world).await, "after", "the old one was not touched");

    let points: RestorePointList = world.api.get(&format!("{volume}/points")).await;
    let dump = world.api.call(Method::GET, &format!("{volume}/snapshot"), Vec::new()).await;
    let (status, bytes) = dump.expect("all of it comes");
    assert_eq!((status, bytes.len() as u64), (StatusCode::OK, points.points[0].bytes));
    assert!(bytes.starts_with(b"havre-volume/"));

    world.deploy_well(&with_volume("files-restored-1")).await;
    assert_eq!(read(&world).await, "before");
    // The folder belongs to the same user as before.
    write(&world, "once more").await;
    assert_eq!(read(&world).await, "once more");
}
