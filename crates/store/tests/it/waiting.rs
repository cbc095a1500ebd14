//! What items wait for.

use havre_store::WAITING_MAX;

use crate::world::World;

#[tokio::test]
async fn it_is_written_only_when_it_differs() {
    let world = World::new();
    let set = async |text: String| {
        world.write(0, move |tx| tx.set_waiting("service", 1, &text)).await;
        let found = world.store.read(|view| view.waiting("service", 1)).await.unwrap();
        (found, world.changes())
    };
    assert_eq!(set(String::new()).await, (None, 0));
    assert_eq!(set("for a".to_owned()).await, (Some("for a".to_owned()), 1));
    assert_eq!(set("for a".to_owned()).await, (Some("for a".to_owned()), 1));
    assert_eq!(set("for b".to_owned()).await, (Some("for b".to_owned()), 2));
    assert_eq!(set(String::new()).await, (None, 3));
    let long = format!("a{}", "é".repeat(WAITING_MAX));
    let (found, changes) = set(long.clone()).await;
    assert_eq!(found.map(|text| text.len()), Some(WAITING_MAX - 1), "cut between characters");
    assert_eq!(set(long).await.1, changes);
    assert_eq!(world.story().await, Vec::<String>::new());
    assert_eq!(world.store.read(|view| view.waiting("deployment", 1)).await.unwrap(), None);
}
