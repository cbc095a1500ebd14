//! Which server is asked, what is sent to it, and the exit code of every kind of refusal.

use insta::assert_snapshot;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::world::{ENVIRONMENT, Fake, Run, talk_as};

const STATUS: [&str; 3] = ["status", "--project", "shop"];

#[tokio::test]
async fn nobody_listens() {
    let mut fake = Fake::start().await;
    fake.kill().await;
    let (code, stdout, stderr) = fake.finish(&STATUS).await;
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert_snapshot!(stderr, @r"
    error: cannot reach FOLDER/control.sock: No such file or directory (os error 2)
      is `havred control` running on this machine? For another one use `havre context add`, HAVRE_URL or HAVRE_SOCKET
    ");
}

#[tokio::test]
async fn refusals_by_kind() {
    let fake = Fake::start().await;
    let body = |code: &str| json!({"code": code, "message": format!("it is {code}"), "hint": "do this"});
    for (status, name, wanted) in [
        (400, "query_invalid", 2),
        (401, "unauthorised", 4),
        (403, "machine_only", 4),
        (404, "environment_not_found", 5),
        (409, "being_destroyed", 5),
        (503, "unavailable", 1),
        (500, "internal", 1),
    ] {
        fake.answer(&format!("GET {ENVIRONMENT}"), status, body(name));
        let (code, stdout, stderr) = fake.finish(&STATUS).await;
        let text = format!("error: it is {name}\n  do this");
        assert_eq!((code, stdout.as_str(), stderr), (wanted, "", text), "{status}");
    }
}

#[tokio::test]
async fn a_foreign_server_is_named_as_such() {
    let fake = Fake::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("has one");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("it connects");
        let mut request = vec![0; 4096];
        let count = stream.read(&mut request).await.expect("it asks");
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n<html";
        stream.write_all(answer.as_bytes()).await.expect("it listens");
        String::from_utf8_lossy(&request[..count]).into_owned()
    });
    let mut command = fake.command(&STATUS);
    command
        .env_remove("HAVRE_SOCKET")
        .env("HAVRE_URL", format!("http://{address}"))
        .env("HAVRE_TOKEN", "havre_x");
    let (code, _, stderr) = Run::new(command, fake.folder.path()).end().await;
    assert_eq!(code, 1);
    assert!(stderr.contains("could not understand the answer of http://127.0.0.1:"), "{stderr}");
    let request = server.await.expect("it ran");
    assert!(request.to_ascii_lowercase().contains("authorization: bearer havre_x\r\n"), "{request}");
}

#[tokio::test]
async fn a_token_over_tcp() {
    let fake = Fake::start().await;
    fake.answer(
        "GET /v1/projects",
        200,
        json!({"projects": [{"name": "shop", "environments": ["production"]}]}),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("has one");
    let mut command = fake.command(&["status", "--all"]);
    command
        .env_remove("HAVRE_SOCKET")
        .env("HAVRE_URL", format!("http://{address}"))
        .env("HAVRE_TOKEN", "havre_x");
    let run = Run::new(command, fake.folder.path());
    let (stream, _) = listener.accept().await.expect("it connects");
    let (_, ended) = tokio::join!(talk_as(stream, &fake), run.end());
    assert_eq!((ended.0, ended.1.as_str()), (0, "PROJECT  ENVIRONMENT\nshop     production\n"));
}

#[tokio::test]
async fn a_token_is_not_shown_to_a_network() {
    let fake = Fake::start().await;
    let mut command = fake.command(&STATUS);
    // TEST-NET-1 (RFC 5737): nobody is there, and nobody must be asked.
    command
        .env_remove("HAVRE_SOCKET")
        .env("HAVRE_URL", "http://192.0.2.1")
        .env("HAVRE_TOKEN", "havre_secret");
    let (code, _, stderr) = Run::new(command, fake.folder.path()).end().await;
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: refused to send the access token to http://192.0.2.1:80: plain http shows it to everybody on the way
      forward the socket over SSH instead:
        ssh -N -L /tmp/havre.sock:/run/havre/control.sock you@server
      and use HAVRE_SOCKET=/tmp/havre.sock; --insecure sends it all the same
    ");
}

#[tokio::test]
async fn wrong_usage_and_wrong_files() {
    let fake = Fake::start().await;
    let (code, _, stderr) = fake.finish(&["plan"]).await;
    assert_eq!(code, 2);
    assert!(stderr.starts_with("error: there is no havre.toml here or in any folder above"), "{stderr}");

    fake.write("havre.toml", "project = \"shop\"\n[services.api]\nimage = \"a\"\nprot = 3000\n");
    let (code, _, stderr) = fake.finish(&["plan"]).await;
    assert_eq!(code, 2);
    assert_snapshot!(stderr, @r"
    error: FOLDER/project/havre.toml has problems

    line 4, column 1: `prot` is not a key of `services.api`
      4 | prot = 3000
        | ^^^^
      did you mean `port`?
    ");

    let (code, _, _) = fake.finish(&["scale", "api", "51", "--project", "shop"]).await;
    assert_eq!(code, 2, "clap refuses what is out of range");
    let (code, _, stderr) = fake.finish(&["status", "--project", "a;$(id)"]).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("is not a valid project name"), "{stderr}");
    assert_eq!(fake.requests(), Vec::<String>::new(), "none of it reached the server");
}

#[tokio::test]
async fn json_is_the_body() {
    let fake = Fake::start().await;
    let body = json!({"releases": []});
    fake.answer(&format!("GET {ENVIRONMENT}/services/api/releases"), 200, body.clone());
    let (code, stdout, _) = fake.finish(&["releases", "api", "--project", "shop", "--json"]).await;
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&stdout).expect("is JSON"), body);
}

