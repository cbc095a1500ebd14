//! Destroying: nothing goes without its name said twice, and the list of what goes comes first.

use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, World, site, tasks};

fn with_volume() -> Value {
    let mut api = tasks("api", "api.example");
    api["work"]["replicas"] = json!(1);
    api["work"]["volumes"] = json!([{ "name": "uploads", "path": "/uploads" }]);
    api
}

#[tokio::test]
async fn a_service() {
    let world = World::new();
    world.apply(&[with_volume(), site("web", "web.example")]).await;
    let (release, _) = world.deploy("api").await;
    let service = world.service("api").await;
    world.write(move |tx| tx.allocate_task(service.id, release.id, 0, true)).await;
    // The volume of an earlier release exists although today's configuration has none.
    let mut without = with_volume();
    without["work"]["volumes"] = json!([]);
    world.apply(&[without, site("web", "web.example")]).await;
    let path = format!("{ENVIRONMENT}/services/api");
    let gone = |dry_run: bool| {
        json!({
            "dry_run": dry_run,
            "services": [{
                "service": "api", "routes": ["api.example/"], "volumes": ["uploads"], "releases": 1, "tasks": 1,
            }],
        })
    };
    assert_eq!(world.ask("DELETE", &format!("{path}?dry_run=true"), Value::Null).await, (200, gone(true)));
    for query in ["", "?confirm=web", "?confirm=", "?confirm=API"] {
        let (status, body) = world.ask("DELETE", &format!("{path}{query}"), Value::Null).await;
        assert_eq!(
            (status, body),
            (
                400,
                json!({
                    "code": "confirm_missing",
                    "message": "to destroy `api`, its name must be given again",
                    "hint": "look at `?dry_run=true` first, then send `?confirm=api`",
                })
            )
        );
    }
    assert_eq!(world.service("api").await.destroyed_at, None);

    assert_eq!(world.ask("DELETE", &format!("{path}?confirm=api"), Value::Null).await, (202, gone(false)));
    let (_, body) = world.get(&path).await;
    assert_eq!(
        (&body["summary"], &body["destroyed_at"]),
        (&json!("destroying"), &json!("2026-11-24T10:00:00.000Z"))
    );
    let (status, body) = world.ask("POST", &format!("{path}/restart"), Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("being_destroyed")));
    // Its route is free at once.
    let (status, _) = world.apply(&[site("web", "api.example")]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn an_environment() {
    let world = World::new();
    world.apply(&[with_volume(), site("web", "web.example")]).await;
    let (status, body) = world.ask("DELETE", &format!("{ENVIRONMENT}?dry_run=true"), Value::Null).await;
    let names: Vec<&Value> =
        body["services"].as_array().expect("services").iter().map(|s| &s["service"]).collect();
    assert_eq!((status, names), (200, vec![&json!("api"), &json!("web")]));
    let (status, body) = world.ask("DELETE", &format!("{ENVIRONMENT}?confirm=dropit"), Value::Null).await;
    assert_eq!((status, &body["code"]), (400, &json!("confirm_missing")));
    let (status, _) = world.ask("DELETE", &format!("{ENVIRONMENT}?confirm=production"), Value::Null).await;
    assert_eq!(status, 202);
    for name in ["api", "web"] {
        assert!(world.service(name).await.destroyed_at.is_some());
    }
    // What the loops do in the end; then the empty environment can go too.
    let ids = [world.service("api").await.id, world.service("web").await.id];
    world.write(move |tx| ids.into_iter().try_for_each(|id| tx.remove_service(id))).await;
    let (status, body) = world.ask("DELETE", &format!("{ENVIRONMENT}?confirm=production"), Value::Null).await;
    assert_eq!((status, body), (202, json!({ "dry_run": false, "services": [] })));
    assert_eq!(world.get("/v1/projects").await, (200, json!({ "projects": [] })));
}
