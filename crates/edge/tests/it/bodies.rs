//! Bodies both ways: every size and framing around the thresholds of the data path, bodies that are too short or
//! too long, and what streams must do while they stream.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use havre_edge::config::EdgeLimits;

use super::Rig;
use crate::rig::{App, Conversation, eventually, live};

const SIZES: [usize; 12] =
    [0, 1, 4095, 4096, 4097, 16_384, 20_000, 65_535, 65_536, 65_537, 300_000, 3_000_000];

fn bytes(size: usize) -> String {
    (0..size).map(|index| char::from(b'a' + u8::try_from(index % 23).unwrap())).collect()
}

fn in_chunks(body: &str, piece: usize) -> String {
    let mut out = String::new();
    for part in body.as_bytes().chunks(piece) {
        out.push_str(&format!("{:x}\r\n{}\r\n", part.len(), std::str::from_utf8(part).unwrap()));
    }
    out + "0\r\n\r\n"
}

/// The data of a chunked body.
fn out_of_chunks(mut body: &str) -> String {
    let mut data = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            assert_eq!(rest, "\r\n");
            return data;
        }
        data.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
}

fn body_of(message: &str) -> String {
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    if head.contains("Transfer-Encoding: chunked") { out_of_chunks(body) } else { body.to_owned() }
}

#[test]
fn uploads_of_every_size_arrive_whole() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    for size in SIZES {
        let body = bytes(size);
        for request in [
            format!("PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: {size}\r\n\r\n{body}"),
            format!(
                "PUT / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                in_chunks(&body, 7000)
            ),
        ] {
            assert_eq!(client.ask(&request).1, "ok", "{size}");
            let seen = app.seen.lock().unwrap().pop().unwrap();
            assert!(body_of(&seen) == body, "{size}: {} bytes", seen.len());
        }
    }
    assert_eq!(app.accepted(), 1);
}

