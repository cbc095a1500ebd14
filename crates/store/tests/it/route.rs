//! The stored route table.

use havre_core::id::ServiceId;
use havre_core::quantity::Span;
use havre_core::route::{Role, Route, ServiceUpstreams, Table, Target, Upstream};

use crate::world::World;

fn table(host: &str) -> Table {
    let service = ServiceId::new(1);
    let upstream = Upstream {
        task: "t1".parse().unwrap(),
        release: "r1".parse().unwrap(),
        address: "10.88.0.2:3000".parse().unwrap(),
        protocol: Default::default(),
        role: Role::Live,
        probe_path: "/health".parse().unwrap(),
        probe_host: host.to_owned(),
        probe_timeout: Span::seconds(2),
        probe_interval: Span::seconds(5),
        checks: Vec::new(),
    };
    let upstreams = ServiceUpstreams {
        balance: Default::default(),
        name: "dropit/production/api".to_owned(),
        expose_release: false,
        upstreams: vec![upstream],
        is_paused: false,
        canary: None,
        tls: Default::default(),
    };
    Table {
        routes: vec![Route {
            host: host.parse().unwrap(),
            path: "/".parse().unwrap(),
            target: Target::Service { service },
            policy: None,
        }],
        services: [(service, upstreams)].into(),
        ..Table::default()
    }
}

#[tokio::test]
async fn a_generation_is_a_content() {
    let world = World::new();
    assert_eq!(world.store.read(|view| view.route_table()).await.unwrap(), (0, Table::default()));
    let store =
        async |world: &World, table: Table| world.write(0, move |tx| tx.store_route_table(&table, 0)).await;
    assert_eq!(store(&world, Table::default()).await, 0);
    assert_eq!(store(&world, table("a.example")).await, 1);
    let changes = world.changes();
    assert_eq!(store(&world, table("a.example")).await, 1);
    assert_eq!(world.changes(), changes);
    assert_eq!(store(&world, table("b.example")).await, 2);
    let world = world.reopen();
    assert_eq!(store(&world, table("b.example")).await, 2);
    assert_eq!(store(&world, table("a.example")).await, 3, "a content that returns is a new generation");
    assert_eq!(world.store.read(|view| view.route_table()).await.unwrap(), (3, table("a.example")));
    assert_eq!(world.story().await, ["route table 1 stored", "route table 2 stored", "route table 3 stored"]);
}

#[tokio::test]
async fn an_edge_that_knows_more_than_a_restored_store_is_overtaken() {
    let world = World::new();
    let generation = world.write(0, |tx| tx.store_route_table(&table("a.example"), 41)).await;
    assert_eq!(generation, 42);
    assert_eq!(world.write(0, |tx| tx.store_route_table(&table("a.example"), 42)).await, 42);
    assert_eq!(world.write(0, |tx| tx.store_route_table(&table("a.example"), 50)).await, 51);
}
