//! Tunnels: a role that is there while somebody holds it, and gone with whoever held it, whatever the end was.

use havre_core::database::Database;
use havre_core::event::Actor;
use havre_core::id::DatabaseId;
use havre_core::quantity::Span;
use havre_decide::tunnel::{CONNECTIONS_MAX, End};
use havre_engine::fake::script::{Program, Script};
use havre_reconcile::tunnel::{self, Held, TunnelError};
use serde_json::json;

use crate::database::{add_postgres, apply, rounds, row, story};
use crate::world::{Control, Outside};

fn server() -> Script {
    let programs = [("pg_isready", Program::prints("", 0)), ("psql", Program::reads("", 0))];
    Script { programs: programs.map(|(name, program)| (name.to_owned(), program)).into(), ..Script::runs() }
}

async fn ready(outside: &Outside) -> (Control, DatabaseId) {
    add_postgres(outside, server());
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    rounds(&control).await;
    (control, id)
}

async fn open(control: &Control, id: DatabaseId) -> Result<Held, TunnelError> {
    tunnel::open(&control.world, id, Actor::Local, Span::seconds(3600)).await
}

/// Everything its server was told.
fn told(outside: &Outside) -> String {
    let inputs = outside.engine.inputs().into_iter().map(|(_, input)| input);
    String::from_utf8(inputs.collect::<Vec<_>>().concat()).unwrap()
}

async fn open_rows(control: &Control) -> usize {
    control.world.store.read(|view| view.list_tunnels()).await.unwrap().len()
}

#[tokio::test]
async fn it_leads_to_the_server_and_its_role_goes_with_who_holds_it() {
    let outside = Outside::new();
    let (control, id) = ready(&outside).await;
    let held = open(&control, id).await.unwrap();
    let password = held.password.expose_text().unwrap().to_owned();
    assert!(told(&outside).contains(&format!("PASSWORD '{password}' VALID UNTIL")));
    assert!(
        !outside.engine.inputs().iter().any(|(line, _)| line.contains(&password)),
        "no argument holds it"
    );

    let tunnel = held.tunnel.id;
    let way = tunnel::connect(&control.world, tunnel, &Actor::Local).await.unwrap();
    assert_eq!(way.address.port(), 5432);
    assert!(tunnel::is_there(&control.world, &way).await.unwrap());
    let other = Actor::Token { name: "ci".to_owned() };
    let refused = tunnel::connect(&control.world, tunnel, &other).await;
    assert!(matches!(refused, Err(TunnelError::Unknown(_))), "{refused:?}");
    let mut ways = vec![way];
    while ways.len() < CONNECTIONS_MAX {
        ways.push(tunnel::connect(&control.world, tunnel, &Actor::Local).await.unwrap());
    }
    let refused = tunnel::connect(&control.world, tunnel, &Actor::Local).await;
    assert!(matches!(refused, Err(TunnelError::TooMany)), "{refused:?}");
    ways.pop();
    ways.push(tunnel::connect(&control.world, tunnel, &Actor::Local).await.unwrap());

    tunnel::activate(&control.world).await.unwrap();
    assert_eq!(open_rows(&control).await, 1, "somebody holds it");
    drop(held);
    assert_eq!(ways[0].ended().await, End::Left, "its connections hear of it");
    tunnel::activate(&control.world).await.unwrap();
    assert_eq!(open_rows(&control).await, 0);
    assert!(told(&outside).contains("DROP ROLE \"havre_n1\""));
    let refused = tunnel::connect(&control.world, tunnel, &Actor::Local).await;
    assert!(matches!(refused, Err(TunnelError::Unknown(_))), "{refused:?}");
    let last = story(&control).await.pop().unwrap();
    assert_eq!(last, "database db lets nobody in by n1 any more: whoever opened it is gone");
}

#[tokio::test]
async fn its_time_ends_it_and_so_does_another_server() {
    let outside = Outside::new();
    let (control, id) = ready(&outside).await;
    let held = open(&control, id).await.unwrap();
    let next = tunnel::activate(&control.world).await.unwrap();
    assert_eq!(next, Some(held.tunnel.until));
    outside.clock.advance(Span::seconds(3600).duration());
    tunnel::activate(&control.world).await.unwrap();
    assert_eq!(held.ended().await, End::Expired);
    assert_eq!(open_rows(&control).await, 0);

    rounds(&control).await;
    let held = open(&control, id).await.unwrap();
    let name = format!("havre-m1-{}-db-production-dropit", row(&control, id).await.task);
    outside.engine.exit_task(&name, 137);
    rounds(&control).await;
    tunnel::activate(&control.world).await.unwrap();
    outside.clock.advance(Span::seconds(2).duration());
    rounds(&control).await;
    tunnel::activate(&control.world).await.unwrap();
    assert_eq!(held.ended().await, End::Restarted);
    assert_eq!(open_rows(&control).await, 0);
}

#[tokio::test]
async fn what_a_killed_control_left_goes_at_the_next_start() {
    let outside = Outside::new();
    let (control, id) = ready(&outside).await;
    // As one that was killed between the row and the role, or after both.
    let database: Database = row(&control, id).await;
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        tx.open_tunnel(&database, Span::seconds(3600)).map(|_| ())
    });
    write.await.unwrap();
    drop(control);
    let control = outside.control();
    tunnel::activate(&control.world).await.unwrap();
    assert_eq!(open_rows(&control).await, 0);
    assert!(told(&outside).contains("ALTER ROLE \"havre_n1\" WITH NOLOGIN PASSWORD NULL"));
}

#[tokio::test]
async fn a_database_that_does_not_answer_has_no_tunnel() {
    let outside = Outside::new();
    let control = outside.control();
    let id = apply(&control, json!({})).await;
    let refused = open(&control, id).await;
    assert_eq!(refused.unwrap_err().to_string(), "the database db is creating");
    assert_eq!(open_rows(&control).await, 0);
}