#[test]
fn downloads_of_every_size_arrive_whole() {
    let app = App::start(|_, conversation| {
        while let Some(request) = conversation.request() {
            let (framing, size) = request[5..].split(' ').next().unwrap().split_once('/').unwrap();
            let body = bytes(size.parse().unwrap());
            match framing {
                "length" => {
                    conversation.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{body}"))
                }
                "chunks" => conversation.send(&format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                    in_chunks(&body, 7000)
                )),
                _ => return conversation.send(&format!("HTTP/1.1 200 OK\r\n\r\n{body}")),
            }
        }
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    for framing in ["length", "chunks", "close"] {
        for size in SIZES {
            let (head, body) =
                client.ask(&format!("GET /{framing}/{size} HTTP/1.1\r\nHost: app.example\r\n\r\n"));
            assert!(body_of(&(head + &body)) == bytes(size), "{framing} {size}: {} bytes", body.len());
        }
    }
}

/// An application that records everything it gets until the end.
fn recording() -> App {
    App::start(|_, conversation| {
        let mut all = Vec::new();
        let _ = conversation.client.stream.read_to_end(&mut all);
        conversation.record(&String::from_utf8_lossy(&all));
    })
}

#[test]
fn a_client_that_breaks_off_its_upload_leaves_no_whole_request() {
    for (head, sent) in [
        ("Content-Length: 5\r\n", "hel"),
        ("Content-Length: 900000\r\n", "hel"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhel"),
    ] {
        let app = recording();
        let rig = Rig::before(&app);
        let mut client = rig.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: app.example\r\n{head}\r\n{sent}").as_bytes());
        client.end_sending();
        assert_eq!(client.rest(), "", "{head}");
        eventually("the application sees the end", || app.seen().len() == 1);
        let seen = app.seen().remove(0);
        let body = seen.split_once("\r\n\r\n").unwrap().1;
        assert!(!body.ends_with("0\r\n\r\n") && body.len() < 20, "{head}: {body}");
        eventually("nothing is in flight", || rig.in_flight() == 0);
    }
}

#[test]
fn bytes_behind_a_body_are_a_request_of_their_own() {
    let app = App::ok();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\n\r\nhi and more\r\n\r\n");
    assert_eq!(client.message().unwrap().1, "ok");
    assert!(client.rest().starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn chunks_that_turn_wrong_later_never_become_a_whole_request() {
    let app = recording();
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n");
    eventually("the request is on its way", || rig.in_flight() == 1);
    client.send(b"2\nlo\r\n0\r\n\r\n");
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("\r\nHavre-Error: bad-chunk\r\n"), "{answer}");
    eventually("the application sees the end", || app.seen().len() == 1);
    assert!(!app.seen()[0].contains("\r\n0\r\n"), "{:?}", app.seen());
}

/// The application answers without reading; the client must see that answer although it is still sending.
#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let app = App::start(|_, conversation| {
        conversation.client.head();
        conversation.send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
        // Closing with unread bytes is what careless applications do.
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5000000\r\n\r\n");
    let mut sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(bytes(5_000_000).as_bytes()).is_err());
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 413 No\r\n"), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("\r\n\r\nno"), "{answer}");
    sending.join().unwrap();
}

#[test]
fn a_short_body_nobody_wanted_does_not_cost_the_connection() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let app = App::start(move |_, conversation| {
        let head = conversation.client.head();
        conversation.record(&head);
        conversation.send("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno");
        wait.lock().unwrap().recv().unwrap();
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    for _ in 0..2 {
        client.send(b"POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 20000\r\n\r\n");
        let (head, body) = client.message().unwrap();
        assert!(head.starts_with("HTTP/1.1 401 No\r\n") && !head.contains("Connection: close"), "{head}");
        assert_eq!(body, "no");
        client.send(bytes(20_000).as_bytes());
        go.send(()).unwrap();
    }
    assert_eq!(app.accepted(), 2);
}

#[test]
fn a_client_that_expects_100_gets_it_from_the_application() {
    let app = App::start(|_, conversation| {
        let head = conversation.client.head();
        assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
        conversation.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = conversation.client.take(5);
        conversation.record(std::str::from_utf8(&body).unwrap());
        conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"hello");
    let (head, body) = client.message().unwrap();
    assert!(!head.contains("Connection: close"), "{head}");
    assert_eq!((body.as_str(), app.seen()), ("ok", vec!["hello".to_owned()]));
}

#[test]
fn a_client_that_expects_100_and_is_refused_must_not_send_the_body() {
    let app = App::start(|_, conversation| {
        conversation.client.head();
        conversation.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
        conversation.client.head();
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let (head, body) = client.message().unwrap();
    assert!(head.starts_with("HTTP/1.1 403 No\r\n") && head.contains("\r\nConnection: close\r\n"), "{head}");
    assert_eq!(body, "no");
}

fn stream_events(conversation: &mut Conversation, wait: &Mutex<mpsc::Receiver<()>>) {
    conversation.request();
    conversation
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    while wait.lock().unwrap().recv().is_ok() {
        conversation.send("9\r\ndata: x\n\n\r\n");
    }
}

/// Each event is sent only after the client has the one before it.
#[test]
fn events_are_passed_on_one_by_one() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let app = App::start(move |_, conversation| stream_events(conversation, &wait));
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(b"GET /events HTTP/1.1\r\nHost: app.example\r\n\r\n");
    client.head();
    for _ in 0..20 {
        go.send(()).unwrap();
        assert_eq!(client.take(14), b"9\r\ndata: x\n\n\r\n");
    }
    assert_eq!(rig.in_flight(), 1);
    drop(client);
    eventually("the client's leaving ends the stream", || rig.in_flight() == 0);
}

/// Nobody reads, so the sender must be stopped long before its body is through: memory is bounded.
#[test]
fn a_side_that_does_not_read_stops_the_other() {
    const SIZE: usize = 200_000_000;
    fn push(stream: &mut std::net::TcpStream) -> usize {
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let block = vec![b'x'; 1 << 20];
        let mut sent = 0;
        while sent < SIZE {
            match stream.write(&block) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        sent
    }
    let sent: Arc<Mutex<Option<usize>>> = Arc::default();
    for framing in [format!("Content-Length: {SIZE}\r\n"), String::new()] {
        let app = App::start({
            let sent = Arc::clone(&sent);
            move |_, conversation| {
                conversation.request();
                conversation.send(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n"));
                *sent.lock().unwrap() = Some(push(&mut conversation.client.stream));
            }
        });
        let rig = Rig::start(EdgeLimits::default(), &live(&[app.address]));
        let mut client = rig.connect();
        client.send(b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
        eventually("the application is stopped", || sent.lock().unwrap().is_some());
        let sent = sent.lock().unwrap().take().unwrap();
        assert!(sent < SIZE / 2, "{sent} bytes went into a client that does not read");
    }
    let (_hold, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let app = App::start(move |_, _| {
        let _ = wait.lock().unwrap().recv();
    });
    let rig = Rig::before(&app);
    let mut client = rig.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes());
    let sent = push(&mut client.stream);
    assert!(sent < SIZE / 2, "{sent} bytes went into an application that does not read");
}
