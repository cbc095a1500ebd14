//! An edge that may open few files: it takes as many clients as it can serve, tells the others so, and serves those it
//! has taken as if nothing were.

use futures_util::future::join_all;
use rustls::version::TLS13;

use crate::world::alone::Alone;
use crate::world::origin::SLOW;
use crate::world::spec::HOST;
use crate::world::wire::Wire;
use crate::world::{secure, until};

/// Files it may have open.
const DESCRIPTORS: u32 = 512;
/// Clients it takes then: four descriptors for each, when 256 are left to everything else.
const SEATS: usize = (DESCRIPTORS as usize - 256) / 4;
/// Clients that are too many.
const EXCESS: usize = 300;

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

/// A request and its answer: the status line and the body, or what went wrong.
async fn ask(wire: &mut Wire, path: &str) -> Result<(String, String), String> {
    wire.ask(&request(path)).await.map_err(|error| error.to_string())
}

fn well() -> Result<(String, String), String> {
    Ok(("HTTP/1.1 200 OK".to_owned(), "ok".to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_short_of_descriptors_turns_new_clients_away_and_keeps_those_it_has() {
    let edge = Alone::start_with_descriptors(DESCRIPTORS, 1, "idle_timeout = \"10m\"").await;
    let mut kept = Vec::new();
    for _ in 0..SEATS {
        let mut wire = Wire::connect(edge.plain).await;
        assert_eq!(ask(&mut wire, "/").await, well());
        kept.push(wire);
    }
    let mut excess = Vec::new();
    for number in 0..EXCESS {
        let mut wire = Wire::connect(edge.plain).await;
        // It says so by itself, before any request.
        let head = wire.through("\r\n\r\n").await.expect("an answer").expect("a head");
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains("\r\nHavre-Error: busy\r\n"), "{head}");
        assert_eq!(wire.through("\r\n").await.expect("an end"), None, "the connection ends");
        excess.push(wire);
        if number.is_multiple_of(50) {
            assert_eq!(ask(&mut kept[0], "/").await, well(), "beside {number} others");
        }
    }
    // There is no word for it before a handshake.
    let client = secure::client(&[&TLS13], "http/1.1");
    assert!(secure::connect(edge.secure, &client).await.is_err());
    assert_eq!(edge.metric("shed_total").await, EXCESS as u64 + 1);
    // All at once, each with a connection to the application.
    for answer in join_all(kept.iter_mut().map(|wire| ask(wire, SLOW))).await {
        assert_eq!(answer, well());
    }
    assert_eq!(edge.metric("connections").await, SEATS as u64);

    drop(excess);
    kept.truncate(SEATS / 2);
    let come_in = async || {
        let mut wire = Wire::connect(edge.plain).await;
        (ask(&mut wire, "/").await == well()).then_some(wire)
    };
    let mut late = until("there is room for others", come_in).await;
    assert_eq!(ask(&mut late, "/").await, well());
    for wire in &mut kept {
        assert_eq!(ask(wire, "/").await, well());
    }
}
