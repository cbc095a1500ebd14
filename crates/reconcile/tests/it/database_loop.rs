//! Databases: made, kept running on their volume, let in whom they should, and gone with their data only when asked.

use havre_core::event::Actor;
use havre_core::id::ServiceId;
use havre_core::quantity::Span;
use havre_core::task::EngineState;
use havre_engine::error::EngineError;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::{Script, Start};
use serde_json::json;

use crate::database::{
    add_postgres, apply, later, rounds, row, server, story, tasks, user, variables, waiting,
};
use crate::world::Outside;

#[tokio::test]
async fn it_comes_up_on_its_network_and_volume_and_lets_a_service_in() {
    let outside = Outside::new();
    add_postgres(&outside, server(0));
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    let service = control.apply(user()).await;
    rounds(&control).await;
    assert_eq!(row(&control, id).await.shown_state(), "ready");
    let tasks = tasks(&outside).await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert_eq!(tasks[0].name, "havre-m1-1-db-production-dropit");
    assert_eq!(tasks[0].edge_address(), None);
    assert_eq!(tasks[0].addresses.keys().collect::<Vec<_>>(), ["havre-e1"]);
    assert_eq!(outside.engine.volume_names(), ["havre-m1-data"]);

    control.build(service).await;
    control.settle().await;
    assert_eq!(control.last_deployment(service).await.state.name(), "succeeded");
    for env in variables(&outside).await {
        assert_eq!((env["PGHOST"].as_str(), env["PGUSER"].as_str()), ("db", "api_a"));
        let expected = format!("postgresql://api_a:{}@db:5432/db", env["PGPASSWORD"]);
        assert_eq!(env["DATABASE_URL"], expected);
        assert_eq!(env["PGPASSWORD"].len(), 43);
    }
    assert_eq!(
        story(&control).await,
        ["database db wanted", "database db is ready", "database db lets api in as api_a"]
    );
    // Nothing more is done but to ask how it is.
    let before = outside.engine.count(Operation::EnsureTask);
    later(&control, 60).await;
    assert_eq!(outside.engine.count(Operation::EnsureTask), before);
}

#[tokio::test]
async fn a_deployment_waits_for_it_and_says_so() {
    let outside = Outside::new();
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let service = control.apply(user()).await;
    control.build(service).await;
    while control.deployments(service).await.is_empty() {
        control.activate().await;
    }
    control.reach(service, "preparing").await;
    control.activate().await;
    let deployment = control.last_deployment(service).await.id;
    let said = async || {
        let text = control.world.store.read(move |view| view.waiting("deployment", deployment.row())).await;
        text.unwrap().unwrap_or_default()
    };
    assert_eq!(
        said().await,
        "waits for the database db: there is none of this name in the environment; `havre apply` makes it"
    );
    add_postgres(&outside, server(2));
    let id = apply(&control, json!({})).await;
    rounds(&control).await;
    assert_eq!(row(&control, id).await.shown_state(), "creating");
    assert_eq!(waiting(&control, id).await, "does not answer yet: 127.0.0.1:5432 - no response");
    control.activate().await;
    assert_eq!(said().await, "waits for the database db: it is creating, and has no role for api yet");
    // It has waited long enough.
    outside.clock.advance(Span::seconds(600).duration());
    control.settle().await;
    let ended = control.last_deployment(service).await;
    assert_eq!(ended.state.name(), "failed");
    let havre_core::deployment::state::State::Failed { reason, .. } = ended.state else {
        panic!("it has failed")
    };
    assert_eq!(
        reason.to_string(),
        "could not prepare: it waits for the database db: it is creating, and has no role for api yet"
    );
    assert!(variables(&outside).await.is_empty(), "no task was started without its variables");
}

#[tokio::test]
async fn one_that_is_killed_comes_back_on_its_volume() {
    let outside = Outside::new();
    add_postgres(&outside, server(0));
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    rounds(&control).await;
    for (count, lost) in [(2, false), (3, true)] {
        let name = tasks(&outside).await.remove(0).name;
        if lost {
            outside.engine.lose_task(&name)
        } else {
            outside.engine.exit_task(&name, 137)
        }
        rounds(&control).await;
        later(&control, 1).await;
        let found = tasks(&outside).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].name, format!("havre-m1-{count}-db-production-dropit"));
        assert!(matches!(found[0].state, EngineState::Running { .. }));
        assert_eq!(row(&control, id).await.shown_state(), "ready");
    }
    assert_eq!(outside.engine.volume_names(), ["havre-m1-data"]);
    assert!(outside.engine.volume_overlaps().is_empty());
    assert_eq!(outside.engine.count(Operation::ResolveImage), 1, "its image is kept");
}

