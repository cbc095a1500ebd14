//! Remote repositories: the token comes back and lies nowhere in plain, and of each branch the newest wish counts.

use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::secret::Secret;
use havre_core::source::{CommitId, RefName, RemoteUrl};
use havre_store::StoreError;

use crate::world::{World, at};

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn url() -> RemoteUrl {
    "https://git.example.org/acme/dropit.git".parse().unwrap()
}

fn main_branch() -> RefName {
    "refs/heads/main".parse().unwrap()
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

async fn token(world: &World) -> Option<String> {
    let token = world.store.read(|view| view.find_remote_token(&project())).await.unwrap();
    token.map(|token| token.expose_text().unwrap().to_owned())
}

#[tokio::test]
async fn a_token_comes_back_and_lies_nowhere_in_plain() {
    let world = World::new();
    let secret = Secret::from("planted-token");
    world.write(0, move |tx| tx.set_remote(&project(), &url(), Some(&secret))).await;
    let world = world.reopen();
    assert_eq!(token(&world).await.as_deref(), Some("planted-token"));
    let listed = world.store.read(|view| view.list_remotes()).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].url, listed[0].has_token, listed[0].created_at), (&url(), true, at(0)));
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(13).any(|part| part == b"planted-token"));
    }

    let row = world.write(1, |tx| tx.set_remote(&project(), &url(), None)).await;
    assert!(!row.has_token, "a token is for one address");
    assert_eq!(token(&world).await, None);

    world.write(2, |tx| tx.request_fetch(&project(), &main_branch(), None)).await;
    world.write(3, |tx| tx.remove_remote(&project())).await;
    assert_eq!(world.store.read(|view| view.find_remote(&project())).await.unwrap(), None);
    assert_eq!(world.store.read(|view| view.list_fetches()).await.unwrap(), []);
    let again = world.try_write(4, |tx| tx.remove_remote(&project())).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    assert_eq!(
        world.story().await,
        [
            "dropit is fetched from https://git.example.org/acme/dropit.git",
            "dropit is fetched from https://git.example.org/acme/dropit.git",
            "dropit has no remote repository any more",
        ]
    );
}

#[tokio::test]
async fn the_newest_wish_counts() {
    let world = World::new();
    let ask = |seconds, digit| {
        world.write(seconds, move |tx| tx.request_fetch(&project(), &main_branch(), Some(&commit(digit))))
    };
    let due = |seconds| {
        let store = &world.store;
        async move { store.read(move |view| view.list_due_fetches(at(seconds))).await.unwrap() }
    };
    ask(10, 'a').await;
    assert_eq!(due(9).await, [], "not yet");
    let first = due(10).await.remove(0);
    assert_eq!((&first.wanted, first.tries), (&Some(commit('a')), 0));
    assert_eq!(first.asked_by, Actor::Havre);

    let row = first.clone();
    world.write(11, move |tx| tx.fetch_failed(&row, Some(at(20)), "away")).await;
    assert_eq!(due(19).await, []);
    let second = due(20).await.remove(0);
    assert_eq!(second.tries, 1);
    assert_eq!(due(-100_000).await, std::slice::from_ref(&second), "the clock was set back");

    ask(21, 'b').await;
    let row = second.clone();
    world.write(22, move |tx| tx.fetch_done(&row)).await;
    let row = second;
    world.write(23, move |tx| tx.fetch_failed(&row, None, "away")).await;
    let third = due(23).await.remove(0);
    assert_eq!((&third.wanted, third.tries), (&Some(commit('b')), 0), "somebody asked anew meanwhile");

    world.write(24, move |tx| tx.fetch_failed(&third, None, "nobody answers")).await;
    assert_eq!(world.store.read(|view| view.list_fetches()).await.unwrap(), []);
    assert_eq!(
        world.story().await,
        ["dropit: refs/heads/main could not be fetched: nobody answers"],
        "told once, and only of what is still wanted"
    );
}
