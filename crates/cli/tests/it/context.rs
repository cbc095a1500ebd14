//! `havre context`: servers are remembered in a file nobody else may read.

use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::world::{Fake, Run};

async fn run(fake: &Fake, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = fake.command(arguments);
    command.env_remove("HAVRE_SOCKET").stdin(Stdio::piped());
    let mut run = Run::new(command, fake.folder.path());
    let mut stdin = run.child.stdin.take().expect("is piped");
    // A command that reads nothing may be gone already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    run.end().await
}

#[tokio::test]
async fn add_use_list_remove() {
    let fake = Fake::start().await;
    let socket = fake.socket().display().to_string();
    let (code, _, stderr) = run(&fake, &["context", "add", "here", "--socket", &socket], "").await;
    assert_eq!((code, stderr.as_str()), (0, "added here (FOLDER/control.sock), in use from now on"));
    let added = ["context", "add", "far", "--url", "http://127.0.0.1:7080"];
    let (code, _, stderr) = run(&fake, &added, "havre_secret\n").await;
    assert_eq!((code, stderr.as_str()), (0, "added far (http://127.0.0.1:7080)"));

    let file = fake.folder.path().join(".config/havre/contexts.toml");
    assert_eq!(std::fs::metadata(&file).expect("is there").mode() & 0o777, 0o600);
    let (code, stdout, _) = run(&fake, &["context", "list", "--json"], "").await;
    let shown: serde_json::Value = serde_json::from_str(&stdout).expect("is JSON");
    let far =
        json!({"name": "far", "address": "http://127.0.0.1:7080", "has_token": true, "is_current": false});
    let here =
        json!({"name": "here", "address": "FOLDER/control.sock", "has_token": false, "is_current": true});
    assert_eq!((code, shown), (0, json!({"contexts": [far, here]})));

    // The context in use is the one that is asked.
    fake.answer("GET /v1/projects", 200, json!({"projects": []}));
    let (code, _, stderr) = run(&fake, &["status", "--all"], "").await;
    assert_eq!(code, 0, "{stderr}");
    let (code, _, _) = run(&fake, &["context", "use", "far"], "").await;
    assert_eq!(code, 0);
    let (code, _, stderr) = run(&fake, &["status", "--all", "--context", "nope"], "").await;
    assert_eq!((code, stderr.as_str()), (2, "error: there is no context `nope`\n  there are: far, here"));
    let (code, _, _) = run(&fake, &["context", "remove", "far"], "").await;
    assert_eq!(code, 0);
    assert!(!std::fs::read_to_string(&file).expect("is there").contains("secret"));
}

#[tokio::test]
async fn what_cannot_be_used_is_not_added() {
    let fake = Fake::start().await;
    for (arguments, input) in [
        (&["context", "add", "far", "--url", "http://127.0.0.1:7080"][..], ""),
        (&["context", "add", "far", "--url", "https://node.example"], "havre_secret"),
        (&["context", "add", "far", "--url", "http://node.example"], "havre_secret"),
        (&["context", "add", "far"], ""),
        (&["context", "add", "../x", "--socket", "/a"], ""),
        (&["context", "use", "nope"], ""),
    ] {
        let (code, _, stderr) = run(&fake, arguments, input).await;
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
    assert!(!fake.folder.path().join(".config").exists());
    let insecure = ["context", "add", "far", "--url", "http://node.example", "--insecure"];
    assert_eq!(run(&fake, &insecure, "havre_secret").await.0, 0);
}
