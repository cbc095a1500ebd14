//! Answers the edge gives itself: pages about trouble, sites, and the release header.

use havre_api::route_table::{Challenge, Route, RouteTable, Target};

use crate::rig::{App, Rig, live};

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn get(host: &str, path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: i\r\n{lines}\r\n")
}

#[test]
fn an_unknown_host_gets_a_page_that_says_so() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    let (head, body) = client.ask(&get("other.example", "/", ""));
    let date = head.split("\r\nDate: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    assert_eq!(
        (head.replace(&format!("Date: {date}\r\n"), ""), body),
        (
            "HTTP/1.1 421 Misdirected Request\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n\
             Havre-Error: unknown-host\r\nContent-Length: 84\r\nX-Request-Id: i\r\n\r\n"
                .to_owned(),
            "421 Misdirected Request\nNo site or service is known here under this name.\nRequest i\n".to_owned()
        )
    );
    let (head, body) = client.ask(&get("other.example", "/", "Accept: text/html,*/*\r\n"));
    assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    assert!(body.starts_with("<!doctype html>\n") && body.contains("<small>Request i</small>"), "{body}");
    client.send(get("other.example", "/", "").replace("GET", "HEAD").as_bytes());
    assert!(client.head().contains("\r\nContent-Length: 84\r\n"));
    assert_eq!(client.ask(&get("app.example", "/", "")).1, "ok");
    assert_eq!(client.ask(&get("APP.Example.", "/", "")).1, "ok");
    let (head, _) = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 421 "), "{head}");
    assert_eq!(rig.shared.metrics.unrouted.get(), 4);
}

#[test]
fn a_challenge_is_answered_before_any_route_and_only_for_its_host() {
    let app = App::answering("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
    let mut table = live(&[app.address]);
    let challenge =
        |host: &str| Challenge { host: host.into(), token: "tok".into(), answer: "tok.key".into() };
    table.challenges = vec![challenge("app.example"), challenge("new.example")];
    let rig = Rig::start(Default::default(), &table);
    let mut client = rig.connect();
    for host in ["app.example", "new.example", "NEW.example"] {
        let (head, body) = client.ask(&get(host, "/.well-known/acme-challenge/tok", ""));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, "tok.key", "{host}");
    }
    for (host, path, status) in [
        ("app.example", "/.well-known/acme-challenge/other", "404"),
        ("app.example", "/.well-known/acme-challenge/tok/", "404"),
        ("other.example", "/.well-known/acme-challenge/tok", "421"),
    ] {
        let (head, _) = client.ask(&get(host, path, ""));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{host}{path}: {head}");
    }
}

#[test]
fn an_unwanted_body_is_read_away_if_it_is_short() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    let head = "POST / HTTP/1.1\r\nHost: other.example\r\n";
    for size in [1, 5000, 60_000] {
        let body = "x".repeat(size);
        let (answer, _) = client.ask(&format!("{head}Content-Length: {size}\r\n\r\n{body}"));
        assert!(answer.starts_with("HTTP/1.1 421 ") && !answer.contains("Connection: close"), "{answer}");
    }
    let (answer, _) = client.ask(&format!("{head}Content-Length: 70000\r\n\r\n{}", "x".repeat(70_000)));
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert_eq!(client.rest(), "");
}

#[test]
fn a_path_without_a_route_is_404() {
    let app = App::ok();
    let mut table = live(&[app.address]);
    table.routes[0].path_prefix = "/api".to_owned();
    let rig = Rig::start(Default::default(), &table);
    let mut client = rig.connect();
    assert_eq!(client.ask(&get("app.example", "/api/x?y", "")).1, "ok");
    let (head, _) = client.ask(&get("app.example", "/apix", ""));
    assert!(
        head.starts_with("HTTP/1.1 404 ") && head.contains("\r\nHavre-Error: unknown-path\r\n"),
        "{head}"
    );
}

#[test]
fn ids_are_kept_when_harmless_and_made_otherwise() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    let id_of = |head: &str| {
        head.split("\r\nX-Request-Id: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned()
    };
    let mut made = std::collections::HashSet::new();
    for sent in ["", "a b", "a\"b", "<x>", &"x".repeat(65)] {
        let (head, _) =
            client.ask(&format!("GET / HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: {sent}\r\n\r\n"));
        let id = id_of(&head);
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(id, id_of(app.seen().last().unwrap()));
        assert!(made.insert(id));
    }
    let kept = "A.b_c-9".repeat(9);
    let (head, _) =
        client.ask(&format!("GET / HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: {kept}\r\n\r\n"));
    assert_eq!((id_of(&head), id_of(app.seen().last().unwrap())), (kept.clone(), kept));
}

