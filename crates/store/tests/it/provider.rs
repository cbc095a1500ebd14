//! Secret providers and the values they gave: what a release is asked for, what is sealed, what is told, and what goes.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::id::{ReleaseId, ServiceId};
use havre_core::name::{EnvironmentName, ProjectName};
use havre_core::preview::{Preview, PullNumber, State, TTL};
use havre_core::secret::Secret;
use havre_core::service::spec::{ServiceSpec, Work};
use havre_decide::secret::provider::reference::{Location, Reference};
use havre_decide::secret::provider::{Fetched, OpenProvider, ValueVersion};
use havre_store::{NewRelease, StoreError, Tx};

use crate::world::{World, at, image, tasks};

const VALUE: &str = "vault-main:secret/data/app#password";

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn production() -> EnvironmentName {
    EnvironmentName::production()
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn vault(url: &str) -> OpenProvider {
    let spec = format!("{{\"kind\":\"vault\",\"url\":\"{url}\"}}");
    OpenProvider {
        project: project(),
        name: "vault-main".parse().unwrap(),
        spec: serde_json::from_str(&spec).unwrap(),
        credential: Some("planted-token".into()),
    }
}

/// A service whose variables refer to these values.
fn spec(texts: &[&str]) -> ServiceSpec {
    let mut spec = tasks("api", 1, &[]);
    let Work::Tasks(work) = &mut spec.work else { panic!("it runs tasks") };
    for (number, text) in texts.iter().enumerate() {
        work.env.insert(format!("V{number}").parse().unwrap(), format!("x${{secrets.{text}}}"));
    }
    spec
}

fn made(tx: &mut Tx<'_>, environment: &str, spec: ServiceSpec) -> Result<(ServiceId, ReleaseId), StoreError> {
    let environment = tx.ensure_environment(project(), environment.parse().unwrap())?;
    let service = tx.apply_service(environment.id, spec.clone())?.0.id;
    let new =
        NewRelease { service, artifact: image(), spec, revision: 1, build: None, commit: String::new() };
    Ok((service, tx.create_release(new)?.id))
}

fn fetched(texts: &[&str]) -> BTreeMap<Reference, Fetched> {
    let value = || Fetched { value: Secret::from("planted-value"), version: ValueVersion::new("7") };
    texts.iter().map(|text| (reference(text), value())).collect()
}

/// Whom a release asks, by address, and what for.
async fn asked(world: &World, id: ReleaseId) -> Vec<String> {
    let wanted = world.store.read(move |view| view.list_wanted_values(id)).await.unwrap();
    let line = |(provider, places): &(OpenProvider, BTreeSet<Location>)| {
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        format!("{} {}", provider.spec.url().unwrap(), places.join(" "))
    };
    let unknown = wanted.unknown.iter().map(|value| format!("unknown {value}"));
    wanted.asked.iter().map(line).chain(unknown).collect()
}

fn has_in_a_file(world: &World, planted: &[u8]) -> bool {
    std::fs::read_dir(world.folder.path()).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        bytes.windows(planted.len()).any(|part| part == planted)
    })
}

#[tokio::test]
async fn a_release_asks_the_provider_of_its_environment_first() {
    let world = World::new();
    let (_, id) =
        world.write(0, |tx| made(tx, "production", spec(&[VALUE, "vault-main:b#c", "no:d#e"]))).await;
    assert_eq!(
        asked(&world, id).await,
        ["unknown no:d#e", "unknown vault-main:b#c", "unknown vault-main:secret/data/app#password"]
    );
    world.write(1, |tx| tx.set_secret_provider(None, &vault("https://wide.example"))).await;
    let all = ["https://wide.example b#c secret/data/app#password", "unknown no:d#e"];
    assert_eq!(asked(&world, id).await, all);
    world.write(2, |tx| tx.set_secret_provider(Some(&production()), &vault("https://own.example"))).await;
    let world = world.reopen();
    let all = ["https://own.example b#c secret/data/app#password", "unknown no:d#e"];
    assert_eq!(asked(&world, id).await, all);
    let opened = world.store.read(|view| {
        view.open_secret_provider(&project(), Some(&production()), &"vault-main".parse().unwrap())
    });
    assert_eq!(opened.await.unwrap().credential.unwrap().expose_text(), Some("planted-token"));
    assert!(!has_in_a_file(&world, b"planted"));
    let listed = world.store.read(|view| view.list_secret_providers(&project())).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|row| row.environment).collect();
    assert_eq!(listed, [None, Some(production())]);

    world
        .write(3, |tx| {
            tx.remove_secret_provider(&project(), Some(&production()), &"vault-main".parse().unwrap())
        })
        .await;
    let again = world
        .try_write(4, |tx| {
            tx.remove_secret_provider(&project(), Some(&production()), &"vault-main".parse().unwrap())
        })
        .await;
    assert!(matches!(again, Err(StoreError::NotFound { kind: "secret provider", .. })), "{again:?}");
    let told: Vec<String> =
        world.story().await.into_iter().filter(|text| text.contains("provider")).collect();
    assert_eq!(
        told,
        [
            "secret provider vault-main of dropit set for every environment",
            "secret provider vault-main of dropit set in production",
            "secret provider vault-main of dropit removed in production",
        ]
    );
}

