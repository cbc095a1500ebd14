//! WebSockets: nothing passes before the 101, everything after it, until one side ends.

use std::io::Read;
use std::time::Duration;

use crate::rig::{App, Conversation, Rig, eventually, live, short_limits};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                       Sec-WebSocket-Key: k\r\nX-Request-Id: i\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: a\r\n\r\n";

/// Accepts the upgrade, says `early`, then echoes.
fn echo(_: usize, conversation: &mut Conversation) {
    let head = conversation.client.head();
    conversation.record(&head);
    let stream = &mut conversation.client.stream;
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(stream.peek(&mut [0]).is_err(), "bytes passed before the 101");
    stream.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
    conversation.send(&format!("{SWITCH}early"));
    let mut block = [0; 4096];
    while let Ok(count @ 1..) = conversation.client.stream.read(&mut block) {
        conversation.client.send(&block[..count]);
    }
    conversation.record("ended");
}

#[test]
fn a_websocket_passes_both_ways_after_the_101_and_not_before() {
    let app = App::start(echo);
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(format!("{UPGRADE}hasty").as_bytes());
    assert_eq!(
        client.head(),
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: a\r\nHavre-Release: r1\r\nX-Request-Id: i\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    assert_eq!(client.take(10), b"earlyhasty");
    let big = "x".repeat(300_000);
    for text in ["a", "hello", &big] {
        let mut sender = client.stream.try_clone().unwrap();
        let sent = text.to_owned();
        let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, sent.as_bytes()));
        assert!(client.take(text.len()) == text.as_bytes());
        sending.join().unwrap().unwrap();
    }
    assert_eq!(
        app.seen(),
        [
            "GET /ws HTTP/1.1\r\nHost: app.example\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: app.example\r\n\
          Forwarded: for=127.0.0.1;host=app.example;proto=http\r\nX-Request-Id: i\r\n\r\n"
        ]
    );
    assert_eq!((rig.in_flight(), rig.shared.metrics.tunnels.get()), (1, 1));
    client.end_sending();
    assert_eq!(client.rest(), "");
    eventually("the tunnel is over", || (rig.in_flight(), rig.shared.metrics.tunnels.get()) == (0, 0));
    assert_eq!(app.seen().last().unwrap(), "ended");
}

#[test]
fn an_upgrade_that_is_refused_leaves_an_ordinary_connection() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(format!("{UPGRADE}{}", "GET /next HTTP/1.1\r\nHost: app.example\r\n\r\n").as_bytes());
    assert_eq!(client.message().unwrap().1, "ok");
    assert_eq!(client.message().unwrap().1, "ok");
    assert_eq!(app.seen().len(), 2);
    assert!(app.seen()[1].starts_with("GET /next HTTP/1.1\r\n"));
}

#[test]
fn a_switch_to_something_else_is_refused() {
    for switch in [SWITCH.replace("websocket", "h2c"), SWITCH.replace("Upgrade: websocket\r\n", "")] {
        let app = App::start(move |_, conversation| {
            conversation.request();
            conversation.send(&switch);
        });
        let rig = Rig::before(&app);
        let (head, _) = rig.connect().ask(UPGRADE);
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
}

#[test]
fn a_tunnel_ends_when_its_application_does_or_when_both_are_silent() {
    let app = App::start(|number, conversation| {
        conversation.request();
        conversation.send(SWITCH);
        if number > 0 {
            conversation.client.rest();
        }
    });
    let rig = Rig::start(short_limits(), &live(&[app.address]));
    for _ in 0..2 {
        let mut client = rig.connect();
        client.send(UPGRADE.as_bytes());
        client.head();
        assert_eq!(client.rest(), "");
        drop(client);
        eventually("nothing is in flight", || rig.in_flight() == 0);
    }
}
