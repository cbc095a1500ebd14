//! Scaling.

use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, World, site, tasks};

#[tokio::test]
async fn scale() {
    let world = World::new();
    world.apply(&[tasks("api", "api.example"), site("web", "web.example")]).await;
    world.deploy("api").await;
    let path = format!("{ENVIRONMENT}/services/api/scale");
    let answer = |dry_run: bool| {
        json!({
            "dry_run": dry_run, "from": 2, "to": 5,
            "warnings": ["havre.toml says 2; a deployment that changes that number there replaces this one"],
        })
    };
    assert_eq!(
        world.ask("POST", &path, json!({ "replicas": 5, "dry_run": true })).await,
        (200, answer(true))
    );
    assert_eq!(world.service("api").await.replicas, 2);
    assert_eq!(world.ask("POST", &path, json!({ "replicas": 5 })).await, (202, answer(false)));
    assert_eq!(world.service("api").await.replicas, 5);

    let cases: [(&str, Value, u16, &str); 4] = [
        ("api", json!({ "replicas": 51 }), 422, "spec_invalid"),
        ("api", json!({ "replicas": -1 }), 400, "body_invalid"),
        ("api", json!({}), 400, "body_invalid"),
        ("web", json!({ "replicas": 1 }), 409, "not_scalable"),
    ];
    for (name, body, status, code) in cases {
        let (got, answer) = world.ask("POST", &format!("{ENVIRONMENT}/services/{name}/scale"), body).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{name}");
    }
    let (_, answer) = world.ask("POST", &path, json!({ "replicas": 0 })).await;
    assert_eq!(answer["warnings"][0], "no task is left: its routes answer 503 until it is scaled up again");
}

#[tokio::test]
async fn a_volume_has_one_writer() {
    let world = World::new();
    let mut api = tasks("api", "api.example");
    api["work"]["replicas"] = json!(1);
    api["work"]["volumes"] = json!([{ "name": "data", "path": "/data" }]);
    world.apply(&[api]).await;
    let path = format!("{ENVIRONMENT}/services/api/scale");
    let (status, body) = world.ask("POST", &path, json!({ "replicas": 2 })).await;
    assert_eq!(
        (status, body),
        (
            409,
            json!({
                "code": "not_scalable",
                "message": "dropit/production/api has a volume: two tasks would write to it at once",
                "hint": "it can have one task, or none",
            })
        )
    );
}

#[tokio::test]
async fn maintenance_shows_its_secret_once() {
    let world = World::new();
    world.apply(&[tasks("api", "api.example"), site("web", "web.example")]).await;
    for name in ["api", "web"] {
        let path = format!("{ENVIRONMENT}/services/{name}/maintenance");
        let (status, on) = world.ask("POST", &path, json!({ "on": true })).await;
        assert_eq!((status, &on["was_on"], &on["on"]), (200, &json!(false), &json!(true)));
        let secret = on["bypass"].as_str().expect("a secret").to_owned();
        assert_eq!(secret.len(), 32);
        let service = world.service(name).await;
        let kept = service.maintenance.expect("it is on");
        assert!(!format!("{kept:?}").contains(&secret));
        let (_, state) = world.ask("GET", &format!("{ENVIRONMENT}/services/{name}"), Value::Null).await;
        assert!(state["maintenance_since"].is_string() && !state.to_string().contains(&secret), "{state}");
        let (status, off) = world.ask("POST", &path, json!({ "on": false })).await;
        assert_eq!((status, off), (200, json!({ "was_on": true, "on": false, "bypass": null })));
        assert_eq!(world.service(name).await.maintenance, None);
    }
}
