//! Tables from a view of a request to its verdict, and what changes in answers.

use std::fmt::Write as _;
use std::sync::Arc;

use havre_api::route_table::{Limits, Policy as Wire};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{AnswerView, Around, Policy, Reply, Verdict, View};

pub(super) fn policy(settings: Value) -> Arc<Policy> {
    let wire: Wire = serde_json::from_value(json!({ "settings": settings })).unwrap();
    let around = Around { key: "s1", secret: "secret", limits: &Limits::default() };
    Arc::new(Policy::new(&wire, around, None))
}

/// `METHOD target from address, name: value, ...`, judged and told in one line.
pub(super) fn judge(policy: &Arc<Policy>, request: &str) -> String {
    let mut parts = request.split(", ");
    let words: Vec<&str> = parts.next().unwrap().split(' ').collect();
    let lines: Vec<(&str, &str)> = parts.map(|line| line.split_once(": ").unwrap()).collect();
    let header = |name: &str| lines.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_bytes());
    let client = words.get(3).map_or("192.0.2.1", |client| client).parse().unwrap();
    let view = View {
        method: words[0],
        target: words[1],
        client,
        is_tls: true,
        head_size: 200,
        now: std::time::Duration::from_secs(100),
        is_again: false,
        header: &header,
    };
    let mut text = String::new();
    let pass = match policy.judge(&view) {
        Verdict::Pass(pass) => {
            write!(text, "passes as {}", pass.target.as_deref().unwrap_or("it is")).unwrap();
            pass
        }
        Verdict::Wait(_) => return "waits".to_owned(),
        Verdict::Answer(reply, pass) => {
            write!(text, "{}", reply.status()).unwrap();
            if let Reply::Trouble(trouble, _) = &reply {
                write!(text, " {}", trouble.code()).unwrap();
            }
            reply.lines().iter().for_each(|(name, value)| write!(text, " | {name}: {value}").unwrap());
            pass
        }
    };
    pass.request_lines().for_each(|(name, value)| write!(text, " | > {name}: {value}").unwrap());
    let edits = pass.edit(&AnswerView::own(200));
    edits.lines().for_each(|(name, value)| write!(text, " | < {name}: {value}").unwrap());
    text
}

fn table(settings: Value, requests: &[&str]) -> String {
    let policy = policy(settings);
    requests.iter().map(|request| format!("{request} -> {}\n", judge(&policy, request))).collect()
}