#[tokio::test]
async fn one_that_never_answers_is_given_up_for_now_and_says_why() {
    let outside = Outside::new();
    let script = Script { start: Start::Exits(1), ..Script::exits(1, &["no space left on device"]) };
    add_postgres(&outside, script);
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    for _ in 0..6 {
        rounds(&control).await;
        later(&control, 60).await;
    }
    assert_eq!(row(&control, id).await.shown_state(), "failed");
    assert!(
        waiting(&control, id).await.starts_with("it never answered: it ended with code 1; tried again at ")
    );
    let story = story(&control).await;
    assert!(
        story.contains(
            &"database db task 1 ended by itself; its last line: no space left on device".to_owned()
        )
    );
    // Somebody made room.
    add_postgres(&outside, server(0));
    later(&control, 600).await;
    assert_eq!(row(&control, id).await.shown_state(), "ready");
    assert!(outside.engine.volume_overlaps().is_empty());
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_said_at_once() {
    let outside = Outside::new();
    let error = EngineError::not_found("image", "postgres:16");
    outside.engine.name_image(&"postgres:16".parse().unwrap(), Err(error));
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    rounds(&control).await;
    let found = row(&control, id).await;
    assert_eq!(found.shown_state(), "failed");
    assert_eq!(
        story(&control).await.last().unwrap(),
        "database db failed: it could not be started: image `postgres:16` does not exist"
    );
}

#[tokio::test]
async fn a_change_stops_one_server_before_the_next_one_starts() {
    let outside = Outside::new();
    add_postgres(&outside, server(0));
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    rounds(&control).await;
    apply(&control, json!({"memory": "1GB"})).await;
    rounds(&control).await;
    let found = row(&control, id).await;
    assert_eq!((found.task, found.started_revision, found.shown_state()), (2, 2, "ready"));
    let spec = outside.engine.task_spec("havre-m1-2-db-production-dropit").unwrap();
    assert!(spec.command.unwrap().words().contains(&"shared_buffers=262144kB".to_owned()));
    assert_eq!(tasks(&outside).await.len(), 1);
    assert!(outside.engine.volume_overlaps().is_empty());
}

#[tokio::test]
async fn a_role_goes_with_its_service_and_the_data_with_the_database() {
    let outside = Outside::new();
    add_postgres(&outside, server(0));
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    let service: ServiceId = control.apply(user()).await;
    rounds(&control).await;
    control.build(service).await;
    control.settle().await;
    let now = control.world.now();
    let destroy = control.world.store.write(now, Actor::Local, move |tx| {
        tx.request_destroy(service, now)?;
        tx.request_database_destroy(id, now)
    });
    destroy.await.unwrap();
    rounds(&control).await;
    assert_eq!(waiting(&control, id).await, "waits for services that use it to be gone: api");
    assert_eq!(tasks(&outside).await.len(), 1, "requests in flight may still need it");
    control.settle().await;
    later(&control, 20).await;
    assert_eq!(tasks(&outside).await.len(), 0);
    assert_eq!(outside.engine.volume_names(), Vec::<String>::new());
    let left =
        control.world.store.read(|view| Ok((view.list_databases()?.len(), view.list_environments()?.len())));
    assert_eq!(left.await.unwrap(), (0, 0));
    assert!(!outside.engine.network_names().contains(&"havre-e1".to_owned()));
}

#[tokio::test]
async fn a_dead_engine_changes_nothing() {
    let outside = Outside::new();
    add_postgres(&outside, server(0));
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    rounds(&control).await;
    outside.engine.set_reachable(false);
    later(&control, 60).await;
    assert_eq!(row(&control, id).await.state.name(), "ready");
    outside.engine.set_reachable(true);
    later(&control, 60).await;
    assert_eq!((row(&control, id).await.task, tasks(&outside).await.len()), (1, 1));
}

#[tokio::test]
async fn a_new_password_has_no_gap() {
    let outside = Outside::new();
    add_postgres(&outside, server(0));
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    let service = control.apply(user()).await;
    rounds(&control).await;
    control.build(service).await;
    control.settle().await;
    let database = row(&control, id).await;
    let rotate = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        tx.add_database_role(&database, &"api".parse().unwrap()).map(|_| ())
    });
    rotate.await.unwrap();
    later(&control, 20).await;
    let users = async || {
        let found = variables(&outside).await.into_iter().map(|env| env["PGUSER"].clone());
        found.collect::<std::collections::BTreeSet<String>>().into_iter().collect::<Vec<String>>()
    };
    assert_eq!(users().await, ["api_a"], "until it is deployed again");
    outside.clock.advance(Span::seconds(5).duration());
    control.settle().await;
    assert_eq!(users().await, ["api_b"]);
    later(&control, 20).await;
    let roles = control.world.store.read(move |view| view.list_database_roles(id)).await.unwrap();
    let roles: Vec<String> = roles.iter().map(|role| role.name.to_string()).collect();
    assert_eq!(roles, ["api_b"], "the old one is locked once no task of before is left");
}
