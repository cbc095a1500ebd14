//! Part of the clients gets a new release first, stays with it, and nobody gets a failure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use havre_api::deployment::Deployment;
use havre_core::quantity::Span;
use havre_core::service::spec::CanarySpec;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::world::spec::{HOST, faults, with};
use crate::world::{World, assert_succeeded, until};

/// Clients with an address each, from 127.0.0.10 on.
const CLIENTS: u8 = 60;

/// The release that answers each client; all ask at once.
async fn asked_by_all(world: &World) -> BTreeMap<u8, String> {
    let asked: Vec<_> =
        (10..10 + CLIENTS).map(|client| (client, tokio::spawn(ask(client, world.address)))).collect();
    let mut found = BTreeMap::new();
    for (client, answer) in asked {
        found.insert(client, answer.await.expect("a good answer"));
    }
    found
}

/// The release that answers the client at 127.0.0.`client`.
async fn ask(client: u8, address: SocketAddr) -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, client], 0))).expect("an address of this machine");
    let mut stream = socket.connect(address).await.expect("the edge listens");
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let release = answer.lines().find_map(|line| line.strip_prefix("Havre-Release: "));
    release.expect("it says which release it is").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_gets_its_share_and_drops_no_request() {
    let world = World::start().await;
    let first = world.deploy_well(&faults("well-behaved", "1")).await;
    let load = world.load();
    let canary = CanarySpec { percent: 50, hold: Span::seconds(15) };
    let spec = with(faults("well-behaved", "2"), |work| work.canary = Some(canary));
    let build = world.begin(&spec).await;
    let id = world.deployment_of(build).await;
    let path = format!("/v1/deployments/{id}");
    let is_tried = async || {
        let found: Deployment = world.api.find(&path).await?;
        // The edge takes a moment to hear of it.
        (found.state.name() == "canary" && asked_by_all(&world).await.values().any(|one| *one != first))
            .then_some(())
    };
    until("some clients get the new release", is_tried).await;
    let (once, again) = (asked_by_all(&world).await, asked_by_all(&world).await);
    assert_eq!(once, again, "a client stays on its side");
    let new = once.values().filter(|release| **release != first).count();
    assert!((15..=45).contains(&new), "{new} of {CLIENTS} clients got the new release: {once:?}");

    let ended = world.ended(id).await;
    assert_succeeded(&ended);
    assert!(asked_by_all(&world).await.values().all(|release| *release == ended.release.to_string()));
    load.finish().await.assert_no_failure(500);
}
