//! What another machine and the way to it do once a year. Whatever it is: what can heal by being done again is done again, what a person must
//! change is named and asked once, no secret is told, and no snapshot is listed that does not come out.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use havre_backup::bucket::Limits;
use havre_backup::sftp::{Sftp, SftpError, SftpLocation};
use havre_backup::{Repository, RepositoryError, Source};
use havre_core::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::cutting_proxy::CuttingProxy;
use crate::sftp_server::{SftpServer, repository};
use crate::sftp_world::{QUICK, SftpWorld};
use crate::world::{PASSWORD, World, all, entry, noise, put};

/// Each piece of work is tried once.
const ONCE: Limits = Limits { tries: 1, ..QUICK };

async fn made(limits: Limits) -> (SftpWorld, Arc<dyn Repository>) {
    let world = SftpWorld::start_behind_proxy(limits).await;
    let repository = world.repository();
    repository.init().await.expect("is made");
    (world, repository)
}

/// The same numbers for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Paths of all files in a folder.
fn files(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).expect("is read") {
            let file = file.expect("is read");
            if file.file_type().expect("is known").is_dir() {
                folders.push(file.path());
            } else {
                found.insert(file.path().display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn what_heals_by_being_done_again_is_done_again() {
    let (world, repository) = made(QUICK).await;
    world.proxy().behave();
    // More than one piece of work needs, and less than a run.
    world.proxy().cut_every(500_000);
    for second in 1..6_i64 {
        let bytes = noise(300_000, second.unsigned_abs());
        let stored = put(&repository, second, &bytes).await.snapshot;
        let dump = repository.dump(&stored.id, &CancellationToken::new()).await.expect("is there");
        assert!(all(dump).await.expect("comes out") == bytes, "{second}");
    }
    let seen = world.proxy().behave();
    assert!(seen.cuts >= 4, "{seen:?}");
    assert!(repository.check().await.expect("is checked").is_empty());
    assert_eq!(repository.list().await.expect("is listed").len(), 5);
}

#[tokio::test]
async fn patience_ends() {
    let (world, repository) = made(QUICK).await;
    world.proxy().go_down();
    let away = repository.list().await;
    let Err(RepositoryError::Away { reason, .. }) = &away else { panic!("is away: {away:?}") };
    assert!(reason.ends_with("(tries: 4)"), "{reason}");
    world.proxy().behave();
    assert!(repository.list().await.expect("is there again").is_empty());
    // Nobody listens there.
    let nobody = repository_at(&world.server, 1, ONCE).open().await;
    assert!(matches!(nobody, Err(RepositoryError::Away { .. })), "{nobody:?}");
    // Somebody takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("has a port");
    let port = silent.local_addr().expect("has an address").port();
    let hurried = Limits { connect: Duration::from_millis(200), tries: 2, ..QUICK };
    let away = repository_at(&world.server, port, hurried).open().await;
    let Err(RepositoryError::Away { reason, .. }) = &away else { panic!("is away: {away:?}") };
    assert_eq!(reason, "no connection within 200ms (tries: 2)");
}

fn repository_at(server: &SftpServer, port: u16, limits: Limits) -> Arc<dyn Repository> {
    Arc::new(repository(server.sftp(port, "servers/one", limits)))
}

#[tokio::test]
async fn a_machine_that_goes_away_in_the_middle_of_a_run_leaves_nothing() {
    let (world, repository) = made(Limits { tries: 2, ..QUICK }).await;
    let never = CancellationToken::new();
    let first = put(&repository, 1, &noise(300_000, 1)).await.snapshot;
    world.proxy().go_down_after(400_000);
    let lost = repository.store(&entry(2), Source::whole(noise(3_000_000, 2)), &never).await;
    assert!(matches!(lost, Err(RepositoryError::Away { .. })), "{lost:?}");
    assert!(matches!(repository.list().await, Err(RepositoryError::Away { .. })));
    let pruned = repository.prune(Duration::ZERO).await;
    assert!(matches!(pruned, Err(RepositoryError::Away { .. })), "{pruned:?}");
    world.proxy().behave();
    assert_eq!(repository.list().await, Ok(vec![first]), "nothing of it is left");
    put(&repository, 3, &noise(3_000_000, 2)).await;
    assert!(repository.check().await.expect("is checked").is_empty());
}

#[tokio::test]
async fn another_machine_is_not_spoken_to() {
    let world = SftpWorld::start().await;
    let (server, key) = (&world.server, world.server.key("user"));
    let with_key = |name: &str| SftpLocation {
        host_key: server.fingerprint(name).parse().expect("is one"),
        ..server.location(server.port(), "servers/one")
    };
    let open =
        |location: &SftpLocation| repository(Sftp::new(location, &key).expect("is a key").with_limits(QUICK));
    let error = open(&with_key("stranger")).init().await.expect_err("is another machine");
    assert!(matches!(error, RepositoryError::AnotherMachine { .. }), "{error:?}");
    for name in ["stranger", "host_ed25519", "host_ecdsa"] {
        assert!(error.to_string().contains(&server.fingerprint(name)), "{name}: {error}");
    }
    assert!(!world.root().exists(), "nothing was made");
    // A machine has several keys; whichever was set is good.
    let other = open(&with_key("host_ecdsa"));
    let id = other.init().await.expect("is the same machine");
    assert_eq!(open(&with_key("host_ed25519")).open().await, Ok(id));
}

#[tokio::test]
async fn what_a_person_must_change_is_named_and_asked_once() {
    let server = SftpServer::start().await;
    let proxy = CuttingProxy::start(server.port()).await;
    let location = server.location(proxy.port(), "servers/one");
    let stranger = Sftp::new(&location, &server.key("stranger")).expect("is a key").with_limits(QUICK);
    let error = repository(stranger).open().await.expect_err("is refused");
    assert!(matches!(error, RepositoryError::CredentialsRefused { .. }), "{error:?}");
    assert!(error.to_string().contains(&server.fingerprint("stranger")), "{error}");
    assert_eq!(proxy.behave().connections, 1, "it is not asked twice");

    let nobody = SftpLocation { user: "nobody-of-havre".parse().expect("is one"), ..location };
    let nobody = Sftp::new(&nobody, &server.key("user")).expect("is a key").with_limits(QUICK);
    let error = repository(nobody).open().await.expect_err("is refused");
    assert!(matches!(error, RepositoryError::CredentialsRefused { .. }), "{error:?}");
    assert!(error.to_string().contains("nobody-of-havre"), "{error}");
}

#[tokio::test]
async fn a_machine_that_only_gives_out_still_restores() {
    let server = SftpServer::start().await;
    let writes = repository_at(&server, server.port(), QUICK);
    writes.init().await.expect("is made");
    let bytes = noise(3_000_000, 1);
    let stored = put(&writes, 1, &bytes).await.snapshot;
    drop(writes);

    let server = server.restarted("internal-sftp -R").await;
    let root = server.srv();
    let before = files(&root);
    let reads = repository_at(&server, server.port(), QUICK);
    let never = CancellationToken::new();
    let dump = reads.dump(&stored.id, &never).await.expect("is there");
    assert!(all(dump).await.expect("comes out") == bytes);
    let refused = reads.store(&entry(2), Source::whole(noise(300_000, 2)), &never).await;
    let Err(RepositoryError::CredentialsRefused { reason, .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("may not write"), "{reason}");
    let refused = reads.forget(std::slice::from_ref(&stored.id)).await;
    assert!(matches!(refused, Err(RepositoryError::CredentialsRefused { .. })), "{refused:?}");
    assert_eq!(files(&root), before, "nothing was removed or added");
    assert_eq!(reads.verify(&stored.id, &never).await, Ok(stored.content));
}

#[tokio::test]
async fn a_user_without_sftp_is_told_so() {
    let server = SftpServer::start().await.restarted("/nonexistent/sftp-server").await;
    let repository = repository_at(&server, server.port(), ONCE);
    let error = repository.open().await.expect_err("there is none");
    // Whether it says no at once or ends the session is the server's.
    let is_told = matches!(
        error,
        RepositoryError::CredentialsRefused { .. }
            | RepositoryError::Away { .. }
            | RepositoryError::Failed { .. }
    );
    assert!(is_told, "{error:?}");
    let talks = server.restarted("/bin/echo welcome to this machine, dear user").await;
    let error = repository_at(&talks, talks.port(), QUICK).open().await.expect_err("is no SFTP");
    assert!(error.to_string().contains("does not answer as SFTP does"), "{error}");
}

/// One or two cuts somewhere in a run, twenty-five times in one repository; how many met it, and how many runs failed.
async fn cuts(chance: &mut Chance) -> (usize, usize) {
    let (world, repository) = made(ONCE).await;
    let never = CancellationToken::new();
    let (mut cut, mut failed) = (0, 0);
    for round in 0..25_i64 {
        let length = usize::try_from(50_000 + chance.below(400_000)).expect("is small");
        let bytes = noise(length, chance.0);
        // The cut of a session that was kept is no failure; a second one, of the session that takes its place, is.
        let at = [chance.below(2 * length as u64), chance.below(20_000)];
        let at = if round % 2 == 0 { &at[..1] } else { &at[..] };
        world.proxy().behave();
        world.proxy().cut_after(at);
        let stored = repository.store(&entry(round), Source::whole(bytes.clone()), &never).await;
        cut += usize::from(world.proxy().behave().cuts > 0);
        let place = format!("round {round}: {length} bytes, cut after {at:?}: {stored:?}");
        let listed = repository.list().await.expect("is listed");
        if let Ok(stored) = &stored {
            assert_eq!(listed, std::slice::from_ref(&stored.snapshot), "{place}");
        }
        failed += usize::from(stored.is_err());
        assert!(listed.len() <= 1, "{place}: {listed:?}");
        for snapshot in &listed {
            let dump = repository.dump(&snapshot.id, &never).await.expect("is there");
            assert!(all(dump).await.expect("comes out") == bytes, "{place}");
        }
        let ids: Vec<_> = listed.into_iter().map(|one| one.id).collect();
        repository.forget(&ids).await.expect("is forgotten");
    }
    assert!(repository.check().await.expect("is checked").is_empty());
    (cut, failed)
}

#[tokio::test]
async fn a_hundred_cuts_and_no_snapshot_that_does_not_come_out() {
    let mut chance = Chance(0x5eed_5eed);
    let (mut cut, mut failed) = (0, 0);
    for _ in 0..4 {
        let (more, lost) = cuts(&mut chance).await;
        (cut, failed) = (cut + more, failed + lost);
    }
    assert!(cut >= 60, "{cut} of 100 runs met a cut");
    assert!(failed >= 15 && failed < cut, "{failed} runs of {cut} failed");
}

#[tokio::test]
async fn no_secret_is_told() {
    let (world, repository) = made(ONCE).await;
    world.proxy().go_down();
    let key = world.server.key("user");
    let text = key.expose_text().expect("is text").to_owned();
    let mut said = format!("{repository:?} {:?} {:?}", world.sftp, key);
    for error in [
        repository.open().await.err(),
        repository.list().await.err(),
        repository.prune(Duration::ZERO).await.err(),
    ] {
        let error = error.expect("is away");
        said.push_str(&format!("{error:?} {error}"));
    }
    let cut: Vec<&str> = text.lines().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| line).collect();
    let cut = Secret::from(cut.join("\n"));
    let location = world.server.location(22, "servers/one");
    match Sftp::new(&location, &cut) {
        Err(error) => {
            assert_eq!(error, SftpError::Unreadable);
            said.push_str(&format!("{error:?} {error}"));
        }
        Ok(_) => panic!("a part of a key is none"),
    }
    for line in text.lines().filter(|line| !line.starts_with('-')).chain([PASSWORD]) {
        assert!(!said.contains(line), "{said}");
    }
}

#[tokio::test]
async fn addresses_that_may_not_be_reached_are_not() {
    let (world, _) = made(ONCE).await;
    world.proxy().behave();
    let barred = world.sftp.clone().reaching(|address| !address.is_loopback());
    let error = repository(barred).open().await.expect_err("is barred");
    assert!(error.to_string().contains("it is at 127.0.0.1, where nothing may be asked"), "{error}");
    assert_eq!(world.proxy().behave().connections, 0, "nobody was asked");
}

#[tokio::test]
async fn a_session_that_ended_while_it_was_kept_is_no_failure() {
    let (world, repository) = made(Limits { idle: Duration::from_secs(5), ..ONCE }).await;
    let stored = put(&repository, 1, b"a few bytes").await.snapshot;
    // Longer than a session may be silent.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(repository.list().await, Ok(vec![stored.clone()]));
    // And one that the other side has ended.
    world.proxy().go_down();
    world.proxy().behave();
    assert_eq!(repository.list().await, Ok(vec![stored]));
}
