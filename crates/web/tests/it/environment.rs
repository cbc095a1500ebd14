//! Applying, reading and planning a whole environment.

use havre_core::route::{Checks, EdgeView, Health, UpstreamView};
use havre_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, START, World, site, tasks};

async fn event_texts(world: &World) -> Vec<String> {
    let events = world.store.read(|view| view.events(0, None, 1000)).await.expect("events");
    events.iter().map(|event| event.kind.to_string()).collect()
}

#[tokio::test]
async fn first_apply_then_status() {
    let world = World::new();
    let services = [tasks("api", "api.dropit.example"), site("web", "dropit.example")];
    let (status, applied) = world.apply(&services).await;
    assert_eq!(
        (status, applied),
        (
            200,
            json!({
                "dry_run": false,
                "changes": [
                    { "service": "api", "action": "created", "revision": 1, "needs_deployment": true },
                    { "service": "web", "action": "created", "revision": 1, "needs_deployment": true },
                ],
                "warnings": [],
            })
        )
    );
    assert_eq!(
        world.get("/v1/projects").await,
        (200, json!({ "projects": [{ "name": "dropit", "environments": ["production"] }] }))
    );
    let (status, body) = world.get(ENVIRONMENT).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("status_before_the_first_deployment", body);

    let (status, again) = world.apply(&services).await;
    assert_eq!(status, 200);
    let actions: Vec<&Value> =
        again["changes"].as_array().expect("changes").iter().map(|c| &c["action"]).collect();
    assert_eq!(actions, ["unchanged", "unchanged"]);
    assert_eq!(event_texts(&world).await, ["service created", "service created"]);
}

#[tokio::test]
async fn status_of_a_live_service() {
    let world = World::new();
    world.apply(&[tasks("api", "api.dropit.example")]).await;
    let (release, _) = world.deploy("api").await;
    let service = world.service("api").await;
    let task = world.write(move |tx| {
        tx.set_waiting("service", service.id.row(), "t2 is not healthy yet")?;
        let task = tx.allocate_task(service.id, release.id, 0, true)?;
        tx.allocate_task(service.id, release.id, 1, true)?;
        tx.prove_task(task.id)?;
        tx.create_build(service.id, service.spec.clone(), 1, "def456".to_owned())?;
        Ok(task)
    });
    let task = task.await;
    let upstream =
        |health| UpstreamView { health, checks: Checks::Passed, in_flight: 3, requests: 10, errors: 0 };
    let edge = |name: &str, at, health| EdgeView {
        edge: name.to_owned(),
        instance: "i1".to_owned(),
        generation: 1,
        listeners: vec!["127.0.0.1:80".parse().expect("an address")],
        https: Vec::new(),
        at: Timestamp::from_millis(at),
        upstreams: [(task.id, upstream(health))].into(),
    };
    world.store.record_edge_report(edge("a", START, Health::Healthy));
    // Too old to count.
    world.store.record_edge_report(edge("b", START - 60_000, Health::Unhealthy { reason: "old".to_owned() }));
    let (status, body) = world.get(&format!("{ENVIRONMENT}/services/api")).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("status_of_a_live_service", body);

    world.store.record_edge_report(edge("c", START, Health::Unhealthy { reason: "answered 500".to_owned() }));
    let (_, body) = world.get(&format!("{ENVIRONMENT}/services/api")).await;
    assert_eq!(body["summary"], "down");
    assert_eq!(body["tasks"][0]["health"], json!({ "state": "unhealthy", "reason": "answered 500" }));
    assert_eq!(body["tasks"][0]["in_flight"], 6);
}

#[tokio::test]
async fn a_refused_apply_changes_nothing() {
    let world = World::new();
    world
        .ask(
            "PUT",
            "/v1/projects/other/environments/production",
            json!({ "services": [site("blog", "taken.example")] }),
        )
        .await;
    let before = event_texts(&world).await;
    let (status, body) =
        world.apply(&[tasks("api", "api.dropit.example"), site("web", "taken.example")]).await;
    assert_eq!(
        (status, body),
        (
            409,
            json!({
                "code": "route_taken",
                "message": "the route taken.example/ belongs to other/production/blog already",
                "hint": "take it away from that service first, or choose another host or path",
                "details": { "route": "taken.example/", "owner": "other/production/blog" },
            })
        )
    );
    assert_eq!(event_texts(&world).await, before);
    let (status, body) = world.get(ENVIRONMENT).await;
    assert_eq!((status, &body["code"]), (404, &json!("environment_not_found")));
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let world = World::new();
    world.apply(&[tasks("api", "api.dropit.example"), site("old", "old.dropit.example")]).await;
    world.deploy("api").await;
    let mut changed = tasks("api", "api2.dropit.example");
    changed["work"]["env"] = json!({ "NODE_ENV": "staging", "SECRET": "planted" });
    changed["work"]["replicas"] = json!(3);
    changed["work"]["checks"] = json!([{ "path": "/", "status": 200, "contains": "" }]);
    changed["work"]["health"]["is_default"] = json!(true);
    let request = |dry_run: bool| json!({ "services": [changed, site("web", "old.dropit.example")], "dry_run": dry_run, "prune": true });
    let before = event_texts(&world).await;
    let (status, planned) = world.ask("PUT", ENVIRONMENT, request(true)).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("dry_run", planned);
    assert!(!planned.to_string().contains("planted"), "values of variables must stay hidden");
    assert_eq!(event_texts(&world).await, before);

    // The route moves from a destroyed service to a new one in the same apply.
    let (status, mut done) = world.ask("PUT", ENVIRONMENT, request(false)).await;
    assert_eq!((status, &done["dry_run"]), (200, &json!(false)));
    done["dry_run"] = json!(true);
    let created = &mut done["changes"][2];
    assert_eq!(created["revision"].take(), 1, "the row of the new service has one");
    created.as_object_mut().expect("a change").remove("revision");
    assert_eq!(done, planned);
}

