//! Settings of routes on a running edge: bytes in, bytes out, on both sides.

use std::time::{Duration, Instant};

use havre_api::route_table::{Policy, RouteTable, UpstreamRole};
use havre_edge::config::EdgeLimits;
use serde_json::{Value, json};

use crate::rig::{App, Rig, live};
use crate::upstreams::deaf;

/// The table with one policy on its only route.
pub(crate) fn with(mut table: RouteTable, policy: Value) -> RouteTable {
    let policy: Policy = serde_json::from_value(policy).unwrap();
    table.policies.insert("s1".to_owned(), policy);
    table.routes[0].policy = Some("s1".to_owned());
    table
}

fn rig(app: &App, settings: Value) -> Rig {
    Rig::start(EdgeLimits::default(), &with(live(&[app.address]), json!({ "settings": settings })))
}

/// A request for `app.example` with these lines.
fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n")
}

/// Head of an answer without what differs each time.
fn essence(head: &str) -> String {
    head.lines()
        .filter(|line| {
            let is_of_the_moment =
                ["X-Request-Id", "Havre-Release", "Date"].iter().any(|name| line.starts_with(name));
            !is_of_the_moment && !line.is_empty()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn status(answer: &(String, String)) -> &str {
    answer.0.split(' ').nth(1).unwrap()
}

#[test]
fn a_redirect_keeps_the_connection_and_reaches_nobody() {
    let app = App::ok();
    let edge =
        rig(&app, json!({ "redirects": [{ "from": "/*", "to": "https://b.example/*", "status": 308 }] }));
    let mut client = edge.connect();
    for (target, location) in
        [("/a?b=c", "https://b.example/a?b=c"), ("//evil.example", "https://b.example/evil.example")]
    {
        let (head, body) = client.ask(&get(target, ""));
        assert_eq!(
            (essence(&head), body.as_str()),
            (format!("HTTP/1.1 308 Permanent Redirect\nLocation: {location}\nContent-Length: 0"), "")
        );
    }
    // Control sees what is behind it.
    assert_eq!(status(&client.ask(&get("/", "Havre-Probe: key\r\n"))), "200");
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn lines_change_on_both_ways_and_the_prefix_goes() {
    let app = App::answering(
        "HTTP/1.1 200 OK\r\nServer: secret/1\r\nX-Frame-Options: ALLOW\r\nContent-Length: 2\r\n\r\nok",
    );
    let edge = rig(
        &app,
        json!({
            "strip_prefix": "/api",
            "request_headers": { "set": { "x-env": "prod" }, "remove": ["cookie"] },
            "response_headers": { "set": { "x-frame-options": "DENY" }, "remove": ["server"] },
        }),
    );
    let mut client = edge.connect();
    let (head, _) = client.ask(&get("/api/a?b", "X-Env: forged\r\nCookie: a=b\r\nAccept: x\r\n"));
    assert_eq!(essence(&head), "HTTP/1.1 200 OK\nx-frame-options: DENY\nContent-Length: 2");
    let seen = app.seen().remove(0);
    assert!(
        seen.starts_with("GET /a?b HTTP/1.1\r\nHost: app.example\r\nAccept: x\r\nx-env: prod\r\n"),
        "{seen}"
    );
    assert!(!seen.contains("forged") && !seen.contains("Cookie"), "{seen}");
}

#[test]
fn who_may_not_come_is_told_so() {
    let app = App::ok();
    let edge =
        rig(&app, json!({ "deny": ["127.0.0.0/8"], "error_pages": { "pages": { "403": "<p>no</p>" } } }));
    let mut client = edge.connect();
    let (head, body) = client.ask(&get("/", "Accept: text/html\r\n"));
    assert!(
        head.starts_with("HTTP/1.1 403 Forbidden\r\n") && head.contains("\r\nHavre-Error: forbidden\r\n"),
        "{head}"
    );
    assert_eq!(body, "<p>no</p>");
    let (_, body) = client.ask(&get("/", ""));
    assert!(body.starts_with("403 Forbidden\n"), "{body}");
    assert_eq!(app.seen().len(), 0);
}

#[test]
fn only_those_who_are_allowed_come_and_a_denial_is_stronger() {
    let app = App::ok();
    for (settings, expected) in [
        (json!({ "allow": ["127.0.0.0/8"] }), "200"),
        (json!({ "allow": ["192.0.2.0/24", "2001:db8::/32"] }), "403"),
        (json!({ "allow": ["127.0.0.1"], "deny": ["127.0.0.0/8"] }), "403"),
    ] {
        let edge = rig(&app, settings.clone());
        assert_eq!(status(&edge.connect().ask(&get("/", ""))), expected, "{settings}");
    }
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn other_origins_are_told_what_they_may_and_preflights_reach_nobody() {
    let app = App::ok();
    let cors = json!({
        "origins": { "only": ["https://a.example"] },
        "methods": ["GET", "PUT"],
        "headers": ["content-type"],
        "credentials": true,
        "max_age": "10m",
    });
    let edge = rig(&app, json!({ "cors": cors }));
    let mut client = edge.connect();
    let mut preflight = |origin: &str| {
        let lines = format!("Origin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n");
        client.ask(&get("/a", &lines).replace("GET", "OPTIONS"))
    };
    let (head, body) = preflight("https://a.example");
    assert!(head.starts_with("HTTP/1.1 204 ") && body.is_empty(), "{head}");
    for line in [
        "Access-Control-Allow-Origin: https://a.example",
        "Access-Control-Allow-Credentials: true",
        "Access-Control-Allow-Methods: GET, PUT",
        "Access-Control-Allow-Headers: content-type",
        "Access-Control-Max-Age: 600",
        "Vary: Origin",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    let (head, _) = preflight("https://evil.example");
    assert!(head.starts_with("HTTP/1.1 204 ") && !head.contains("Access-Control-"), "{head}");
    assert_eq!(app.seen().len(), 0);
    let (head, body) = client.ask(&get("/a", "Origin: https://a.example\r\n"));
    assert!(head.contains("\r\nAccess-Control-Allow-Origin: https://a.example\r\n"), "{head}");
    assert_eq!(body, "ok");
    let (head, _) = client.ask(&get("/a", "Origin: https://evil.example\r\n"));
    assert!(!head.contains("Access-Control-"), "{head}");
}

#[test]
fn a_rate_limit_by_header_counts_each_value_and_each_address_without_one() {
    let app = App::ok();
    let limit = json!({ "by": { "header": "x-key" }, "requests": 2, "per": "1h", "burst": 2 });
    let edge = rig(&app, json!({ "rate_limits": [limit] }));
    let mut client = edge.connect();
    for lines in ["X-Key: a\r\n", "X-Key: b\r\n", ""] {
        for expected in ["200", "200", "429"] {
            assert_eq!(status(&client.ask(&get("/", lines))), expected, "{lines:?}");
        }
    }
    // On another connection as well.
    assert_eq!(status(&edge.connect().ask(&get("/", "x-key: a\r\n"))), "429");
    assert_eq!(app.seen().len(), 6);
}

#[test]
fn a_rate_limit_survives_a_new_table() {
    let app = App::ok();
    let settings = json!({ "rate_limits": [
        { "by": "client", "requests": 2, "per": "1h", "burst": 2 },
        { "by": { "header": "x-key" }, "requests": 100, "per": "1h", "burst": 100 },
    ] });
    let edge = rig(&app, settings.clone());
    let mut client = edge.connect();
    assert_eq!(status(&client.ask(&get("/", ""))), "200");
    let mut next = with(live(&[app.address]), json!({ "settings": settings }));
    next.generation = 2;
    edge.publish(&next);
    assert_eq!(status(&client.ask(&get("/", "X-Key: a\r\n"))), "200");
    let (head, _) = client.ask(&get("/", ""));
    assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{head}");
    let wait = head.split("\r\nRetry-After: ").nth(1).unwrap().split("\r\n").next().unwrap();
    assert!((1790..=1800).contains(&wait.parse::<u32>().unwrap()), "{wait}");
}

/// A hash that costs next to nothing.
fn hash(password: &str) -> String {
    use argon2::password_hash::PasswordHasher as _;
    let params = argon2::Params::new(8, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash: argon2::password_hash::phc::PasswordHash =
        hasher.hash_password_with_salt(password.as_bytes(), b"some salt of ours").unwrap();
    hash.to_string()
}

#[test]
fn a_password_is_asked_for_checked_and_recognised() {
    let app = App::ok();
    let users = json!({ "ada": hash("open sesame"), "empty": hash("") });
    let edge = rig(&app, json!({ "basic_auth": { "realm": "Staff", "users": users } }));
    let mut client = edge.connect();
    let (head, _) = client.ask(&get("/", ""));
    assert!(head.contains("\r\nWWW-Authenticate: Basic realm=\"Staff\", charset=\"UTF-8\"\r\n"), "{head}");
    let with = |text: &str| get("/", &format!("Authorization: Basic {text}\r\n"));
    let right = with("YWRhOm9wZW4gc2VzYW1l");
    for _ in 0..30 {
        assert_eq!(status(&client.ask(&right)), "200");
    }
    // A wrong password, an unknown name, an unknown name without a password; each is checked once.
    for wrong in ["YWRhOndyb25n", "bm9ib2R5Om9wZW4gc2VzYW1l", "bm9ib2R5Og=="].repeat(5) {
        assert_eq!(status(&client.ask(&with(wrong))), "401", "{wrong}");
    }
    // Four of ten are used up.
    for (number, wrong) in
        ["YTpi", "YTpj", "YTpk", "YTpl", "YTpm", "YTpn", "YTpv", "YTpw"].into_iter().enumerate()
    {
        assert_eq!(status(&client.ask(&with(wrong))), if number < 6 { "401" } else { "429" }, "{number}");
    }
    assert_eq!(status(&client.ask(&right)), "200");
    assert_eq!(app.seen().len(), 31);
}

#[test]
fn limits_of_a_route_take_the_place_of_the_services() {
    let app = App::start(|_, conversation| {
        conversation.request();
        conversation.client.through("never");
    });
    let limits = json!({ "limits": { "body": "1KB", "head": "1KB", "first_byte": "100ms" } });
    let edge =
        Rig::start(crate::rig::short_limits(), &with(live(&[app.address]), json!({ "settings": limits })));
    let post = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1025\r\n\r\n";
    assert!(edge.last_word(post.as_bytes()).starts_with("HTTP/1.1 413 "));
    let long = get("/", &format!("X-Long: {}\r\n", "a".repeat(1024)));
    assert_eq!(status(&edge.connect().ask(&long)), "431");
    assert_eq!(status(&edge.connect().ask(&get("/", ""))), "504");
}

#[test]
fn a_route_waits_for_connections_as_long_as_it_says() {
    let (address, _deaf) = deaf();
    let limits = json!({ "settings": { "limits": { "connect": "100ms" } } });
    let edge = Rig::start(EdgeLimits::default(), &with(live(&[address]), limits));
    let start = Instant::now();
    let (head, _) = edge.connect().ask(&get("/", ""));
    assert!(
        head.starts_with("HTTP/1.1 504 ") && head.contains("\r\nHavre-Error: connect-timeout\r\n"),
        "{head}"
    );
    // A service's own wait is five seconds.
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_request_that_takes_too_long_as_a_whole_is_ended() {
    let app = App::start(|_, conversation| {
        let Some(request) = conversation.request() else { return };
        if request.starts_with("GET /begun ") {
            conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun");
        }
        conversation.client.through("never");
    });
    let total = json!({ "settings": { "limits": { "total": "150ms" } } });
    let edge = Rig::start(crate::rig::short_limits(), &with(live(&[app.address]), total));
    assert_eq!(status(&edge.connect().ask(&get("/silent", ""))), "504");
    let mut client = edge.connect();
    client.send(get("/begun", "").as_bytes());
    let rest = client.rest();
    assert!(rest.ends_with("begun") && client.was_reset, "{rest}");
}

#[test]
fn maintenance_has_a_page_and_a_way_past_it() {
    let app = App::ok();
    // SHA-256 of `letmein`.
    let digest = "1c8bfe8f801d79745c4631d09fff36c82aa37fc4cce4fc946683d7b336b63032";
    let policy = json!({ "settings": { "maintenance": { "page": "<p>soon</p>" } }, "maintenance": digest });
    let edge = Rig::start(EdgeLimits::default(), &with(live(&[app.address]), policy));
    let mut client = edge.connect();
    let (head, body) = client.ask(&get("/", "Accept: text/html\r\n"));
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: 60\r\n"), "{head}");
    assert!(head.contains("\r\nHavre-Error: maintenance\r\n"), "{head}");
    assert_eq!(body, "<p>soon</p>");
    assert_eq!(status(&client.ask(&get("/", "Havre-Bypass: wrong\r\n"))), "503");
    assert_eq!(status(&client.ask(&get("/", "Havre-Bypass: letmein\r\n"))), "200");
    assert_eq!(status(&client.ask(&get("/", "Cookie: a=b; havre_bypass=letmein\r\n"))), "200");
    assert!(app.seen().iter().all(|request| !request.contains("Havre-Bypass")));
}

#[test]
fn requests_are_held_while_an_update_has_no_task() {
    let app = App::ok();
    let paused = |roles: &[UpstreamRole], generation| {
        let mut table = live(&[app.address]);
        table.generation = generation;
        let service = table.services.get_mut("api").unwrap();
        service.is_paused = true;
        service.upstreams[0].role = roles[0];
        table
    };
    let edge = Rig::start(EdgeLimits::default(), &paused(&[UpstreamRole::Standby], 1));
    let mut client = edge.connect();
    client.send(get("/held", "").as_bytes());
    let mut gone = edge.connect();
    gone.send(get("/gone", "").as_bytes());
    drop(gone);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(app.seen().len(), 0);
    edge.publish(&paused(&[UpstreamRole::Live], 2));
    assert_eq!(client.message().unwrap().1, "ok");
    assert_eq!(status(&client.ask(&get("/next", ""))), "200");
    assert!(app.seen().iter().all(|request| !request.contains("/gone")));
    // Where a route does not want it, and where nothing is paused, the answer comes at once.
    let off = with(paused(&[UpstreamRole::Draining], 3), json!({ "settings": { "hold": "0ms" } }));
    edge.publish(&off);
    assert_eq!(status(&client.ask(&get("/", ""))), "503");
}

#[test]
fn a_hold_ends() {
    let app = App::ok();
    let mut table = with(live(&[app.address]), json!({ "settings": { "hold": "300ms" } }));
    let service = table.services.get_mut("api").unwrap();
    service.is_paused = true;
    service.upstreams[0].role = UpstreamRole::Draining;
    let edge = Rig::start(crate::rig::short_limits(), &table);
    let (head, _) = edge.connect().ask(&get("/", ""));
    assert!(head.contains("\r\nHavre-Error: no-healthy-task\r\n"), "{head}");
}

/// An answer with this type and body, its length told.
fn answer(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn answers_that_get_shorter_are_compressed() {
    let long = "hello ".repeat(500);
    let table: [(&str, String, &str, Option<&str>); 8] = [
        ("/json", answer("Content-Type: application/json\r\nETag: \"a\"\r\n", &long), "gzip", Some("gzip")),
        ("/best", answer("Content-Type: text/html\r\n", &long), "gzip, br, zstd", Some("zstd")),
        ("/png", answer("Content-Type: image/png\r\n", &long), "gzip", None),
        ("/tiny", answer("Content-Type: text/html\r\n", "tiny"), "gzip", None),
        ("/done", answer("Content-Type: text/html\r\nContent-Encoding: gzip\r\n", &long), "gzip", None),
        ("/no", answer("Content-Type: text/html\r\nCache-Control: no-transform\r\n", &long), "gzip", None),
        ("/sse", answer("Content-Type: text/event-stream\r\n", &long), "gzip", None),
        ("/plain", answer("Content-Type: text/html\r\n", &long), "identity", None),
    ];
    let answers: Vec<(String, String)> =
        table.iter().map(|(path, answer, _, _)| (format!("GET {path} "), answer.clone())).collect();
    let app = App::start(move |_, conversation| {
        while let Some(request) = conversation.request() {
            let (_, answer) = answers.iter().find(|(start, _)| request.starts_with(start)).unwrap();
            conversation.send(answer);
        }
    });
    let edge = rig(&app, json!({ "compress": true }));
    let mut client = edge.connect();
    for (path, _, accept, coding) in &table {
        let (head, _) = client.ask(&get(path, &format!("Accept-Encoding: {accept}\r\n")));
        let encoding = head.lines().find_map(|line| line.strip_prefix("Content-Encoding: "));
        let wanted = if *path == "/done" { Some("gzip") } else { *coding };
        assert_eq!(encoding, wanted, "{head}");
        assert_eq!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), coding.is_some(), "{head}");
        assert_eq!(head.contains("\r\nContent-Length: "), coding.is_none(), "{head}");
        if *path == "/json" {
            assert!(head.contains("\r\nETag: W/\"a\"\r\n") && !head.contains("\r\nETag: \"a\""), "{head}");
            assert!(head.contains("\r\nVary: Accept-Encoding\r\n"), "{head}");
        }
    }
}

#[test]
fn a_compressed_stream_comes_piece_by_piece_and_is_cut_where_it_is_cut() {
    let app = App::start(|number, conversation| {
        conversation.request();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
        conversation.send(&format!("{head}5\r\nfirst\r\n"));
        if number == 0 {
            conversation.client.through("never");
        }
    });
    let edge = rig(&app, json!({ "compress": true }));
    let mut client = edge.connect();
    client.send(get("/", "Accept-Encoding: gzip\r\n").as_bytes());
    let head = client.head();
    assert!(head.contains("\r\nContent-Encoding: gzip\r\n"), "{head}");
    let size = client.through("\r\n").unwrap();
    assert!(usize::from_str_radix(size.trim_end(), 16).unwrap() > 0, "{size}");
    let mut other = edge.connect();
    other.send(get("/", "Accept-Encoding: gzip\r\n").as_bytes());
    let rest = other.rest();
    assert!(!rest.ends_with("0\r\n\r\n") && other.was_reset, "{rest}");
}

#[test]
fn a_client_stays_with_its_task_until_it_drains() {
    let apps = ["one", "two"].map(|name| App::answering(answer("", name)));
    let addresses: Vec<_> = apps.iter().map(|app| app.address).collect();
    let table = |generation, role| {
        let mut table = with(live(&addresses), json!({ "settings": { "sticky": { "cookie": "seat" } } }));
        table.generation = generation;
        let service = table.services.get_mut("api").unwrap();
        service.upstreams[0].role = role;
        table
    };
    let edge = Rig::start(EdgeLimits::default(), &table(1, UpstreamRole::Live));
    let mut client = edge.connect();
    let cookie_of = |head: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix("Set-Cookie: "))
            .map(|line| line.split(';').next().unwrap().to_owned())
    };
    // Until the first task was given.
    let cookie = loop {
        let (head, body) = client.ask(&get("/", ""));
        let cookie = cookie_of(&head).expect("a cookie for a new client");
        if body == "one" {
            break cookie;
        }
    };
    let lines = format!("Cookie: {cookie}\r\n");
    for _ in 0..10 {
        let (head, body) = client.ask(&get("/", &lines));
        assert_eq!((cookie_of(&head), body.as_str()), (None, "one"));
    }
    let (head, _) = client.ask(&get("/", "Cookie: seat=t1.0000000000000000\r\n"));
    assert!(cookie_of(&head).is_some(), "a forged cookie is not followed: {head}");
    edge.publish(&table(2, UpstreamRole::Draining));
    let (head, body) = client.ask(&get("/", &lines));
    assert!(cookie_of(&head).is_some_and(|new| new != cookie) && body == "two", "{head}");
}

#[test]
fn a_page_takes_the_place_of_what_a_task_answers_where_the_route_wants_it() {
    let app = App::answering("HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\ntrace");
    let edge = rig(&app, json!({ "error_pages": { "pages": { "5xx": "<p>sorry</p>" }, "replace": true } }));
    let mut client = edge.connect();
    let (head, body) = client.ask(&get("/", "Accept: text/html\r\n"));
    assert_eq!((status(&(head, String::new())), body.as_str()), ("500", "<p>sorry</p>"));
    assert_eq!(client.ask(&get("/", "Accept: application/json\r\n")).1, "trace");
}
