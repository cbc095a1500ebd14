//! Tunnels: a row before its role, few at once, and none of it after its end; no password anywhere.

use havre_core::database::Database;
use havre_core::quantity::Span;
use havre_decide::tunnel::{TUNNELS_MAX, Tunnel};
use havre_store::StoreError;

use crate::world::{World, at, environment};

async fn database(world: &World) -> Database {
    let spec = serde_json::json!({"name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"});
    let spec = serde_json::from_value(spec).unwrap();
    world
        .write(0, move |tx| {
            let environment = environment(tx)?;
            Ok(tx.apply_database(environment, &spec)?.0)
        })
        .await
}

async fn open(world: &World, database: &Database) -> Result<Tunnel, StoreError> {
    let row = database.clone();
    world.try_write(1, move |tx| tx.open_tunnel(&row, Span::seconds(60))).await
}

#[tokio::test]
async fn it_is_told_when_it_opens_and_when_it_closes() {
    let world = World::new();
    let made = database(&world).await;
    let tunnel = open(&world, &made).await.unwrap();
    assert_eq!((tunnel.id.to_string().as_str(), tunnel.until, tunnel.task), ("n1", at(61), 1));
    let world = world.reopen();
    let found = world.store.read(|view| view.list_tunnels()).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&tunnel));
    for _ in 0..2 {
        let row = tunnel.clone();
        world.write(2, move |tx| tx.close_tunnel(&row, "its time is over".to_owned())).await;
    }
    assert!(world.store.read(|view| view.list_tunnels()).await.unwrap().is_empty());
    let until = at(61);
    assert_eq!(
        world.story().await,
        [
            "database db wanted".to_owned(),
            format!("database db lets somebody in by n1 until {until}"),
            "database db lets nobody in by n1 any more: its time is over".to_owned(),
        ]
    );
}

#[tokio::test]
async fn there_are_few_at_once_and_none_into_what_goes() {
    let world = World::new();
    let made = database(&world).await;
    for _ in 0..TUNNELS_MAX {
        open(&world, &made).await.unwrap();
    }
    let error = open(&world, &made).await.unwrap_err();
    assert_eq!(error.to_string(), "8 tunnels are open already, and that is the most there may be");
    let id = made.id;
    world.write(2, move |tx| tx.request_database_destroy(id, at(2))).await;
    let going = world.store.read(move |view| view.get_database(id)).await.unwrap();
    assert!(matches!(open(&world, &going).await, Err(StoreError::BeingDestroyed { .. })));
}

#[test]
fn passwords_are_ours_and_different() {
    let [(one, hash), (other, _)] = [(); 2].map(|()| havre_store::tunnel::tunnel_password().unwrap());
    assert_ne!(one.expose(), other.expose());
    assert_eq!((one.expose().len(), hash.bytes().len()), (43, 32));
}