#[tokio::test]
async fn destroy_asks_and_never_assumes_a_yes() {
    let fake = Fake::start().await;
    let gone =
        json!({"service": "api", "routes": ["a.example/"], "volumes": ["data"], "releases": 3, "tasks": 1});
    fake.answer(
        &format!("DELETE {ENVIRONMENT}/services/api"),
        200,
        json!({"dry_run": true, "services": [gone]}),
    );
    let (code, stdout, stderr) = fake.finish(&["destroy", "api", "--project", "shop"]).await;
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_snapshot!(stderr, @r"
    - api
        a.example/ stops to answer
        volume data and all data in it is deleted
        3 releases and 1 task go
    error: api of shop/production is destroyed for ever: this needs a yes
      add --yes when nobody can be asked
    ");
    assert_eq!(fake.requests(), [format!("DELETE {ENVIRONMENT}/services/api?dry_run=true")]);

    let (code, _, stderr) = fake.finish(&["destroy", "api", "--project", "shop", "--yes"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(fake.requests().last(), Some(&format!("DELETE {ENVIRONMENT}/services/api?confirm=api")));
}

#[tokio::test]
async fn tokens_are_shown_once_and_revoked() {
    let fake = Fake::start().await;
    fake.answer("POST /v1/tokens", 201, json!({"id": "k1", "name": "ci", "token": "havre_secret"}));
    fake.answer("DELETE /v1/tokens/ci", 204, json!(null));
    let (code, stdout, stderr) = fake.finish(&["token", "create", "ci"]).await;
    assert_eq!((code, stdout.as_str()), (0, "havre_secret\n"));
    assert!(!stderr.contains("secret"), "{stderr}");
    let (code, _, stderr) = fake.finish(&["token", "revoke", "ci"]).await;
    assert_eq!((code, stderr.as_str()), (0, "token ci is revoked"));
}

#[tokio::test]
async fn several_services_must_be_named() {
    let fake = Fake::start().await;
    let status: serde_json::Value = serde_json::from_str(include_str!("data/status.json")).expect("is JSON");
    fake.answer(&format!("GET {ENVIRONMENT}"), 200, status);
    let (code, _, stderr) = fake.finish(&["restart", "--project", "shop"]).await;
    assert_eq!((code, stderr.as_str()), (2, "error: there are several services: name one\n  api, web"));
}

#[tokio::test]
async fn where_users_find_it() {
    let fake = Fake::start().await;
    let status: serde_json::Value = serde_json::from_str(include_str!("data/status.json")).expect("is JSON");
    fake.answer(&format!("GET {ENVIRONMENT}/services/api"), 200, status["services"][0].clone());
    let (code, stdout, _) = fake.finish(&["open", "api", "--project", "shop", "--print"]).await;
    assert_eq!((code, stdout.as_str()), (0, "http://shop.example:8080/api\n"));
}

#[tokio::test]
async fn init_then_plan() {
    let fake = Fake::start().await;
    fake.write("Dockerfile", "FROM node:22\nEXPOSE 8080\n");
    let (code, _, stderr) = fake.finish(&["init"]).await;
    assert_eq!(code, 0, "{stderr}");
    let applied = json!({"dry_run": true, "warnings": [],
        "changes": [{"service": "app", "action": "created", "needs_deployment": true}]});
    fake.answer("PUT /v1/projects/project/environments/staging", 200, applied);
    let (code, _, stderr) = fake.finish(&["plan", "-e", "staging"]).await;
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("havre.toml has no environment `staging`"), "{stderr}");
    let (code, _, stderr) = fake.finish(&["init"]).await;
    assert_eq!(code, 2, "an existing file stays: {stderr}");
}

#[tokio::test]
async fn completions_and_version() {
    let mut fake = Fake::start().await;
    let (code, stdout, _) = fake.finish(&["completions", "bash"]).await;
    assert!(code == 0 && stdout.contains("_havre()"), "{stdout}");
    let (code, stdout, _) = fake.finish(&["version", "--json"]).await;
    let versions: serde_json::Value = serde_json::from_str(&stdout).expect("is JSON");
    assert_eq!((code, versions["server"].as_str()), (0, Some("0.1.0")));
    fake.kill().await;
    let (code, stdout, stderr) = fake.finish(&["version"]).await;
    assert_eq!((code, stdout.lines().count()), (0, 1));
    assert!(stderr.starts_with("server unknown: cannot reach"), "{stderr}");
}
