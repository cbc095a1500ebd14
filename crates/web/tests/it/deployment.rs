//! Deployments asked for, planned, listed and cancelled.

use havre_core::deployment::state::{FailureReason, State};
use havre_core::id::ReleaseId;
use havre_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, START, World, site, tasks};

fn api() -> String {
    format!("{ENVIRONMENT}/services/api")
}

/// Three releases of `api` that were live one after the other, each with another memory limit.
async fn three_releases() -> World {
    let world = World::new();
    for memory in ["256MB", "512MB", "1GB"] {
        let mut spec = tasks("api", "api.example");
        spec["work"]["memory"] = json!(memory);
        world.apply(&[spec]).await;
        world.deploy("api").await;
    }
    world
}

#[tokio::test]
async fn rollback_goes_to_the_last_good_one_before() {
    let world = three_releases().await;
    let (status, planned) =
        world.ask("POST", &format!("{}/rollback", api()), json!({ "dry_run": true })).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("rollback_plan", planned);
    let (_, list) = world.get(&format!("{}/deployments", api())).await;
    assert_eq!(list["deployments"].as_array().expect("a list").len(), 3, "a dry run records nothing");

    let (status, accepted) = world.ask("POST", &format!("{}/rollback", api()), Value::Null).await;
    assert_eq!(status, 202);
    assert_eq!(accepted["plan"], planned["plan"]);
    assert_eq!(
        accepted["deployment"],
        json!({
            "id": "d4", "service_id": "s1",
            "place": { "project": "dropit", "environment": "production", "service": "api" },
            "release": "r2", "previous": null, "kind": "rollback", "state": { "state": "pending" },
            "is_final": false, "failure": "", "waiting": "", "cancel_requested": false,
            "created_at": "2026-11-24T10:00:00.000Z",
        })
    );
    assert_eq!(world.get("/v1/deployments/d4").await, (200, accepted["deployment"].clone()));

    let (status, body) = world.ask("POST", &format!("{}/rollback", api()), json!({ "release": "r1" })).await;
    assert_eq!((status, &body["deployment"]["release"]), (202, &json!("r1")));
    for (release, status, code) in
        [("r3", 409, "already_live"), ("r9", 404, "release_not_found"), ("7", 400, "body_invalid")]
    {
        let (got, body) =
            world.ask("POST", &format!("{}/rollback", api()), json!({ "release": release })).await;
        assert_eq!((got, &body["code"]), (status, &json!(code)), "{release}");
    }
}

#[tokio::test]
async fn a_release_that_never_succeeded_is_not_the_last_good_one() {
    let world = three_releases().await;
    let service = world.service("api").await;
    let now = Timestamp::from_millis(START);
    // r4 fails, r5 goes live: the last good one before r5 is r3.
    world
        .write(move |tx| {
            let r3 = tx.get_release(service.live.expect("is live"))?;
            let new = |tx: &mut havre_store::Tx<'_>| {
                tx.create_release(havre_store::NewRelease {
                    service: service.id,
                    artifact: r3.artifact.clone(),
                    spec: r3.spec.clone(),
                    revision: 3,
                    build: None,
                    commit: String::new(),
                })
            };
            let r4 = new(tx)?;
            let failed = tx.create_deployment(service.id, r4.id, havre_core::deployment::Kind::Deploy)?;
            let reason = FailureReason::NotPrepared { message: "no space".to_owned() };
            tx.set_deployment_state(failed.id, &State::Pending, State::Failed { at: now, reason })
        })
        .await;
    let mut changed = tasks("api", "api.example");
    changed["expose_release"] = json!(false);
    world.apply(&[changed]).await;
    world.deploy("api").await;
    // r6 is a restart: a copy of r5, which nobody means by going back.
    world.deploy("api").await;
    let (_, body) = world.ask("POST", &format!("{}/rollback", api()), json!({ "dry_run": true })).await;
    assert_eq!((&body["plan"]["from"], &body["plan"]["to"]), (&json!("r6"), &json!("r3")));
    let (_, body) =
        world.ask("POST", &format!("{}/rollback", api()), json!({ "release": "r4", "dry_run": true })).await;
    assert_eq!(body["plan"]["warnings"], json!(["no deployment of r4 has succeeded so far"]));

    let (_, failed) = world.get("/v1/deployments/d4").await;
    assert_eq!(
        (&failed["failure"], &failed["is_final"]),
        (&json!("could not prepare: no space"), &json!(true))
    );
    let (status, releases) = world.get(&format!("{}/releases?limit=3", api())).await;
    let seen: Vec<(&Value, &Value, &Value)> = releases["releases"]
        .as_array()
        .expect("releases")
        .iter()
        .map(|release| (&release["id"], &release["is_live"], &release["has_succeeded"]))
        .collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(
        (status, seen),
        (200, vec![(&json!("r6"), &yes, &yes), (&json!("r5"), &no, &yes), (&json!("r4"), &no, &no)])
    );
}

