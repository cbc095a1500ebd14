//! Secrets of services: versions, scopes, what a release starts with, and that no two values can be exchanged.

use havre_core::event::Actor;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::name::{EnvKey, EnvironmentName, ProjectName};
use havre_core::preview::{Preview, PullNumber, State, TTL};
use havre_core::secret::value::{SecretVersion, VERSIONS_KEPT, parse_value};
use havre_core::service::spec::{ServiceSpec, Work};
use havre_store::{NewRelease, OpenOptions, Store, StoreError, Tx};

use crate::world::{World, at, image, options, tasks};

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn key(name: &str) -> EnvKey {
    name.parse().unwrap()
}

fn production() -> EnvironmentName {
    EnvironmentName::production()
}

/// A service that wants these secrets, and refers to `REFERRED`.
fn spec(names: &[&str]) -> ServiceSpec {
    let mut spec = tasks("api", 1, &[]);
    let Work::Tasks(work) = &mut spec.work else { panic!("it runs tasks") };
    work.secrets = names.iter().map(|name| key(name)).collect();
    work.env.insert(key("URL"), "x${secrets.REFERRED}".to_owned());
    spec
}

/// Its service in an environment.
fn service(tx: &mut Tx<'_>, environment: &str, spec: ServiceSpec) -> Result<ServiceId, StoreError> {
    let environment = tx.ensure_environment(project(), environment.parse().unwrap())?;
    Ok(tx.apply_service(environment.id, spec)?.0.id)
}

fn release(tx: &mut Tx<'_>, service: ServiceId) -> Result<ReleaseId, StoreError> {
    let spec = tx.get_service(service)?.spec;
    let new =
        NewRelease { service, artifact: image(), spec, revision: 1, build: None, commit: String::new() };
    Ok(tx.create_release(new)?.id)
}

fn set(
    tx: &mut Tx<'_>,
    environment: Option<&EnvironmentName>,
    name: &str,
    value: &str,
) -> Result<SecretVersion, StoreError> {
    let value = parse_value(value.to_owned()).unwrap();
    Ok(tx.set_secret(&project(), environment, &key(name), &value)?.version)
}

/// What a release starts with.
async fn opened(world: &World, id: ReleaseId) -> Result<Vec<String>, StoreError> {
    let values = world.store.read(move |view| view.open_release_secrets(id)).await?;
    Ok(values.iter().map(|(name, value)| format!("{name}={}", value.expose_text().unwrap())).collect())
}

fn has_in_a_file(world: &World, planted: &[u8]) -> bool {
    std::fs::read_dir(world.folder.path()).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        bytes.windows(planted.len()).any(|part| part == planted)
    })
}

#[tokio::test]
async fn a_release_starts_with_the_versions_it_was_made_with() {
    let world = World::new();
    let api = world.write(0, |tx| service(tx, "production", spec(&["A", "B"]))).await;
    world.write(1, |tx| set(tx, None, "A", "planted-wide")).await;
    world.write(2, |tx| set(tx, None, "REFERRED", "planted-referred")).await;
    let first = world.write(3, move |tx| release(tx, api)).await;
    world.write(4, |tx| set(tx, Some(&production()), "A", "planted-own")).await;
    world.write(5, |tx| set(tx, None, "B", "planted-b")).await;
    let second = world.write(6, move |tx| release(tx, api)).await;
    let world = world.reopen();
    assert_eq!(opened(&world, first).await.unwrap(), ["A=planted-wide", "REFERRED=planted-referred"]);
    assert_eq!(
        opened(&world, second).await.unwrap(),
        ["A=planted-own", "B=planted-b", "REFERRED=planted-referred"]
    );
    let versions = world.store.read(move |view| view.release_secrets(second)).await.unwrap();
    let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    assert_eq!(versions, ["A v2", "B v1", "REFERRED v1"]);
    assert!(!has_in_a_file(&world, b"planted"));
    assert!(!world.story().await.join("\n").contains("planted"));
    assert_eq!(
        world.story().await.into_iter().filter(|text| text.contains("secret")).collect::<Vec<_>>(),
        [
            "secret A of dropit set for every environment, now v1",
            "secret REFERRED of dropit set for every environment, now v1",
            "secret A of dropit set in production, now v2",
            "secret B of dropit set for every environment, now v1",
        ]
    );
}

