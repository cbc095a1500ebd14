//! The cookie that keeps a client with a task: ours is found among others, and none that is not ours is followed.
#![no_main]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use havre_api::route_table::Limits;
use havre_http::policy::{AnswerView, Around, Pass, Policy, Verdict, View};
use libfuzzer_sys::fuzz_target;

fn policy() -> Arc<Policy> {
    let wire = serde_json::json!({ "settings": { "sticky": { "cookie": "havre_task" } } });
    let wire = serde_json::from_value(wire).expect("settings of a route");
    let around = Around { key: "s1", secret: "secret", limits: &Limits::default() };
    Arc::new(Policy::new(&wire, around, None))
}

/// A request with this `Cookie` header.
fn pass(policy: &Arc<Policy>, cookie: Option<&[u8]>) -> Pass {
    let header = |name: &str| if name == "cookie" { cookie } else { None };
    let view = View {
        method: "GET",
        target: "/",
        client: IpAddr::from([192, 0, 2, 1]),
        is_tls: true,
        head_size: 100,
        now: Duration::ZERO,
        is_again: false,
        header: &header,
    };
    match policy.judge(&view) {
        Verdict::Pass(pass) => pass,
        Verdict::Answer(..) | Verdict::Wait(_) => panic!("nothing keeps a request from its target"),
    }
}

/// What a client sends back of the cookie it got with this task.
fn pair(policy: &Arc<Policy>, task: &str) -> String {
    let pass = pass(policy, None);
    pass.picked(task);
    let edits = pass.edit(&AnswerView::own(200));
    let set = edits.lines().find(|(name, _)| *name == "Set-Cookie").map(|(_, value)| value.to_owned());
    let attributes = "; Path=/; HttpOnly; SameSite=Lax; Secure";
    set.and_then(|set| set.strip_suffix(attributes).map(str::to_owned)).expect("a cookie is set")
}

fuzz_target!(|bytes: &[u8]| {
    let policy = policy();
    if let Some(task) = pass(&policy, Some(bytes)).task() {
        let pair = pair(&policy, task).into_bytes();
        assert!(bytes.windows(pair.len()).any(|part| part == pair), "{task} is followed without our cookie");
    }
    // A task in the first line, other cookies in the second.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (task, others) = text.split_once('\n').unwrap_or((text, ""));
    if task.len() > 32 || task.contains(';') || others.contains("havre_task=") {
        return;
    }
    let ours = pair(&policy, task);
    let sent = format!("{others}; {ours}; {others}");
    assert_eq!(pass(&policy, Some(sent.as_bytes())).task(), Some(task));
});