#[tokio::test]
async fn the_first_release_has_nothing_before_it() {
    let world = World::new();
    world.apply(&[tasks("api", "api.example")]).await;
    world.deploy("api").await;
    let (status, body) = world.ask("POST", &format!("{}/rollback", api()), Value::Null).await;
    assert_eq!(
        (status, body),
        (
            409,
            json!({
                "code": "nothing_to_roll_back_to",
                "message": "dropit/production/api has no other release before r1 that a deployment succeeded with",
                "hint": "name a release: `havre releases` lists them",
            })
        )
    );
}

#[tokio::test]
async fn todays_configuration_on_the_live_artifact() {
    let world = World::new();
    let mut spec = tasks("api", "api.example");
    world.apply(&[spec.clone()]).await;
    world.deploy("api").await;
    let path = format!("{}/deployments", api());
    let wanted = json!({ "source": { "kind": "configuration" } });
    let (status, body) = world.ask("POST", &path, wanted.clone()).await;
    assert_eq!((status, &body["code"]), (409, &json!("already_live")));

    spec["work"]["env"] = json!({ "NODE_ENV": "staging" });
    spec["work"]["checks"] = json!([{ "path": "/ready", "status": 204, "contains": "" }]);
    spec["work"]["bake"] = json!("30s");
    world.apply(&[spec.clone()]).await;
    let (status, body) =
        world.ask("POST", &path, json!({ "source": { "kind": "configuration" }, "dry_run": true })).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("configuration_plan", body);
    let (status, body) = world.ask("POST", &path, wanted.clone()).await;
    assert_eq!(
        (status, &body["deployment"]["release"], &body["plan"]["to"]),
        (202, &json!("r2"), &json!("r2"))
    );
    let (_, releases) = world.get(&format!("{}/releases", api())).await;
    let newest = &releases["releases"][0];
    assert_eq!(newest["artifact"], releases["releases"][1]["artifact"]);
    assert_eq!((&newest["revision"], &newest["spec"]["work"]["bake"]), (&json!(2), &json!("30s")));

    spec["work"]["source"]["dockerfile"] = json!("Other");
    world.apply(&[spec]).await;
    let (status, body) = world.ask("POST", &path, wanted).await;
    assert_eq!((status, &body["code"]), (409, &json!("build_needed")));
}