#[tokio::test]
async fn versions_that_releases_name_stay() {
    let world = World::new();
    let api = world.write(0, |tx| service(tx, "production", spec(&["A"]))).await;
    world.write(1, |tx| set(tx, None, "A", "first")).await;
    let first = world.write(2, move |tx| release(tx, api)).await;
    for number in 0..VERSIONS_KEPT + 5 {
        world.write(3, move |tx| set(tx, None, "A", &format!("value {number}"))).await;
    }
    let kept = world.store.read(|view| view.list_secret_versions(&project(), &key("A"))).await.unwrap();
    let kept: Vec<u64> = kept.iter().map(|row| row.version.number()).collect();
    assert_eq!(kept, [16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 1]);
    assert_eq!(opened(&world, first).await.unwrap(), ["A=first"]);
}

#[tokio::test]
async fn what_is_used_is_removed_by_force_only_and_its_versions_are_never_given_again() {
    let world = World::new();
    let api = world.write(0, |tx| service(tx, "production", spec(&["A"]))).await;
    world.write(1, |tx| set(tx, None, "A", "first")).await;
    let made = world.write(2, move |tx| release(tx, api)).await;
    let refused = world.try_write(3, |tx| tx.remove_secret(&project(), None, &key("A"), false)).await;
    let said = refused.unwrap_err().to_string();
    assert_eq!(said, "the secret A is used by dropit/production/api");
    let referred = world.write(3, |tx| set(tx, None, "REFERRED", "x")).await;
    assert_eq!(referred.number(), 1);
    assert!(
        world.try_write(4, |tx| tx.remove_secret(&project(), None, &key("REFERRED"), false)).await.is_err()
    );

    // An environment with a value of its own does not get the one of the project.
    world.write(5, |tx| set(tx, Some(&production()), "A", "own")).await;
    world.write(6, |tx| tx.remove_secret(&project(), None, &key("A"), false)).await;
    let gone = opened(&world, made).await.unwrap_err().to_string();
    assert_eq!(gone, "v1 of the secret A is not kept any more");
    assert_eq!(world.write(7, |tx| set(tx, None, "A", "third")).await.number(), 3);
    world.write(8, |tx| tx.remove_secret(&project(), None, &key("A"), true)).await;
    let missing = world.try_write(9, |tx| tx.remove_secret(&project(), None, &key("A"), true)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { kind: "secret", .. })), "{missing:?}");
}

#[tokio::test]
async fn values_cannot_be_exchanged() {
    let world = World::new();
    let api = world.write(0, |tx| service(tx, "production", spec(&["A", "B"]))).await;
    world.write(1, |tx| set(tx, None, "A", "value of a")).await;
    world.write(1, |tx| set(tx, None, "B", "value of b")).await;
    let made = world.write(2, move |tx| release(tx, api)).await;
    let tamper = |sql: &str| {
        let file = rusqlite::Connection::open(world.path()).unwrap();
        assert!(file.execute(sql, []).unwrap() > 0, "{sql}");
    };
    tamper(
        "UPDATE secrets SET sealed_value = (SELECT sealed_value FROM secrets WHERE name = 'B') WHERE name = 'A'",
    );
    let said = opened(&world, made).await.unwrap_err().to_string();
    assert_eq!(
        said,
        "could not open sealed_value of dropit//A/1 in secrets: it was changed, or belongs to another row"
    );
    // Whoever asks for all of it sealed anew hears of it, and nothing is changed.
    assert!(world.try_write(3, |tx| tx.rotate_data_key(&project())).await.is_err());
    tamper("UPDATE data_keys SET project = 'other'");
    let said = opened(&world, made).await.unwrap_err().to_string();
    assert_eq!(said, "there is no data key of dropit");
}

