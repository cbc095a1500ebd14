//! Uploads whose size does not fit into 32 bits arrive whole, and what follows them on both connections is understood.

use std::collections::BTreeMap;

use crate::world::alone::Alone;
use crate::world::origin::COUNT;
use crate::world::spec::HOST;
use crate::world::wire::Wire;

const SIZE: u64 = (1 << 32) + 5;
const BLOCK: usize = 1024 * 1024;

/// Sends the head, [`SIZE`] bytes and `end`.
async fn upload(framing: &str, end: &str) {
    let edge = Alone::start(1, "").await;
    let mut wire = Wire::connect(edge.plain).await;
    let head = format!("POST {COUNT} HTTP/1.1\r\nHost: {HOST}\r\n{framing}");
    wire.send(head.as_bytes()).await.expect("it is taken");
    let block = vec![0; BLOCK];
    let mut left = SIZE;
    while left > 0 {
        let here = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        wire.send(&block[..here]).await.expect("it is taken");
        left -= here as u64;
    }
    wire.send(end.as_bytes()).await.expect("it is taken");
    let (head, body) = wire.answer().await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, SIZE.to_string());

    let next = wire.ask(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.expect("an answer");
    assert_eq!(next, ("HTTP/1.1 200 OK".to_owned(), "ok".to_owned()));
    assert_eq!(edge.origin.asked(), BTreeMap::from([(COUNT.to_owned(), 1), ("/".to_owned(), 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_four_gigabytes_of_known_length() {
    upload(&format!("Content-Length: {SIZE}\r\n\r\n"), "").await;
}

/// One chunk, whose size does not fit either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_four_gigabytes_in_a_chunk() {
    upload(&format!("Transfer-Encoding: chunked\r\n\r\n{SIZE:x}\r\n"), "\r\n0\r\n\r\n").await;
}
