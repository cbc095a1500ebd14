//! What webhooks announce: where it may be fetched from, and how often it is tried. That it really is fetched is shown end to end.

use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::quantity::Span;
use havre_core::secret::Secret;
use havre_core::source::RefName;
use havre_core::ssh_key::PublicKey;
use havre_reconcile::pipeline;
use havre_source::SourceError;
use havre_store::NewDeployKey;

use crate::world::{Control, Outside};

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn main_branch() -> RefName {
    "refs/heads/main".parse().unwrap()
}

async fn ask(control: &Control, url: Option<&'static str>) {
    let by = Actor::Webhook { provider: "github".to_owned() };
    let written = control.world.store.write(control.world.now(), by, move |tx| {
        if let Some(url) = url {
            tx.set_remote(&project(), &url.parse().unwrap(), None)?;
        }
        let wanted = "a".repeat(40).parse().unwrap();
        tx.request_fetch(&project(), &main_branch(), Some(&wanted))
    });
    written.await.unwrap();
}

/// One round, to the end of what it has begun; tries of what is left.
async fn round(control: &Control) -> Vec<u32> {
    pipeline::activate(&control.world).await.unwrap();
    control.background().await;
    let rows = control.world.store.read(|view| view.list_fetches()).await.unwrap();
    rows.into_iter().map(|row| row.tries).collect()
}

async fn last_event(control: &Control) -> String {
    let events = control.world.store.read(|view| view.events(0, None, u32::MAX)).await.unwrap();
    events.last().map(|event| event.kind.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn what_may_not_be_reached_is_given_up_at_once() {
    let outside = Outside::new();
    let control = outside.control();
    for (url, reason) in [
        (None, "the project dropit has no remote repository: set one with `havre remote set URL`"),
        (
            Some("http://git.example.org/x.git"),
            "git.example.org: only https:// is fetched from (`remote_private` in havred.toml allows http://)",
        ),
        (
            Some("https://127.0.0.1:1/x.git"),
            "127.0.0.1 is at 127.0.0.1, which is not a public address (`remote_private` in havred.toml allows others)",
        ),
        (
            Some("https://[fd00::1]/x.git"),
            "fd00::1 is at fd00::1, which is not a public address (`remote_private` in havred.toml allows others)",
        ),
    ] {
        ask(&control, url).await;
        assert_eq!(round(&control).await, Vec::<u32>::new(), "{url:?}");
        let expected = format!("dropit: refs/heads/main could not be fetched: {reason}");
        assert_eq!(last_event(&control).await, expected);
    }
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua";

/// Sets an address for SSH with a deploy key; with the key of its host, where that is known.
pub(crate) async fn set_over_ssh(control: &Control, url: &'static str, is_known: bool) {
    let fingerprint = || format!("SHA256:{}", "a".repeat(43)).parse().unwrap();
    let set = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        tx.set_remote(&project(), &url.parse().unwrap(), None)?;
        let private_key = Secret::from("planted-key");
        let new = NewDeployKey { public_key: KEY.parse().unwrap(), fingerprint: fingerprint(), private_key };
        tx.add_deploy_key(&project(), new)?;
        if is_known {
            tx.set_host_keys(&project(), &[(KEY.parse().unwrap(), fingerprint())])?;
        }
        tx.request_fetch(&project(), &main_branch(), None)
    });
    set.await.unwrap();
}

#[tokio::test]
async fn over_ssh_the_same_addresses_are_refused_and_no_host_is_asked_whose_key_is_unknown() {
    let outside = Outside::new();
    let control = outside.control();
    for (url, is_known, reason) in [
        (
            "git@127.0.0.1:acme/x.git",
            true,
            "127.0.0.1 is at 127.0.0.1, which is not a public address (`remote_private` in havred.toml allows others)",
        ),
        (
            "ssh://git@[fd00::1]:2222/x.git",
            true,
            "fd00::1 is at fd00::1, which is not a public address (`remote_private` in havred.toml allows others)",
        ),
        ("ssh://git@1.1.1.1/x.git", false, "dropit has no deploy key, or its host none that is trusted"),
    ] {
        set_over_ssh(&control, url, is_known).await;
        assert_eq!(round(&control).await, Vec::<u32>::new(), "{url}");
        let expected = format!("dropit: refs/heads/main could not be fetched: {reason}");
        assert!(last_event(&control).await.starts_with(&expected), "{url}");
    }
    assert!(outside.source.ssh().is_empty(), "git was asked");

    set_over_ssh(&control, "ssh://git@1.1.1.1/y.git", true).await;
    assert_eq!(round(&control).await, Vec::<u32>::new());
    let used = outside.source.ssh();
    assert_eq!(used[0].keys[0].expose(), b"planted-key");
    assert_eq!(used[0].host_keys, [KEY.parse::<PublicKey>().unwrap()]);
}

#[tokio::test]
async fn one_that_fails_is_tried_again_and_given_up_in_the_end() {
    let outside = Outside::new();
    let trouble = || SourceError::TimedOut {
        what: "fetch from the remote repository".to_owned(),
        limit: "10m".to_owned(),
    };
    let control = outside.control_with_private_remotes();
    ask(&control, Some("http://127.0.0.1:1/x.git")).await;
    for (tries, pause) in [(1_u32, 5), (2, 30), (3, 120), (4, 600)] {
        outside.source.fail_next(trouble());
        assert_eq!(round(&control).await, [tries]);
        outside.clock.advance(Span::seconds(pause - 1).duration());
        assert_eq!(round(&control).await, [tries], "its time has not come");
        outside.clock.advance(Span::seconds(1).duration());
    }
    outside.source.fail_next(trouble());
    assert_eq!(round(&control).await, Vec::<u32>::new());
    let last = last_event(&control).await;
    assert!(
        last.starts_with(
            "dropit: refs/heads/main could not be fetched: could not fetch from the remote repository"
        ),
        "{last}"
    );
}