#[tokio::test]
async fn a_new_data_key_seals_everything_anew() {
    let world = World::new();
    let api = world.write(0, |tx| service(tx, "production", spec(&["A"]))).await;
    world.write(1, |tx| set(tx, None, "A", "first")).await;
    let made = world.write(2, move |tx| release(tx, api)).await;
    world.write(3, |tx| set(tx, Some(&production()), "A", "second")).await;
    let sealed = || {
        let file = rusqlite::Connection::open(world.path()).unwrap();
        let mut statement = file.prepare("SELECT hex(sealed_value) FROM secrets ORDER BY version").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<Vec<String>, _>>().unwrap()
    };
    let before = sealed();
    assert_eq!(world.write(4, |tx| tx.rotate_data_key(&project())).await, 2);
    let after = sealed();
    // The first 8 bytes name the key.
    assert!(before.iter().zip(&after).all(|(before, after)| before[..16] != after[..16]));
    assert_eq!(opened(&world, made).await.unwrap(), ["A=first"]);
    let none = world.try_write(5, |tx| tx.rotate_data_key(&"other".parse().unwrap())).await;
    assert!(matches!(none, Err(StoreError::NotFound { .. })), "{none:?}");
}

#[tokio::test]
async fn a_value_is_shown_to_a_person_and_that_is_told() {
    let world = World::new();
    world.write(0, |tx| set(tx, None, "A", "planted")).await;
    let revealed =
        world.store.write(at(1), Actor::Local, |tx| tx.reveal_secret(&project(), None, &key("A"))).await;
    let (row, value) = revealed.unwrap();
    assert_eq!((row.version.number(), value.expose_text()), (1, Some("planted")));
    let events = world.store.read(|view| view.events(0, None, 10)).await.unwrap();
    let last = events.last().unwrap();
    assert_eq!(
        format!("{}: {}", last.actor, last.kind),
        "local: secret A of dropit revealed for every environment (v1)"
    );
}

#[tokio::test]
async fn without_its_master_key_the_store_does_not_open() {
    let world = World::new();
    world.write(0, |tx| set(tx, None, "A", "planted")).await;
    let World { store, folder } = world;
    drop(store);
    let open = |master_key| {
        let options = OpenOptions { master_key, ..options(folder.path().join("store")) };
        Store::open(options).map(|_| ())
    };
    for key in [None, Some(havre_store::MasterKey::new([8; 32]))] {
        assert!(matches!(open(key), Err(StoreError::WrongMasterKey { .. })));
    }
}

#[tokio::test]
async fn a_preview_of_a_fork_gets_no_secrets() {
    let world = World::new();
    world.write(0, |tx| set(tx, None, "A", "planted")).await;
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
        let made = world.write(2, move |tx| {
            let api = service(tx, &format!("pr-{pull}"), spec(&["A"]))?;
            release(tx, api)
        });
        let expected: &[&str] = if is_fork { &[] } else { &["A=planted"] };
        assert_eq!(opened(&world, made.await).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn what_an_environment_had_of_its_own_goes_with_it() {
    let world = World::new();
    let environment = world
        .write(0, |tx| {
            set(tx, None, "A", "wide")?;
            set(tx, Some(&production()), "A", "own")?;
            Ok(tx.ensure_environment(project(), production())?.id)
        })
        .await;
    world.write(1, move |tx| tx.remove_environment(environment)).await;
    let left = world.store.read(|view| view.list_secrets(&project())).await.unwrap();
    let left: Vec<_> = left.iter().map(|row| (row.environment.clone(), row.version.number())).collect();
    assert_eq!(left, [(None, 1)]);
}