#[tokio::test]
async fn restart_and_deploy_by_name() {
    let world = three_releases().await;
    let (status, body) = world.ask("POST", &format!("{}/restart", api()), Value::Null).await;
    assert_eq!(
        (status, &body["deployment"]["kind"], &body["deployment"]["release"]),
        (202, &json!("restart"), &json!("r4")),
        "a restart is a copy of r3 with tasks of its own"
    );
    for (release, kind, deployed) in [("r3", "restart", "r5"), ("r1", "rollback", "r1")] {
        let request = json!({ "source": { "kind": "release", "release": release } });
        let (status, body) = world.ask("POST", &format!("{}/deployments", api()), request).await;
        let deployment = &body["deployment"];
        assert_eq!(
            (status, &deployment["kind"], &deployment["release"]),
            (202, &json!(kind), &json!(deployed)),
            "{release}"
        );
    }
    let (_, list) = world.get(&format!("{}/deployments?limit=2", api())).await;
    let ids: Vec<&Value> = list["deployments"].as_array().expect("a list").iter().map(|d| &d["id"]).collect();
    assert_eq!(ids, ["d6", "d5"]);
}

#[tokio::test]
async fn a_recreate_says_what_it_interrupts_and_a_site_cannot_restart() {
    let world = World::new();
    let mut spec = tasks("api", "api.example");
    spec["work"]["replicas"] = json!(1);
    spec["work"]["volumes"] = json!([{ "name": "data", "path": "/data" }]);
    world.apply(&[spec, site("web", "web.example")]).await;
    world.deploy("api").await;
    world.deploy("web").await;
    let (_, body) = world.ask("POST", &format!("{}/restart", api()), json!({ "dry_run": true })).await;
    insta::assert_json_snapshot!("recreate_plan", body["plan"]["steps"]);
    let (status, body) = world.ask("POST", &format!("{ENVIRONMENT}/services/web/restart"), Value::Null).await;
    assert_eq!((status, &body["code"]), (409, &json!("not_scalable")));
}

#[tokio::test]
async fn a_release_whose_image_was_removed_is_not_gone_back_to() {
    let world = three_releases().await;
    let (image, first) = ("ab".repeat(32).parse().expect("a digest"), ReleaseId::new(1));
    world.write(move |tx| tx.record_image_removed(image, &[first])).await;
    let (status, body) = world.ask("POST", &format!("{}/rollback", api()), json!({ "release": "r1" })).await;
    assert_eq!((status, &body["code"]), (409, &json!("build_needed")));
    let message = "the image of r1 is not kept any more: dropit/production/api keeps those of its newest";
    assert_eq!(body["message"], json!(message));
    let (_, list) = world.get(&format!("{}/releases", api())).await;
    assert_eq!(list["releases"][2]["files_removed"], json!(true));
    assert_eq!(list["releases"][1]["files_removed"], Value::Null);
    // Without a name it is passed over.
    let (status, body) = world.ask("POST", &format!("{}/rollback", api()), Value::Null).await;
    assert_eq!((status, &body["deployment"]["release"]), (202, &json!("r2")));
}

#[tokio::test]
async fn a_route_somebody_else_has_now_is_a_warning() {
    let world = World::new();
    world.apply(&[tasks("api", "old.example")]).await;
    world.deploy("api").await;
    world.apply(&[tasks("api", "api.example"), site("web", "old.example")]).await;
    world.deploy("api").await;
    let (_, body) = world.ask("POST", &format!("{}/rollback", api()), json!({ "dry_run": true })).await;
    assert_eq!(
        body["plan"]["warnings"],
        json!(["old.example/ belongs to dropit/production/web today and stays there"])
    );
}

#[tokio::test]
async fn cancel() {
    let world = three_releases().await;
    world.ask("POST", &format!("{}/restart", api()), Value::Null).await;
    for _ in 0..2 {
        let (status, body) = world.ask("POST", "/v1/deployments/d4/cancel", Value::Null).await;
        assert_eq!((status, &body["cancel_requested"]), (202, &json!(true)));
    }
    let (status, body) = world.ask("POST", "/v1/deployments/d1/cancel", Value::Null).await;
    assert_eq!(
        (status, body),
        (
            409,
            json!({
                "code": "already_over",
                "message": "d1 is over already: it is succeeded",
                "hint": "`havre rollback` goes back to an earlier release",
            })
        )
    );
}
