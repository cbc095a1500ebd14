//! Lines of the access log on a running edge, what they keep of people, and trace context.

use std::path::Path;

use havre_edge::account::settings::{AccessLogConfig, ClientAddress, Format, Mode};
use havre_edge::account::{Account, WriterGuard};
use havre_edge::config::EdgeLimits;

use crate::rig::{App, Rig, live};

/// An edge that logs; the lines are whole once it and the guard are gone.
fn logging(app: &App, folder: &Path, log: AccessLogConfig) -> (Rig, WriterGuard) {
    let (account, guard) = Account::open(log, folder, true).unwrap();
    (Rig::accounting(EdgeLimits::default(), &live(&[app.address]), account), guard)
}

/// Stops the edge and reads what it wrote.
fn lines((rig, guard): (Rig, WriterGuard), folder: &Path) -> Vec<String> {
    rig.tell_to_stop();
    rig.workers.join();
    drop(guard);
    let text = std::fs::read_to_string(folder.join("access-log/access.log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const REQUESTS: [&str; 4] = [
    "GET /a?token=secret HTTP/1.1\r\nHost: App.example\r\nX-Request-Id: first\r\n\r\n",
    "POST /b\\c HTTP/1.1\r\nHost: app.example\r\nX-Request-Id: second\r\nContent-Length: 5\r\n\r\nhello",
    "GET /d HTTP/1.1\r\nHost: other.example\r\nX-Request-Id: third\r\n\r\n",
    "GET /e HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
];

fn serve(log: AccessLogConfig) -> Vec<String> {
    let app = App::ok();
    let dir = tempfile::tempdir().unwrap();
    let edge = logging(&app, dir.path(), log);
    let mut client = edge.0.connect();
    for request in REQUESTS {
        client.ask(request);
    }
    drop(client);
    lines(edge, dir.path())
}

/// With what differs from run to run left out.
fn steady(line: &str) -> String {
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).expect(line);
    let time = object.remove("time").unwrap();
    assert!(havre_core::time::Timestamp::parse(time.as_str().unwrap()).is_ok(), "{line}");
    assert!(object.remove("ms").unwrap().as_f64().unwrap() < 10_000.0, "{line}");
    if object["status"] == 400 {
        assert_eq!(object.remove("id").unwrap().as_str().unwrap().len(), 32, "{line}");
    }
    serde_json::to_string(&object).unwrap()
}

#[test]
fn every_request_has_one_line_of_json() {
    let lines: Vec<_> = serve(AccessLogConfig::default()).iter().map(|line| steady(line)).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"client":"127.0.0.0","host":"App.example","id":"first","in":0,"method":"GET","out":2,"path":"/a","protocol":"http/1.1","release":"r1","service":"shop/production/api","status":200,"task":"t1"}
    {"client":"127.0.0.0","host":"app.example","id":"second","in":5,"method":"POST","out":2,"path":"/b\\c","protocol":"http/1.1","release":"r1","service":"shop/production/api","status":200,"task":"t1"}
    {"client":"127.0.0.0","host":"other.example","id":"third","in":0,"method":"GET","out":88,"path":"/d","protocol":"http/1.1","reason":"unknown-host","status":421}
    {"client":"127.0.0.0","in":0,"out":129,"protocol":"http/1.1","reason":"two-lengths","status":400}
    "#);
}

#[test]
fn text_lines_have_the_same_number_of_words() {
    let log = AccessLogConfig {
        format: Format::Text,
        client: ClientAddress::None,
        query: true,
        ..AccessLogConfig::default()
    };
    let lines = serve(log);
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(line.split(' ').count(), 16, "{line}");
    }
    assert!(lines[0].contains("Z - GET App.example /a?token=secret 200 "), "{}", lines[0]);
    assert!(lines[0].ends_with(" 0 2 shop/production/api r1 t1 0 - http/1.1 first"), "{}", lines[0]);
    assert!(lines[3].contains("Z - - - - 400 "), "{}", lines[3]);
}

#[test]
fn modes_choose_lines_and_errors_are_never_left_out() {
    let count = |mode, one_in| {
        let app = App::answering("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        let dir = tempfile::tempdir().unwrap();
        let edge = logging(&app, dir.path(), AccessLogConfig { mode, one_in, ..AccessLogConfig::default() });
        let mut client = edge.0.connect();
        for _ in 0..10 {
            client.ask("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n");
        }
        client.ask("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
        drop(client);
        lines(edge, dir.path()).len()
    };
    assert_eq!(count(Mode::Off, 1), 0);
    assert_eq!(count(Mode::Errors, 1), 1);
    assert_eq!(count(Mode::Sampled, 5), 3);
    assert_eq!(count(Mode::Full, 5), 11);
}

#[test]
fn a_client_that_leaves_is_a_line_too() {
    let app = App::start(|_, conversation| {
        conversation.request();
        conversation.request();
    });
    let dir = tempfile::tempdir().unwrap();
    let edge = logging(&app, dir.path(), AccessLogConfig::default());
    let mut client = edge.0.connect();
    client.send(b"GET /slow HTTP/1.1\r\nHost: app.example\r\n\r\n");
    crate::rig::eventually("the application has it", || app.seen().len() == 1);
    drop(client);
    crate::rig::eventually("nothing is in flight", || edge.0.in_flight() == 0);
    let lines = lines(edge, dir.path());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("\"status\":0") && lines[0].contains("\"reason\":\"client-gone\""),
        "{}",
        lines[0]
    );
}

#[test]
fn a_trace_is_passed_on_started_or_replaced() {
    let app = App::ok();
    let dir = tempfile::tempdir().unwrap();
    let (rig, _guard) =
        logging(&app, dir.path(), AccessLogConfig { mode: Mode::Off, ..AccessLogConfig::default() });
    let mut client = rig.connect();
    let mut sent = |lines: &str| {
        client.ask(&format!("GET / HTTP/1.1\r\nHost: app.example\r\n{lines}\r\n"));
        let head = app.seen().last().unwrap().clone();
        let of = |name: &str| -> Vec<String> {
            let start = format!("{name}: ");
            head.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
        };
        (of("traceparent"), of("tracestate"), of("X-Request-Id").concat())
    };
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let (parent, state, _) = sent(&format!("traceparent: {good}\r\ntracestate: a=1\r\ntracestate: b=2\r\n"));
    assert_eq!((parent, state), (vec![good.to_owned()], vec!["a=1".to_owned(), "b=2".to_owned()]));
    let (parent, state, id) = sent("");
    assert_eq!((parent.len(), state.len()), (1, 0));
    assert_eq!(&parent[0][3..35], id, "the id of the request is the number of its trace");
    for wrong in [
        format!("traceparent: {good}\r\ntraceparent: {good}\r\n"),
        format!("traceparent: {good}-x\r\n"),
        "tracestate: a=1\r\n".to_owned(),
    ] {
        let (parent, state, _) = sent(&format!("{wrong}tracestate: c=3\r\n"));
        assert_eq!((parent.len(), state.len()), (1, 0), "{wrong}");
        assert_ne!(parent[0], good);
    }
}
