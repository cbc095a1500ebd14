//! Values of secret providers reach tasks; each is fetched once for each release; who is away is asked again, who refuses stops the deployment;
//! tasks start again while the provider is away; and nothing says a value.

use std::collections::BTreeMap;

use havre_core::deployment::Kind;
use havre_core::event::Actor;
use havre_core::id::{ReleaseId, ServiceId};
use havre_core::name::EnvKey;
use havre_core::quantity::Span;
use havre_core::secret::value::parse_value;
use havre_core::service::spec::{ServiceSpec, TaskWork, Work};
use havre_core::task::spec::Purpose;
use havre_decide::secret::provider::OpenProvider;
use havre_decide::secret::provider::reference::Reference;
use havre_engine::Engine;
use havre_engine::fake::script::Script;
use havre_provider::FetchError;
use havre_reconcile::variable;
use havre_store::NewRelease;

use crate::world::{Control, Outside, spec, with_release_command, work};

const PASSWORD: &str = "vault-main:secret/data/app#password";
const USER: &str = "vault-main:secret/data/app#user";

fn key(name: &str) -> EnvKey {
    name.parse().unwrap()
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// A service that refers to two values of a provider, to one of them twice, and to a secret of ours.
fn provided(work: TaskWork) -> ServiceSpec {
    let mut work = TaskWork { replicas: 2, ..work };
    let url = format!("postgres://${{secrets.{USER}}}:${{secrets.{PASSWORD}}}@db/${{secrets.OURS}}");
    work.env.insert(key("URL"), url);
    work.env.insert(key("PASSWORD"), format!("${{secrets.{PASSWORD}}}"));
    spec(work)
}

/// A secret of ours, and a provider that has both values.
async fn ready(outside: &Outside, control: &Control) {
    outside.providers.put(reference(PASSWORD), "planted-password-1");
    outside.providers.put(reference(USER), "planted-user-1");
    let write = control.world.store.write(control.world.now(), Actor::Local, |tx| {
        let project = "dropit".parse().unwrap();
        tx.set_secret(&project, None, &key("OURS"), &parse_value("planted-ours".to_owned()).unwrap())?;
        tx.set_secret_provider(None, &vault("vault-main")).map(|_| ())
    });
    write.await.unwrap();
}

fn vault(name: &str) -> OpenProvider {
    OpenProvider {
        project: "dropit".parse().unwrap(),
        name: name.parse().unwrap(),
        spec: serde_json::from_str(r#"{"kind":"vault","url":"https://vault.example"}"#).unwrap(),
        credential: Some("planted-token".into()),
    }
}

/// Variables of every task.
async fn variables(outside: &Outside) -> Vec<BTreeMap<String, String>> {
    let tasks = outside.engine.list_tasks().await.unwrap();
    let tasks = tasks.into_iter().filter(|task| matches!(task.purpose, Purpose::Task { .. }));
    tasks.map(|task| outside.engine.variables(&task.name).unwrap()).collect()
}

/// As a restart does: the live artifact and configuration, made a release anew.
async fn restart(control: &Control, id: ServiceId) -> ReleaseId {
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        let live = tx.get_release(tx.get_service(id)?.live.unwrap())?;
        let new = NewRelease {
            service: id,
            artifact: live.artifact,
            spec: live.spec,
            revision: live.revision,
            build: live.build,
            commit: live.commit,
        };
        let release = tx.create_release(new)?.id;
        tx.create_deployment(id, release, Kind::Restart)?;
        Ok(release)
    });
    write.await.unwrap()
}

/// Why the newest deployment failed.
async fn failed(control: &Control, id: ServiceId) -> String {
    let deployment = control.last_deployment(id).await;
    assert_eq!(deployment.state.name(), "failed");
    serde_json::to_string(&deployment.state).unwrap()
}

/// Everything anybody can read of what happened.
async fn told(control: &Control) -> String {
    let events = control.world.store.read(|view| view.events(0, None, 10_000)).await.unwrap();
    events.iter().map(|event| format!("{} {}\n", event.kind, serde_json::to_string(event).unwrap())).collect()
}

