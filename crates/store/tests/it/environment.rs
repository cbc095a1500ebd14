//! Environments and their networks.

use havre_store::{Environment, StoreError};

use crate::world::{World, at, environment, tasks};

async fn ensure(world: &World, name: &'static str) -> Result<Environment, StoreError> {
    world
        .try_write(0, move |tx| tx.ensure_environment("dropit".parse().unwrap(), name.parse().unwrap()))
        .await
}

#[tokio::test]
async fn each_gets_the_lowest_free_network() {
    let world = World::new();
    let production = ensure(&world, "production").await.unwrap();
    let staging = ensure(&world, "staging").await.unwrap();
    assert_eq!(
        (
            production.subnet.as_str(),
            staging.subnet.as_str(),
            staging.project_name.as_str(),
            staging.name.as_str()
        ),
        ("10.89.0.0/24", "10.89.1.0/24", "dropit", "staging")
    );
    assert_eq!(production.project, staging.project);
    assert_eq!(ensure(&world, "production").await.unwrap(), production);
    let error = ensure(&world, "third").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no free network for an environment is left in 10.89.0.0/23: \
         remove some tasks or environments, or give Havre a larger pool"
    );

    let id = production.id;
    world.write(0, move |tx| tx.remove_environment(id)).await;
    let third = ensure(&world, "third").await.unwrap();
    assert_eq!(third.subnet, production.subnet);
    assert!(third.id > staging.id, "ids are never used twice");
    let listed = world.store.read(|view| view.list_environments()).await.unwrap();
    assert_eq!(listed, [staging, third]);
}

#[tokio::test]
async fn one_with_services_is_kept_and_an_empty_project_goes() {
    let world = World::new();
    let service = world.service().await;
    let id = world.write(0, environment).await;
    let error = world.try_write(0, move |tx| tx.remove_environment(id)).await.unwrap_err();
    assert_eq!(error.to_string(), "could not remove environment dropit/production: services left in it: 1");

    world
        .write(1, move |tx| {
            tx.request_destroy(service, at(1))?;
            tx.remove_service(service)?;
            tx.remove_environment(id)
        })
        .await;
    let (project, name) = ("dropit".parse().unwrap(), "production".parse().unwrap());
    let found = world.store.read(move |view| view.find_environment(&project, &name)).await.unwrap();
    assert_eq!(found, None);
    let (old, new) = world
        .write(2, move |tx| {
            let new = environment(tx)?;
            let made = tx.get_environment(new)?;
            tx.apply_service(new, tasks("api", 1, &[]))?;
            Ok((1, made.project.row()))
        })
        .await;
    assert!(new > old, "the project was removed and its id is not used again");
}
