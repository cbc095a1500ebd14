//! What stock restic says about what we wrote: it lists it, restores it, and finds nothing wrong. It is how somebody gets his data back
//! without Havre, so these are the commands of the recovery kit.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use crate::bucket_world::{BUCKET, KEY, KEY_ID};
use crate::folder_world::FolderWorld;
use crate::s3_server::S3Server;
use crate::sftp_world::SftpWorld;
use crate::world::{PASSWORD, World, noise, put};

/// restic, on that repository.
fn restic<'a>(root: &OsStr, way: &[String], arguments: impl IntoIterator<Item = &'a OsStr>) -> Output {
    Command::new("restic")
        .arg("--no-cache")
        .args(way)
        .args(arguments)
        .env("RESTIC_REPOSITORY", root)
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", KEY)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .expect("restic is installed: apt-get install restic")
}

fn said<const N: usize>(root: &OsStr, arguments: [&str; N]) -> Vec<u8> {
    said_on_the_way(root, &[], arguments)
}

/// The same with arguments that say how the repository is reached.
fn said_on_the_way<const N: usize>(root: &OsStr, way: &[String], arguments: [&str; N]) -> Vec<u8> {
    let output = restic(root, way, arguments.iter().map(OsStr::new));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "restic {arguments:?}: {errors}");
    output.stdout
}

#[tokio::test]
async fn it_lists_restores_and_finds_nothing_wrong() {
    let world = FolderWorld::start();
    finds_everything(&world, world.root().as_os_str(), &[]).await;
}

#[tokio::test]
async fn it_lists_restores_and_finds_nothing_wrong_in_a_bucket() {
    let server = S3Server::start().await;
    let root = format!("s3:{}/{BUCKET}/servers/one", server.endpoint());
    finds_everything(&server.world("servers/one"), OsStr::new(&root), &[]).await;
}

#[tokio::test]
async fn it_lists_restores_and_finds_nothing_wrong_on_another_machine() {
    let world = SftpWorld::start().await;
    let server = &world.server;
    let root = server.location(server.port(), "servers/one");
    // As it stands on the recovery kit; the keys are in files of the test, where people have them in ~/.ssh.
    let root = format!("sftp://{}@{}:{}/{}", root.user, root.host, root.port, root.path);
    let way = ["-o".to_owned(), format!("sftp.command={}", server.ssh_command())];
    finds_everything(&world, OsStr::new(&root), &way).await;
}

async fn finds_everything(world: &impl World, root: &OsStr, way: &[String]) {
    let repository = world.repository();
    repository.init().await.expect("is made");
    let streams = [noise(3_000_000, 1), b"a few bytes\n".to_vec(), vec![0; 3_000_000]];
    let mut snapshots = Vec::new();
    for (second, bytes) in (0_i64..).zip(&streams) {
        snapshots.push(put(&repository, second, bytes).await.snapshot);
    }

    let listed = String::from_utf8(said_on_the_way(root, way, ["snapshots", "--no-lock"])).expect("is text");
    assert!(listed.contains("3 snapshots") && !listed.contains("havre:pending"), "{listed}");
    for (snapshot, bytes) in snapshots.iter().zip(&streams) {
        assert!(listed.contains(snapshot.id.short()), "{listed}");
        assert!(listed.contains(&format!("havre:sha256:{}", snapshot.content.sha256.hex())), "{listed}");
        let target = tempfile::tempdir().expect("is made");
        let folder = target.path().to_str().expect("is text");
        said_on_the_way(root, way, ["restore", snapshot.id.hex(), "--no-lock", "--target", folder]);
        let restored = fs::read(target.path().join(snapshot.name.as_str())).expect("was restored");
        assert!(restored == *bytes, "restore gives {} bytes of {}", restored.len(), bytes.len());
        let dumped = said_on_the_way(root, way, ["dump", snapshot.id.hex(), &format!("/{}", snapshot.name)]);
        assert!(dumped == *bytes, "dump gives {} bytes of {}", dumped.len(), bytes.len());
    }
    said_on_the_way(root, way, ["check", "--read-data", "--no-lock"]);
}

#[tokio::test]
async fn it_finds_nothing_wrong_after_a_prune() {
    let world = FolderWorld::start();
    let repository = world.repository();
    repository.init().await.expect("is made");
    let gone = put(&repository, 1, &noise(3_000_000, 1)).await.snapshot;
    put(&repository, 2, &noise(3_000_000, 2)).await;
    repository.forget(&[gone.id]).await.expect("is forgotten");
    for _ in 0..2 {
        repository.prune(Duration::ZERO).await.expect("is pruned");
        said(world.root().as_os_str(), ["check", "--read-data", "--no-lock"]);
    }
}

#[tokio::test]
async fn it_is_refused_with_another_password() {
    let world = FolderWorld::start();
    world.repository().init().await.expect("is made");
    let output = Command::new("restic")
        .args(["--no-cache", "snapshots", "--no-lock"])
        .env("RESTIC_REPOSITORY", world.root())
        .env("RESTIC_PASSWORD", "wrong")
        .output()
        .expect("restic is installed: apt-get install restic");
    assert!(!output.status.success());
}
