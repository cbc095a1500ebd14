//! Secrets reach tasks, release commands and jobs as they were recorded; what is missing or cannot be opened stops a deployment
//! before anything changes; and nothing says a value.

use std::collections::BTreeMap;

use havre_core::deployment::Kind;
use havre_core::event::Actor;
use havre_core::id::{ReleaseId, ServiceId, TaskId};
use havre_core::secret::value::parse_value;
use havre_core::service::spec::{ServiceSpec, TaskWork};
use havre_core::task::spec::{Purpose, task_container};
use havre_engine::Engine;
use havre_engine::fake::script::Script;
use havre_engine::log::LogSource;
use havre_reconcile::variable;
use havre_store::NewRelease;

use crate::world::{Control, Outside, spec, with_release_command, work};

/// A service that wants a secret and refers to another one.
fn secretive(work: TaskWork) -> ServiceSpec {
    let mut work = TaskWork { replicas: 1, ..work };
    work.secrets = [key("JWT_SECRET")].into();
    work.env.insert(key("URL"), "postgres://app:${secrets.DB_PASSWORD}@db".to_owned());
    spec(work)
}

fn key(name: &str) -> havre_core::name::EnvKey {
    name.parse().unwrap()
}

async fn set(control: &Control, name: &'static str, value: &'static str) {
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        let value = parse_value(value.to_owned()).unwrap();
        tx.set_secret(&"dropit".parse().unwrap(), None, &key(name), &value).map(|_| ())
    });
    write.await.unwrap();
}

async fn set_both(control: &Control) {
    set(control, "JWT_SECRET", "planted-jwt-1").await;
    set(control, "DB_PASSWORD", "planted-db-1").await;
}

/// As a restart does: the live artifact and configuration with the newest values.
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

/// Variables of the only task.
async fn variables(outside: &Outside) -> BTreeMap<String, String> {
    let tasks = outside.engine.list_tasks().await.unwrap();
    let mut tasks = tasks.into_iter().filter(|task| matches!(task.purpose, Purpose::Task { .. }));
    let task = tasks.next().unwrap();
    assert!(tasks.next().is_none(), "there is one task");
    outside.engine.variables(&task.name).unwrap()
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
async fn tasks_get_the_values_their_release_was_made_with() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    set_both(&control).await;
    let id = control.apply(secretive(with_release_command(work("1")))).await;
    control.build(id).await;
    control.settle().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "succeeded");
    let first = variables(&outside).await;
    assert_eq!(first["JWT_SECRET"], "planted-jwt-1");
    assert_eq!(first["URL"], "postgres://app:planted-db-1@db");
    assert!(!first.contains_key("DB_PASSWORD"), "it is referred to only");

    set(&control, "JWT_SECRET", "planted-jwt-2").await;
    assert_eq!(variables(&outside).await["JWT_SECRET"], "planted-jwt-1", "until somebody asks");
    let second = restart(&control, id).await;
    control.settle().await;
    assert_eq!(control.service(id).await.live, Some(second));
    assert_eq!(variables(&outside).await["JWT_SECRET"], "planted-jwt-2");

    control.request(id, ReleaseId::new(1), Kind::Rollback).await;
    control.settle().await;
    assert_eq!(variables(&outside).await["JWT_SECRET"], "planted-jwt-1");
    assert_eq!(outside.edge.state.lock().unwrap().outages, 0);
    assert!(!told(&control).await.contains("planted"));
    assert!(!format!("{:?}", outside.engine.done()).contains("planted"));
}

#[tokio::test]
async fn a_missing_secret_stops_a_deployment_before_anything_changes() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    set(&control, "JWT_SECRET", "planted-jwt-1").await;
    let id = control.apply(secretive(with_release_command(work("1")))).await;
    control.build(id).await;
    control.settle().await;
    let reason = failed(&control, id).await;
    assert!(reason.contains("had no value for DB_PASSWORD"), "{reason}");
    assert!(reason.contains("`havre secret set DB_PASSWORD --env production`"), "{reason}");
    assert_eq!(control.states(id).await, ["preparing", "failed"]);
    assert!(outside.engine.list_tasks().await.unwrap().is_empty());

    set(&control, "DB_PASSWORD", "planted-db-1").await;
    control.build(id).await;
    control.settle().await;
    assert_eq!(control.last_deployment(id).await.state.name(), "succeeded");
    assert_eq!(variables(&outside).await["URL"], "postgres://app:planted-db-1@db");
}

#[tokio::test]
async fn a_value_that_is_gone_stops_a_rollback_and_the_live_release_stays() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    set_both(&control).await;
    let id = control.apply(secretive(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    let write = control.world.store.write(control.world.now(), Actor::Local, |tx| {
        tx.remove_secret(&"dropit".parse().unwrap(), None, &key("JWT_SECRET"), true)
    });
    write.await.unwrap();
    set(&control, "JWT_SECRET", "planted-jwt-2").await;
    let second = restart(&control, id).await;
    control.settle().await;
    control.request(id, ReleaseId::new(1), Kind::Rollback).await;
    control.settle().await;
    let reason = failed(&control, id).await;
    assert!(reason.contains("v1 of the secret JWT_SECRET is not kept any more"), "{reason}");
    assert!(reason.contains("havre secret set"), "{reason}");
    assert_eq!(control.service(id).await.live, Some(second));
    assert_eq!(variables(&outside).await["JWT_SECRET"], "planted-jwt-2");
}

#[tokio::test]
async fn logs_are_kept_without_values() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    set_both(&control).await;
    let id = control.apply(secretive(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    let place = control.service(id).await.place;
    let name = task_container(&place, ReleaseId::new(1), TaskId::new(1));
    outside.engine.print(&name, LogSource::Stdout, "token=planted-jwt-1 url=postgres://app:planted-db-1@db");
    outside.engine.print(&name, LogSource::Stderr, "base64: cGxhbnRlZC1qd3QtMQ==");
    let redactor = variable::redactor(&control.world.store, ReleaseId::new(1)).await;
    assert_eq!(redactor.text("x planted-jwt-1".to_owned()), "x [secret JWT_SECRET]");
    restart(&control, id).await;
    control.settle().await;
    let folder = outside.path("logs").join(id.to_string());
    let kept = std::fs::read_to_string(folder.join("t1-r1.log")).unwrap();
    assert!(!kept.contains("planted") && !kept.contains("cGxhbnRlZC"), "{kept}");
    assert!(kept.contains("token=[secret JWT_SECRET] url=postgres://app:[secret DB_PASSWORD]@db"), "{kept}");
    assert!(kept.contains("base64: [secret JWT_SECRET]"), "{kept}");
    assert!(!told(&control).await.contains("planted"));
}
