//! Promotion: the same artifact by digest, with the configuration of the environment that gets it.

use std::sync::atomic::Ordering;

use havre_core::artifact::Artifact;
use havre_core::deployment::{Kind, state::State};
use havre_core::id::ReleaseId;
use havre_core::release::promotion::PromotedFrom;
use havre_core::service::Place;
use havre_core::time::Timestamp;
use havre_store::NewRelease;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, World, place, site, tasks};

const STAGING: &str = "/v1/projects/dropit/environments/staging";
const PROMOTE: &str = "/v1/projects/dropit/environments/production/promote";

fn digest(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

fn at(environment: &str, service: &str) -> Place {
    Place { environment: environment.parse().expect("is a name"), ..place(service) }
}

/// A service with tasks that names its image.
fn image(name: &str, host: &str) -> Value {
    let mut spec = tasks(name, host);
    spec["work"]["source"] = json!({ "kind": "image", "reference": "postgres:17" });
    spec
}

/// What the loops would do: a release of this artifact, and its deployment with success.
async fn deploy(world: &World, environment: &str, service: &str, letter: &str) -> ReleaseId {
    let place = at(environment, service);
    let now = Timestamp::from_millis(world.clock.load(Ordering::Relaxed));
    let digest = digest(letter).parse().expect("is a digest");
    world
        .write(move |tx| {
            let service = tx.find_service(&place)?.expect("the service is there");
            let artifact = match service.spec.tasks() {
                Some(_) => Artifact::Image { id: digest, pull: None },
                None => Artifact::Site { digest },
            };
            let release = tx.create_release(NewRelease {
                service: service.id,
                artifact,
                spec: service.spec.clone(),
                revision: service.revision,
                build: None,
                commit: format!("commit-of-{}", service.place.environment),
            })?;
            let deployment = tx.create_deployment(service.id, release.id, Kind::Deploy)?;
            tx.go_live(deployment.id, now)?;
            tx.set_deployment_state(deployment.id, &State::Pending, State::Succeeded { at: now })?;
            Ok(release.id)
        })
        .await
}

/// Both environments have `api` and `web`; staging is ahead.
async fn world() -> World {
    let world = World::new();
    let staging =
        json!({ "services": [tasks("api", "api.staging.example"), site("web", "staging.example")] });
    assert_eq!(world.ask("PUT", STAGING, staging).await.0, 200);
    let mut api = tasks("api", "api.dropit.example");
    api["work"]["env"] = json!({ "NODE_ENV": "production", "ONLY": "here" });
    api["work"]["replicas"] = json!(3);
    assert_eq!(world.apply(&[api, site("web", "dropit.example")]).await.0, 200);
    for (environment, service, letter) in [
        ("production", "api", "a"),
        ("production", "web", "c"),
        ("staging", "api", "b"),
        ("staging", "web", "d"),
    ] {
        deploy(&world, environment, service, letter).await;
    }
    world
}

async fn releases(world: &World, service: &str) -> Vec<Value> {
    let (status, body) = world.get(&format!("{ENVIRONMENT}/services/{service}/releases")).await;
    assert_eq!(status, 200, "{body}");
    body["releases"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn production_gets_the_digests_of_staging_and_keeps_its_configuration() {
    let world = world().await;
    let (status, body) = world.ask("POST", PROMOTE, json!({ "from": "staging" })).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(
        (&body["from"], &body["to"], &body["dry_run"]),
        (&json!("staging"), &json!("production"), &json!(false))
    );
    assert_eq!((&body["skipped"], &body["warnings"]), (&json!([]), &json!([])));
    let promoted = body["promoted"].as_array().expect("a list");
    let services: Vec<&Value> = promoted.iter().map(|one| &one["service"]).collect();
    assert_eq!(services, [&json!("api"), &json!("web")]);
    let api = &promoted[0];
    assert_eq!(
        (&api["source"], &api["release"], &api["commit"]),
        (&json!("r3"), &json!("r5"), &json!("commit-of-staging"))
    );
    assert_eq!(api["before"], json!({ "kind": "image", "id": digest("a"), "pull": null }));
    assert_eq!(api["artifact"], json!({ "kind": "image", "id": digest("b"), "pull": null }));
    assert_eq!(
        (&api["deployment"]["kind"], &api["deployment"]["state"]["state"]),
        (&json!("deploy"), &json!("pending"))
    );
    assert_eq!(promoted[1]["artifact"], json!({ "kind": "site", "digest": digest("d") }));

    let release = releases(&world, "api").await.remove(0);
    assert_eq!(release["id"], json!("r5"));
    assert_eq!(release["promoted_from"], json!({ "environment": "staging", "release": "r3" }));
    assert_eq!(release["spec"]["work"]["env"]["ONLY"], json!("here"), "its own variables");
    assert_eq!(release["spec"]["work"]["replicas"], json!(3), "its own size");
    assert_eq!(release["spec"]["routes"][0]["host"], json!("api.dropit.example"), "its own address");
    assert_eq!((&release["build"], &release["commit"]), (&Value::Null, &json!("commit-of-staging")));
    assert!(
        releases(&world, "api").await[1].get("promoted_from").is_none(),
        "the one before was deployed here"
    );

    let events = world.store.read(|view| view.events(0, None, 1000)).await.expect("a read");
    let told: Vec<String> = events.iter().map(|event| event.kind.to_string()).collect();
    assert!(told.contains(&"r5 made of r3 of staging".to_owned()), "{told:?}");

    let (status, again) = world.ask("POST", PROMOTE, json!({ "from": "staging" })).await;
    assert_eq!((status, &again["code"]), (409, &json!("nothing_to_promote")), "{again}");
    assert_eq!(again["details"]["skipped"][0]["reason"], json!("under_way"));
}

#[tokio::test]
async fn a_dry_run_says_what_and_why_not_and_changes_nothing() {
    let world = world().await;
    let only_here = tasks("worker", "worker.staging.example");
    let database = image("db", "db.staging.example");
    let fresh = tasks("fresh", "fresh.staging.example");
    let services = json!({ "services": [only_here, database, fresh] });
    assert_eq!(world.ask("PUT", STAGING, services).await.0, 200);
    let here = [image("db", "db.dropit.example"), tasks("fresh", "fresh.dropit.example")];
    assert_eq!(world.apply(&here).await.0, 200);
    for (environment, service, letter) in [
        ("staging", "worker", "e"),
        ("staging", "db", "e"),
        ("production", "db", "f"),
        ("production", "web", "d"),
    ] {
        deploy(&world, environment, service, letter).await;
    }
    let before = world.store.read(|view| view.last_event()).await.expect("a read");
    let (status, body) = world.ask("POST", PROMOTE, json!({ "from": "staging", "dry_run": true })).await;
    assert_eq!(status, 200, "{body}");
    let expected = json!([{
        "service": "api", "source": "r3", "commit": "commit-of-staging",
        "before": { "kind": "image", "id": digest("a"), "pull": null },
        "artifact": { "kind": "image", "id": digest("b"), "pull": null },
    }]);
    assert_eq!(body["promoted"], expected);
    let skipped: Vec<String> = body["skipped"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            format!("{} {}", one["service"].as_str().expect("text"), one["reason"].as_str().expect("text"))
        })
        .collect();
    let expected =
        ["db builds_from_image", "fresh never_deployed", "web same_already", "worker not_in_target"];
    assert_eq!(skipped, expected);
    assert_eq!(world.store.read(|view| view.last_event()).await.expect("a read"), before);

    // Whoever names a service with an image means it.
    let named = json!({ "from": "staging", "services": ["db"], "dry_run": true });
    let (_, body) = world.ask("POST", PROMOTE, named).await;
    assert_eq!(body["promoted"][0]["service"], json!("db"));
    assert_eq!(body["skipped"], json!([]), "only what was named is spoken of");
}

#[tokio::test]
async fn what_staging_went_back_to_is_promoted() {
    let world = world().await;
    let older = deploy(&world, "staging", "api", "e").await;
    let newer = deploy(&world, "staging", "api", "f").await;
    let now = Timestamp::from_millis(world.clock.load(Ordering::Relaxed));
    world
        .write(move |tx| {
            let service = tx.find_service(&at("staging", "api"))?.expect("the service is there");
            let back = tx.create_deployment(service.id, older, Kind::Rollback)?.id;
            tx.go_live(back, now)?;
            tx.set_deployment_state(back, &State::Pending, State::Succeeded { at: now })?;
            // And somebody deploys once more, which has not succeeded.
            tx.create_deployment(service.id, newer, Kind::Deploy).map(|_| ())
        })
        .await;
    let request = json!({ "from": "staging", "services": ["api"], "dry_run": true });
    let (_, body) = world.ask("POST", PROMOTE, request).await;
    assert_eq!(body["promoted"][0]["source"], json!(older.to_string()));
    let warning = format!("of {newer} is under way in staging; {older} is promoted, the last that succeeded");
    let said = body["warnings"][0].as_str().expect("a warning");
    assert!(said.starts_with("api: d") && said.ends_with(&warning), "{said}");
}

#[tokio::test]
async fn what_cannot_be_promoted_is_refused() {
    let world = world().await;
    for (body, status, code) in [
        (json!({ "from": "production" }), 400, "body_invalid"),
        (json!({}), 400, "body_invalid"),
        (json!({ "from": "stagging" }), 404, "environment_not_found"),
        (json!({ "from": "staging", "services": ["apo"] }), 404, "service_not_found"),
    ] {
        let (found, answer) = world.ask("POST", PROMOTE, body.clone()).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{body}: {answer}");
    }
    let nowhere = "/v1/projects/dropit/environments/nowhere/promote";
    assert_eq!(world.ask("POST", nowhere, json!({ "from": "staging" })).await.0, 404);

    deploy(&world, "production", "api", "b").await;
    deploy(&world, "production", "web", "d").await;
    let (status, answer) = world.ask("POST", PROMOTE, json!({ "from": "staging" })).await;
    assert_eq!((status, &answer["code"]), (409, &json!("nothing_to_promote")));
    let message =
        "there is nothing to promote from staging to production: api: same already; web: same already";
    assert_eq!(answer["message"], json!(message));
}

#[tokio::test]
async fn an_image_that_was_given_up_is_not_promoted() {
    let world = world().await;
    world
        .write(|tx| tx.record_image_removed(digest("b").parse().expect("is a digest"), &[ReleaseId::new(3)]))
        .await;
    let request = json!({ "from": "staging", "services": ["api"] });
    let (status, answer) = world.ask("POST", PROMOTE, request).await;
    assert_eq!((status, &answer["details"]["skipped"][0]["reason"]), (409, &json!("artifact_removed")));
}

#[tokio::test]
async fn a_promotion_can_be_rolled_back() {
    let world = world().await;
    let from =
        PromotedFrom { environment: "staging".parse().expect("is a name"), release: ReleaseId::new(3) };
    let request = json!({ "from": "staging", "services": ["api"] });
    assert_eq!(world.ask("POST", PROMOTE, request).await.0, 202);
    let now = Timestamp::from_millis(world.clock.load(Ordering::Relaxed));
    world
        .write(move |tx| {
            let service = tx.find_service(&place("api"))?.expect("the service is there");
            let open = tx.open_deployments(service.id)?.remove(0);
            assert_eq!(tx.get_release(open.release)?.promoted_from, Some(from));
            tx.go_live(open.id, now)?;
            tx.set_deployment_state(open.id, &State::Pending, State::Succeeded { at: now })
        })
        .await;
    let (status, body) = world.ask("POST", &format!("{ENVIRONMENT}/services/api/rollback"), json!({})).await;
    assert_eq!((status, &body["deployment"]["release"]), (202, &json!("r1")), "{body}");
}
