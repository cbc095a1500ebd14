//! Backups on another machine, with the real sshd: Havre itself is saved there, stock restic gives it out again, and a machine with another
//! key is not spoken to.

use std::process::Command;

use havre_api::backup::{BackupKit, BackupRunList, BackupTarget, BackupTargetList};
use havre_core::backup::run::RunState;
use havre_core::backup::target::TargetState;
use hyper::Method;
use serde_json::json;

use crate::world::sshd::Sshd;
use crate::world::{World, until};

/// Sets a target over SFTP and waits until somebody has looked at it.
async fn set_target(world: &World, name: &str, location: serde_json::Value, key: &str) -> BackupTarget {
    let request = json!({ "location": location, "medium": "nas", "is_offsite": true, "credential": key });
    let path = format!("/v1/backup-targets/{name}");
    let _: BackupTarget = world.api.send(Method::PUT, &path, &request).await;
    let look = async || {
        let targets = world.api.find::<BackupTargetList>("/v1/backup-targets").await?.targets;
        targets
            .into_iter()
            .find(|target| target.name.as_str() == name && target.state != TargetState::Waiting)
    };
    until("somebody has looked at the target", look).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn havre_is_saved_on_another_machine_and_restic_gives_it_out() {
    let world = World::start_sealed().await;
    let machine = Sshd::start_with_files().await;

    // Another machine than the one that was meant: its key is not the one that was set.
    let mut wrong = machine.location("wrong");
    wrong["host_key"] = json!(machine.fingerprint("ada"));
    let target = set_target(&world, "wrong", wrong, &machine.private_key()).await;
    let TargetState::Failed { reason } = &target.state else { panic!("{target:?}") };
    assert!(reason.contains("another machine") && reason.contains(&machine.fingerprint("host")), "{reason}");
    assert!(!machine.files().join("wrong").exists(), "nothing was made there");

    let target = set_target(&world, "nas", machine.location("havre"), &machine.private_key()).await;
    assert_eq!(target.state, TargetState::Ready);
    let look = async || {
        let runs = world.api.find::<BackupRunList>("/v1/backup-runs?what=platform").await?.runs;
        runs.into_iter().find(|run| run.status == RunState::Good)
    };
    let saved = until("the platform is saved", look).await.manifest.expect("it is good");

    let kit: BackupKit = world.api.send(Method::POST, "/v1/backup-targets/nas/kit", &()).await;
    assert!(kit.page.contains(&machine.fingerprint("host")), "whom ssh should find there");
    let exported = kit.page.lines().find_map(|line| line.trim().strip_prefix("export RESTIC_REPOSITORY="));
    let repository = exported.expect("it is on the page").trim_matches('\'');
    let rest = kit.page.split("Password, with its dashes:").nth(1).expect("it is on the page");
    let password = rest.lines().map(str::trim).find(|line| !line.is_empty()).expect("it is on the page");
    let restic = |arguments: &[&str]| {
        let output = Command::new("restic")
            .args(["--no-cache", "--no-lock", "-o", &format!("sftp.command={}", machine.sftp_command())])
            .args(arguments)
            .env("RESTIC_REPOSITORY", repository)
            .env("RESTIC_PASSWORD", password)
            .output()
            .expect("restic is installed: apt-get install restic");
        assert!(output.status.success(), "restic {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let tar = restic(&["dump", saved.snapshot.hex(), "/platform.tar"]);
    assert_eq!(tar.len() as u64, saved.content.bytes);
    restic(&["check", "--read-data"]);
}