#[test]
fn the_release_is_shown_to_those_who_may_see_it() {
    let app = App::ok();
    let mut table = live(&[app.address]);
    table.services.get_mut("api").unwrap().expose_release = false;
    let rig = Rig::start(Default::default(), &table);
    let mut client = rig.connect();
    for (line, is_shown) in [
        ("", false),
        ("Havre-Probe: guess\r\n", false),
        ("Havre-Probe: kez\r\n", false),
        ("Havre-Probe: key\r\n", true),
    ] {
        let (head, _) = client.ask(&get("app.example", "/", line));
        assert_eq!(head.contains("\r\nHavre-Release: r1\r\n"), is_shown, "{line}: {head}");
    }
    assert!(!app.seen().concat().contains("Havre-Probe"));
    table.generation = 2;
    table.probe_key = String::new();
    rig.publish(&table);
    let (head, _) = client.ask(&get("app.example", "/", "Havre-Probe:\r\n"));
    assert!(!head.contains("Havre-Release"), "{head}");
}

fn site_table(table: RouteTable) -> RouteTable {
    let target = Target::Site {
        digest: DIGEST.to_owned(),
        release: "r4".to_owned(),
        spa: false,
        expose_release: true,
        base: None,
        clean_urls: Default::default(),
        trailing_slash: Default::default(),
        cdn: None,
        earlier: Vec::new(),
    };
    let route = Route {
        host: "web.example".to_owned(),
        path_prefix: "/".to_owned(),
        target,
        policy: None,
        is_counted: false,
    };
    RouteTable { routes: vec![route], ..table }
}

#[test]
fn files_of_a_site_are_sent_whole_and_in_parts() {
    let app = App::ok();
    let rig = Rig::start(Default::default(), &site_table(live(&[app.address])));
    let folder = rig.sites.path().join(DIGEST);
    std::fs::create_dir(&folder).unwrap();
    let big: String =
        (0..700_000).map(|index| char::from(b'a' + u8::try_from(index % 23).unwrap())).collect();
    for (name, text) in [("index.html", "<p>hi"), ("app-a1b2c3d4.js", &big[..9000]), ("big.txt", &big)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let mut client = rig.connect();
    let (head, body) = client.ask(&get("web.example", "/", ""));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nETag: \""), "{head}");
    assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("\r\nHavre-Release: r4\r\nX-Request-Id: i\r\n"), "{head}");
    assert_eq!(body, "<p>hi");
    assert!(client.ask(&get("web.example", "/app-a1b2c3d4.js", "")).1 == big[..9000]);
    assert!(client.ask(&get("web.example", "/big.txt", "")).1 == big);
    let (head, body) = client.ask(&get("web.example", "/big.txt", "Range: bytes=100000-499999\r\n"));
    assert!(head.starts_with("HTTP/1.1 206 Partial Content\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Range: bytes 100000-499999/700000\r\n"), "{head}");
    assert!(body == big[100_000..500_000]);
    client.send(get("web.example", "/big.txt", "").replace("GET", "HEAD").as_bytes());
    assert!(client.head().contains("\r\nContent-Length: 700000\r\n"));
    let (head, _) = client.ask(&get("web.example", "/none", ""));
    assert!(
        head.starts_with("HTTP/1.1 404 ") && head.contains("\r\nHavre-Error: no-such-file\r\n"),
        "{head}"
    );
    let (head, _) = client.ask(&get("web.example", "/", "").replace("GET", "DELETE"));
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}");
    assert_eq!(client.ask(&get("web.example", "/", "")).1, "<p>hi");
}

#[test]
fn a_client_that_does_not_take_its_file_does_not_stop_others() {
    let app = App::ok();
    let rig = Rig::start(crate::rig::short_limits(), &site_table(live(&[app.address])));
    let folder = rig.sites.path().join(DIGEST);
    std::fs::create_dir(&folder).unwrap();
    std::fs::File::create(folder.join("huge.bin")).unwrap().set_len(100_000_000).unwrap();
    std::fs::write(folder.join("index.html"), "<p>hi").unwrap();
    let mut stuck = rig.connect();
    stuck.send(get("web.example", "/huge.bin", "").as_bytes());
    stuck.head();
    assert_eq!(rig.connect().ask(&get("web.example", "/", "")).1, "<p>hi");
    crate::rig::eventually("the stuck client is cut", || rig.shared.metrics.connections.get() == 0);
    assert!(stuck.rest().len() < 100_000_000);
}