#[tokio::test]
async fn what_was_fetched_stays_with_the_release_sealed_and_is_told_once() {
    let world = World::new();
    let (service, id) = world.write(0, |tx| made(tx, "production", spec(&[VALUE, "vault-main:b#c"]))).await;
    world.write(1, |tx| tx.set_secret_provider(None, &vault("https://wide.example"))).await;
    world.write(2, move |tx| tx.record_release_values(id, &fetched(&[VALUE]))).await;
    assert_eq!(asked(&world, id).await, ["https://wide.example b#c"]);
    // The first value stays: tasks of one release start with the same.
    world
        .write(3, move |tx| {
            let mut values = fetched(&[VALUE, "vault-main:b#c"]);
            values.get_mut(&reference(VALUE)).unwrap().value = Secret::from("planted-other");
            tx.record_release_values(id, &values)
        })
        .await;
    let world = world.reopen();
    let opened = world.store.read(move |view| view.open_release_values(id)).await.unwrap();
    assert_eq!(opened.len(), 2);
    assert!(opened.values().all(|value| value.expose_text() == Some("planted-value")));
    let names = |values: Vec<(havre_core::name::EnvKey, Secret)>| -> Vec<String> {
        values.into_iter().map(|(name, value)| format!("{name} {}", value.expose_text().unwrap())).collect()
    };
    let of_release = world.store.read(move |view| view.list_release_values(id)).await.unwrap();
    assert_eq!(names(of_release), ["V1 planted-value", "V0 planted-value"]);
    let of_project = world.store.read(|view| view.list_secret_values(&project())).await.unwrap();
    assert_eq!(names(of_project).len(), 2);
    assert!(!has_in_a_file(&world, b"planted-"));

    let events = world.store.read(move |view| view.events(0, Some(service), 100)).await.unwrap();
    let told: Vec<String> =
        events.iter().map(|event| event.kind.to_string()).filter(|text| text.contains(" got ")).collect();
    assert_eq!(
        told,
        ["r1 got vault-main:secret/data/app#password (version 7)", "r1 got vault-main:b#c (version 7)"]
    );
    let nothing = world.write(4, move |tx| tx.record_release_values(id, &fetched(&[VALUE])));
    nothing.await;
    let after = world.store.read(move |view| view.events(0, Some(service), 100)).await.unwrap();
    assert_eq!(after.len(), events.len(), "nothing changed, nothing is told");
}

#[tokio::test]
async fn values_are_sealed_anew_and_cannot_be_exchanged() {
    let world = World::new();
    let (_, id) = world.write(0, |tx| made(tx, "production", spec(&[VALUE, "vault-main:b#c"]))).await;
    world.write(1, move |tx| tx.record_release_values(id, &fetched(&[VALUE, "vault-main:b#c"]))).await;
    assert_eq!(world.write(2, |tx| tx.rotate_data_key(&project())).await, 2);
    assert_eq!(world.store.read(move |view| view.open_release_values(id)).await.unwrap().len(), 2);
    let file = rusqlite::Connection::open(world.path()).unwrap();
    let swap = "UPDATE release_values SET sealed_value = (SELECT sealed_value FROM release_values WHERE reference = \
         'vault-main:b#c') WHERE reference <> 'vault-main:b#c'";
    assert_eq!(file.execute(swap, []).unwrap(), 1);
    let said = world.store.read(move |view| view.open_release_values(id)).await.unwrap_err().to_string();
    assert!(said.contains("r1/vault-main:secret/data/app#password in release_values"), "{said}");
    // Whoever must keep values out of a log takes those that can be opened; whoever sends a text away is refused.
    assert_eq!(world.store.read(move |view| view.list_release_values(id)).await.unwrap().len(), 1);
    assert!(world.store.read(|view| view.list_secret_values(&project())).await.is_err());
}

#[tokio::test]
async fn the_preview_of_a_fork_gets_none() {
    let world = World::new();
    world.write(0, |tx| tx.set_secret_provider(None, &vault("https://wide.example"))).await;
    for (pull, is_fork) in [(7_u64, false), (8, true)] {
        let number = PullNumber::try_from(pull).unwrap();
        let preview = Preview {
            project: project(),
            number,
            commit: "a".repeat(40).parse().unwrap(),
            branch: "feature/x".parse().unwrap(),
            base: "main".parse().unwrap(),
            base_commit: "b".repeat(40).parse().unwrap(),
            is_fork,
            state: State::Open { since: at(1) },
            pushed_at: at(1),
            ttl: TTL,
        };
        world.write(1, move |tx| tx.put_preview(&preview)).await;
        let (_, id) = world.write(2, move |tx| made(tx, &format!("pr-{pull}"), spec(&[VALUE]))).await;
        let wanted = world.store.read(move |view| view.list_wanted_values(id)).await.unwrap();
        assert_eq!(wanted.is_refused, is_fork);
    }
}

#[tokio::test]
async fn what_an_environment_and_a_service_had_goes_with_them() {
    let world = World::new();
    let environment = world
        .write(0, |tx| {
            tx.set_secret_provider(None, &vault("https://wide.example"))?;
            tx.set_secret_provider(Some(&production()), &vault("https://own.example"))?;
            Ok(tx.ensure_environment(project(), production())?.id)
        })
        .await;
    let (service, id) = world.write(1, |tx| made(tx, "production", spec(&[VALUE]))).await;
    world.write(2, move |tx| tx.record_release_values(id, &fetched(&[VALUE]))).await;
    world.write(3, move |tx| tx.request_destroy(service, at(3))).await;
    world.write(4, move |tx| tx.remove_service(service)).await;
    world.write(5, move |tx| tx.remove_environment(environment)).await;
    let left = world.store.read(|view| view.list_secret_providers(&project())).await.unwrap();
    let left: Vec<_> = left.into_iter().map(|row| row.environment).collect();
    assert_eq!(left, [None]);
}
