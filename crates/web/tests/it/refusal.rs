//! Bad requests: each gets its status, its stable code and a text that says the rule.

use axum::body::Body;
use serde_json::{Value, json};

use crate::world::{ENVIRONMENT, World, read, send, site, tasks};

#[tokio::test]
async fn names_and_paths() {
    let world = World::new();
    world.apply(&[tasks("api", "api.example"), site("web", "web.example")]).await;
    let long = "a".repeat(64);
    let rule =
        "1 to 32 of the characters a-z, 0-9 and -, starting with a letter, not ending with - and without --";
    let cases = [
        ("GET", format!("{ENVIRONMENT}/services/{long}"), 400, "name_invalid",
            format!("`{}` is not a valid service name: {rule}", &long[..48])),
        ("GET", format!("{ENVIRONMENT}/services/a;$(id)"), 400, "name_invalid",
            format!("`a;$(id)` is not a valid service name: {rule}")),
        ("GET", format!("{ENVIRONMENT}/services/..%2f..%2fetc"), 400, "name_invalid",
            format!("`../../etc` is not a valid service name: {rule}")),
        ("GET", "/v1/projects/Drop/environments/production".to_owned(), 400, "name_invalid",
            format!("`Drop` is not a valid project name: {rule}")),
        ("GET", "/v1/builds/7".to_owned(), 400, "name_invalid",
            "`7` is not a build id: expected `b` and a number, such as `b12`".to_owned()),
        ("GET", "/v1/deployments/d999".to_owned(), 404, "deployment_not_found", "there is no deployment d999".to_owned()),
        ("GET", format!("{ENVIRONMENT}/services/apu"), 404, "service_not_found",
            "there is no service `apu` in dropit/production; did you mean `api`?".to_owned()),
        ("GET", format!("{ENVIRONMENT}/services/database"), 404, "service_not_found",
            "there is no service `database` in dropit/production".to_owned()),
        ("GET", "/v1/projects/dropit/environments/productoin/services/api".to_owned(), 404, "environment_not_found",
            "there is no environment `dropit/productoin`; did you mean `dropit/production`?".to_owned()),
        ("GET", "/v1/nothing".to_owned(), 404, "path_not_found", "there is no `/v1/nothing`".to_owned()),
        ("PATCH", "/v1/projects".to_owned(), 405, "method_not_allowed",
            "this path does not know the method PATCH".to_owned()),
        ("GET", "/v1/events?folow=true".to_owned(), 400, "query_invalid",
            "the query is wrong: Failed to deserialize query string: folow: unknown field `folow`, expected one of \
             `after`, `follow`, `service`, `limit`".to_owned()),
        ("GET", format!("{ENVIRONMENT}/services/api/logs?since=yesterday"), 400, "query_invalid",
            "the query is wrong: Failed to deserialize query string: since: `yesterday` is not an instant such as \
             2026-11-24T10:00:00Z".to_owned()),
        ("GET", format!("{ENVIRONMENT}/services/api/releases?limit=0"), 400, "query_invalid",
            "the limit 0 is not between 1 and 1000".to_owned()),
        ("GET", "/v1/events?service=api".to_owned(), 400, "query_invalid",
            "a service is named as project/environment/service, or by its row such as s2".to_owned()),
        ("POST", format!("{ENVIRONMENT}/services/web/restart"), 409, "nothing_live",
            "dropit/production/web has no live release yet".to_owned()),
        ("POST", format!("{ENVIRONMENT}/services/api/rollback"), 409, "nothing_live",
            "dropit/production/api has no live release yet".to_owned()),
    ];
    for (method, path, status, code, message) in cases {
        let (got, body) = world.ask(method, &path, Value::Null).await;
        assert_eq!(
            (got, &body["code"], &body["message"]),
            (status, &json!(code), &json!(message)),
            "{method} {path}"
        );
        assert!(body["hint"].is_string(), "{method} {path}");
    }
    let (_, body) = world.get(&format!("{ENVIRONMENT}/services/database")).await;
    assert_eq!(body["hint"], "its services are: api, web");
    let response = send(&world.local, "PATCH", "/v1/projects", &[], Body::empty()).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD");
}

#[tokio::test]
async fn bodies() {
    let world = World::new();
    let mut misspelt = site("web", "web.example");
    misspelt["work"]["spaa"] = json!(true);
    let mut host = site("web", "web.example");
    host["routes"][0]["host"] = json!("*.example");
    let cases = [
        ("{".to_owned(), "the request body is wrong: EOF while parsing an object at line 1 column 1".to_owned()),
        (String::new(), "the request body is wrong: missing field `services` at line 1 column 2".to_owned()),
        (json!({ "services": [], "dryrun": true }).to_string(),
            "the request body is wrong: unknown field `dryrun`, expected one of `services`, `databases`, `dry_run`, `prune` at line \
             1 column 9".to_owned()),
        (json!({ "services": [misspelt] }).to_string(), "unknown field `spaa`".to_owned()),
        (json!({ "services": [host] }).to_string(), "`*.example` is not a valid host".to_owned()),
    ];
    for (body, message) in cases {
        let response = send(&world.local, "PUT", ENVIRONMENT, &[], body.clone().into()).await;
        let (status, answer) = read(response).await;
        assert_eq!((status, &answer["code"]), (400, &json!("body_invalid")), "{body}");
        let text = answer["message"].as_str().expect("text");
        assert!(text.contains(&message), "{body}: {text}");
    }
    let large = vec![b' '; 1024 * 1024 + 1];
    let announced = [("content-length", "1048577")];
    for headers in [&[][..], &announced[..]] {
        let response = send(&world.local, "PUT", ENVIRONMENT, headers, large.clone().into()).await;
        let (status, answer) = read(response).await;
        assert_eq!(
            (status, answer),
            (
                413,
                json!({ "code": "body_too_large", "message": "the request body is over 1048576 bytes", "hint": "" })
            )
        );
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered() {
    let limits =
        havre_web::Limits { request_timeout: std::time::Duration::from_millis(50), ..Default::default() };
    let world = World::with(limits);
    let (_open, receiver) = tokio::sync::mpsc::channel::<Result<axum::body::Bytes, std::io::Error>>(1);
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let (status, answer) =
        read(crate::world::soon(send(&world.local, "PUT", ENVIRONMENT, &[], body)).await).await;
    assert_eq!(
        (status, answer),
        (
            504,
            json!({
                "code": "timeout",
                "message": "the server did not answer in time; what was asked for may still happen",
                "hint": "look at the state before you repeat the request",
            })
        )
    );
}