#[tokio::test]
async fn services_swap_their_routes() {
    let world = World::new();
    world.apply(&[site("a", "a.example"), site("b", "b.example")]).await;
    let (status, body) = world.apply(&[site("a", "b.example"), site("b", "a.example")]).await;
    assert_eq!(status, 200, "{body}");
    let service = world.service("a").await;
    assert_eq!(service.spec.routes[0].host.as_str(), "b.example");
}

#[tokio::test]
async fn not_named_is_kept_and_said() {
    let world = World::new();
    world.apply(&[site("a", "a.example"), site("b", "b.example")]).await;
    let (status, body) = world.apply(&[site("a", "a.example")]).await;
    assert_eq!(
        (status, body),
        (
            200,
            json!({
                "dry_run": false,
                "changes": [
                    { "service": "a", "action": "unchanged", "revision": 1, "needs_deployment": true },
                    { "service": "b", "action": "not_named", "revision": 1, "needs_deployment": false },
                ],
                "warnings": ["b: it exists but is not named here; it stays (prune destroys it)"],
            })
        )
    );
    assert_eq!(world.service("b").await.destroyed_at, None);
    // Its route is still its own.
    let (status, body) = world.apply(&[site("a", "b.example")]).await;
    assert_eq!((status, &body["details"]["owner"]), (409, &json!("dropit/production/b")));
}

#[tokio::test]
async fn only_what_users_see_needs_a_deployment() {
    let world = World::new();
    world.apply(&[tasks("api", "api.example")]).await;
    world.deploy("api").await;
    let mut more = tasks("api", "api.example");
    more["work"]["replicas"] = json!(4);
    let (_, body) = world.apply(&[more.clone()]).await;
    assert_eq!(
        (&body["changes"][0]["action"], &body["changes"][0]["needs_deployment"]),
        (&json!("changed"), &json!(false))
    );
    assert_eq!(world.service("api").await.replicas, 4);
    more["work"]["memory"] = json!("1GB");
    let (_, body) = world.apply(&[more]).await;
    assert_eq!(body["changes"][0]["needs_deployment"], true);
    assert_eq!(
        body["changes"][0]["fields"],
        json!([{ "path": "work.memory", "from": "512MB", "to": "1GB" }])
    );
}

#[tokio::test]
async fn every_broken_rule_is_named() {
    let world = World::new();
    let mut api = tasks("api", "same.example");
    api["version"] = json!(7);
    api["work"]["replicas"] = json!(51);
    api["work"]["volumes"] =
        json!([{ "name": "data", "path": "/data" }, { "name": "data", "path": "/other" }]);
    api["work"]["memory"] = json!("1MB");
    api["work"]["pids"] = json!(0);
    api["work"]["checks"] = json!([{ "path": "/", "status": 99, "contains": "" }]);
    api["work"]["env"] = json!({ "A": "nul\u{0}" });
    let mut worker = tasks("worker", "worker.example");
    worker["work"]["port"] = Value::Null;
    let mut web = site("web", "same.example");
    let second = web.clone();
    web["routes"] = json!([]);
    let (status, body) = world.apply(&[api, worker, web, second]).await;
    assert_eq!((status, &body["code"]), (422, &json!("spec_invalid")));
    assert_eq!(
        body["details"]["broken"],
        json!([
            "api: specification version 7 is unknown, this server knows 1",
            "api: at most 50 replicas",
            "api: a service with a volume has at most one replica: two writers would damage it",
            "api: memory is at least 6MB",
            "api: pids is at least 1",
            "api: the status of a check is between 100 and 599",
            "api: environment variables cannot hold a NUL byte",
            "api: each volume has its own name and its own path",
            "worker: a service with hosts or checks needs a port",
            "web: a site needs at least one host",
            "the service web is named twice",
            "the route same.example/ is claimed by api and by web",
        ])
    );
    let (status, _) = world.get(ENVIRONMENT).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn kinds_do_not_change_and_destroyed_ones_wait() {
    let world = World::new();
    world.apply(&[site("web", "web.example")]).await;
    let (status, body) = world.apply(&[tasks("web", "web.example")]).await;
    assert_eq!((status, &body["code"]), (409, &json!("other_kind")));
    world.ask("DELETE", &format!("{ENVIRONMENT}/services/web?confirm=web"), Value::Null).await;
    let (status, body) = world.apply(&[site("web", "web.example")]).await;
    assert_eq!((status, &body["code"]), (409, &json!("being_destroyed")));
}