#[test]
fn redirects_and_prefixes() {
    insta::assert_snapshot!(table(
        json!({
            "redirects": [
                { "from": "/old", "to": "/new", "status": 308 },
                { "from": "/blog/*", "to": "https://blog.example/*", "status": 302 },
            ],
            "strip_prefix": "/api",
        }),
        &["GET /old?a=b", "GET /old/x", "GET /blog//evil.example", "GET /api", "GET /api?x", "GET /api/a%2Fb?x",
          "GET /api//b", "GET /apix", "OPTIONS *"],
    ), @r"
    GET /old?a=b -> 308 | Location: /new?a=b
    GET /old/x -> passes as it is
    GET /blog//evil.example -> 302 | Location: https://blog.example/evil.example
    GET /api -> passes as /
    GET /api?x -> passes as /?x
    GET /api/a%2Fb?x -> passes as /a%2Fb?x
    GET /api//b -> passes as //b
    GET /apix -> passes as it is
    OPTIONS * -> passes as it is
    ");
}

#[test]
fn networks_and_lines() {
    insta::assert_snapshot!(table(
        json!({
            "allow": ["192.0.2.0/24", "2001:db8::/32"],
            "deny": ["192.0.2.66"],
            "request_headers": { "set": { "x-env": "prod" }, "remove": ["cookie"] },
            "response_headers": { "add": { "vary": "Cookie" }, "set": { "x-frame-options": "DENY" } },
        }),
        &["GET / from 192.0.2.1", "GET / from 192.0.2.66", "GET / from 198.51.100.1", "GET / from 2001:db8::9",
          "GET / from ::ffff:192.0.2.9"],
    ), @r"
    GET / from 192.0.2.1 -> passes as it is | > x-env: prod | < x-frame-options: DENY | < vary: Cookie
    GET / from 192.0.2.66 -> 403 forbidden | > x-env: prod | < x-frame-options: DENY | < vary: Cookie
    GET / from 198.51.100.1 -> 403 forbidden | > x-env: prod | < x-frame-options: DENY | < vary: Cookie
    GET / from 2001:db8::9 -> passes as it is | > x-env: prod | < x-frame-options: DENY | < vary: Cookie
    GET / from ::ffff:192.0.2.9 -> passes as it is | > x-env: prod | < x-frame-options: DENY | < vary: Cookie
    ");
}

#[test]
fn other_origins() {
    let settings = json!({ "cors": {
        "origins": { "only": ["https://app.example"] },
        "methods": ["GET", "PUT"],
        "headers": ["content-type"],
        "credentials": true,
        "max_age": "10m",
    } });
    insta::assert_snapshot!(table(settings, &[
        "GET / from 192.0.2.1, origin: https://app.example",
        "GET / from 192.0.2.1, origin: https://evil.example",
        "OPTIONS / from 192.0.2.1, origin: https://app.example, access-control-request-method: PUT",
        "OPTIONS / from 192.0.2.1, origin: https://evil.example, access-control-request-method: PUT",
        "OPTIONS / from 192.0.2.1, origin: https://app.example",
    ]), @r"
    GET / from 192.0.2.1, origin: https://app.example -> passes as it is | < Vary: Origin | < Access-Control-Allow-Origin: https://app.example | < Access-Control-Allow-Credentials: true
    GET / from 192.0.2.1, origin: https://evil.example -> passes as it is | < Vary: Origin
    OPTIONS / from 192.0.2.1, origin: https://app.example, access-control-request-method: PUT -> 204 | Access-Control-Allow-Methods: GET, PUT | Access-Control-Max-Age: 600 | Access-Control-Allow-Headers: content-type | < Vary: Origin | < Access-Control-Allow-Origin: https://app.example | < Access-Control-Allow-Credentials: true
    OPTIONS / from 192.0.2.1, origin: https://evil.example, access-control-request-method: PUT -> 204 | < Vary: Origin
    OPTIONS / from 192.0.2.1, origin: https://app.example -> passes as it is | < Vary: Origin | < Access-Control-Allow-Origin: https://app.example | < Access-Control-Allow-Credentials: true
    ");
}

proptest! {
    /// Whatever is asked for and taken off, a task sees a path with its slash, or the very target that was sent.
    #[test]
    fn a_stripped_target_starts_with_a_slash(prefix in "/[a-z/]{0,6}", target in "(/[a-z?/]{0,12})|\\*") {
        prop_assume!(prefix.parse::<havre_core::name::AbsolutePath>().is_ok());
        let policy = policy(json!({ "strip_prefix": prefix }));
        if let Some(target) = policy.strip(&target) {
            prop_assert!(target.starts_with('/'), "{target}");
        }
    }

    /// No configuration that parses can frame a message, name a host, or end a line.
    #[test]
    fn header_edits_never_touch_framing(name in "[a-z-]{1,20}|content-length|transfer-encoding|host|connection|te|upgrade|keep-alive",
        value in "(?s).{0,20}")
    {
        use havre_core::route::settings::text::{HeaderName, HeaderValue};
        if let Ok(name) = name.parse::<HeaderName>() {
            let field = crate::h1::Field::of(name.as_str());
            prop_assert!(!matches!(field, crate::h1::Field::Host | crate::h1::Field::ContentLength
                | crate::h1::Field::TransferEncoding | crate::h1::Field::Connection | crate::h1::Field::Upgrade
                | crate::h1::Field::Dropped | crate::h1::Field::RequestId | crate::h1::Field::Probe
                | crate::h1::Field::Expect), "{name}");
        }
        if let Ok(value) = value.parse::<HeaderValue>() {
            prop_assert!(!value.as_str().contains(['\r', '\n', '\0']));
        }
    }

    /// No request chooses where a redirect leads.
    #[test]
    fn redirects_stay_on_their_host(path in "[/\\\\a-z.:@?]{0,20}") {
        let policy = policy(json!({ "redirects": [{ "from": "/go/*", "to": "/*", "status": 302 }] }));
        let told = judge(&policy, &format!("GET /go/{path}"));
        if let Some(location) = told.strip_prefix("302 | Location: ") {
            prop_assert!(location.starts_with('/') && !location[1..].starts_with(['/', '\\']), "{location}");
        }
    }
}