#[tokio::test]
async fn values_are_fetched_once_and_all_tasks_get_them() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    ready(&outside, &control).await;
    let id = control.apply(provided(with_release_command(work("1")))).await;
    control.build(id).await;
    control.settle().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "succeeded");
    let tasks = variables(&outside).await;
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        assert_eq!(task["URL"], "postgres://planted-user-1:planted-password-1@db/planted-ours");
        assert_eq!(task["PASSWORD"], "planted-password-1");
    }
    assert_eq!(
        outside.providers.asked(),
        [reference(PASSWORD), reference(USER)],
        "one call, each value once"
    );
    let redactor = variable::redactor(&control.world.store, ReleaseId::new(1)).await;
    let text = redactor.text("a planted-user-1 planted-ours z".to_owned());
    assert_eq!(text, "a [secret URL] [secret OURS] z");
    let told = told(&control).await;
    assert!(told.contains(&format!("r1 got {PASSWORD} (version 1), {USER} (version 1)")), "{told}");
    assert!(!told.contains("planted"), "{told}");
    assert!(!format!("{:?}", outside.engine.done()).contains("planted"));
}

#[tokio::test]
async fn a_deploy_fetches_anew_and_a_rollback_does_not() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    ready(&outside, &control).await;
    let id = control.apply(provided(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    outside.providers.put(reference(PASSWORD), "planted-password-2");
    restart(&control, id).await;
    control.settle().await;
    assert!(variables(&outside).await.iter().all(|task| task["PASSWORD"] == "planted-password-2"));
    assert_eq!(outside.providers.asked().len(), 4);

    outside.providers.clear();
    control.request(id, ReleaseId::new(1), Kind::Rollback).await;
    control.settle().await;
    assert_eq!(control.service(id).await.live, Some(ReleaseId::new(1)));
    assert!(variables(&outside).await.iter().all(|task| task["PASSWORD"] == "planted-password-1"));
    assert_eq!(outside.providers.asked().len(), 4, "the release has its values");
    assert_eq!(outside.edge.state.lock().unwrap().outages, 0);
}

#[tokio::test]
async fn tasks_start_again_while_the_provider_is_away() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    ready(&outside, &control).await;
    let id = control.apply(provided(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    outside.providers.clear();
    drop(control);
    // Another control process on the same store, and every task ended, as after the machine was off.
    let control = outside.control();
    for task in outside.engine.list_tasks().await.unwrap() {
        outside.engine.exit_task(&task.name, 137);
    }
    control.world.engine_changed();
    for _ in 0..20 {
        control.settle().await;
        // A failure is followed by a pause.
        outside.clock.advance(Span::seconds(5).duration());
    }
    let tasks = variables(&outside).await;
    assert_eq!(tasks.len(), 2);
    assert!(tasks.iter().all(|task| task["PASSWORD"] == "planted-password-1"));
    assert_eq!(outside.providers.asked().len(), 2, "only when it was deployed");
}

#[tokio::test]
async fn who_is_away_is_asked_again_and_only_for_what_is_missing() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    ready(&outside, &control).await;
    let write = control.world.store.write(control.world.now(), Actor::Local, |tx| {
        tx.set_secret_provider(None, &vault("other")).map(|_| ())
    });
    write.await.unwrap();
    outside.providers.put(reference("other:a#b"), "planted-other");
    let mut spec = provided(work("1"));
    let Work::Tasks(tasks) = &mut spec.work else { panic!("it runs tasks") };
    tasks.env.insert(key("OTHER"), "${secrets.other:a#b}".to_owned());
    let id = control.apply(spec).await;
    let away = FetchError::away("vault.example: no answer within 10s");
    outside.providers.fail_next("vault-main".parse().unwrap(), away);
    control.build(id).await;
    control.settle().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "succeeded");
    // `other` comes first by its name, and is not asked again because the next one was away.
    let both = [reference(PASSWORD), reference(USER)];
    assert_eq!(
        outside.providers.asked(),
        [&[reference("other:a#b")], both.as_slice(), both.as_slice()].concat()
    );
    assert_eq!(variables(&outside).await[0]["OTHER"], "planted-other");
    assert!(!told(&control).await.contains("planted"));
}

#[tokio::test]
async fn what_is_refused_stops_the_deployment_before_anything_changes() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = control.apply(provided(with_release_command(work("1")))).await;
    control.build(id).await;
    control.settle().await;
    let reason = failed(&control, id).await;
    assert!(reason.contains("dropit/production has no secret provider `vault-main`"), "{reason}");
    assert!(reason.contains("`havre secret provider add` makes it"), "{reason}");

    ready(&outside, &control).await;
    outside.providers.clear();
    control.build(id).await;
    control.settle().await;
    let reason = failed(&control, id).await;
    let part = "the secret provider vault-main: there is nothing at secret/data/app#password";
    assert!(reason.contains(part), "{reason}");
    assert_eq!(control.states(id).await, ["preparing", "failed"]);
    assert!(outside.engine.list_tasks().await.unwrap().is_empty());
    assert!(!told(&control).await.contains("planted"));
}
