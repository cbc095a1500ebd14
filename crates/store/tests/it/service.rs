//! Applying, routes, scale, destruction, failures.

use havre_core::id::ServiceId;
use havre_core::route::settings::auth::SecretDigest;
use havre_core::service::{Maintenance, Place};
use havre_store::{Applied, Failures, StoreError};

use crate::world::{World, apply, at, environment, release, route, site, tasks};

#[tokio::test]
async fn applying_raises_the_revision_only_when_something_changed() {
    let world = World::new();
    let apply = |routes: &'static [&'static str], replicas| {
        world.write(0, move |tx| apply(tx, tasks("api", replicas, routes)))
    };
    let (first, applied) = apply(&["a.example/"], 2).await;
    assert_eq!((first.revision, first.replicas, first.live, applied), (1, 2, None, Applied::Created));
    assert_eq!(first.place.to_string(), "dropit/production/api");
    assert_eq!(apply(&["a.example/"], 2).await, (first.clone(), Applied::Unchanged));

    let id = first.id;
    world.write(0, move |tx| tx.scale_service(id, 5)).await;
    let (second, applied) = apply(&["b.example/", "b.example/"], 2).await;
    assert_eq!((second.revision, second.replicas, applied), (2, 5, Applied::Changed), "the scale survives");
    let (third, _) = apply(&["b.example/"], 3).await;
    assert_eq!((third.revision, third.replicas), (3, 3), "the number itself changed");
    assert_eq!(
        world.story().await,
        [
            "service created",
            "scaled from 2 to 5 tasks",
            "configuration changed, now revision 2",
            "configuration changed, now revision 3",
            "scaled from 5 to 3 tasks",
        ]
    );
    let owners = world
        .store
        .read(|view| {
            Ok([view.find_route_owner(&route("a.example/"))?, view.find_route_owner(&route("b.example/"))?])
        })
        .await
        .unwrap();
    assert_eq!(owners, [None, Some(third.place.clone())]);
    let place = third.place.clone();
    assert_eq!(world.store.read(move |view| view.find_service(&place)).await.unwrap(), Some(third));
}

#[tokio::test]
async fn a_route_has_one_owner() {
    let world = World::new();
    world.write(0, |tx| apply(tx, tasks("api", 1, &["a.example/x"]))).await;
    let before = world.story().await;
    for spec in [tasks("web", 1, &["b.example/", "a.example/x"]), tasks("api", 1, &["a.example/x"])] {
        let elsewhere = world
            .try_write(0, move |tx| {
                let staging = tx.ensure_environment("dropit".parse().unwrap(), "staging".parse().unwrap())?;
                tx.apply_service(staging.id, spec)
            })
            .await;
        let error = elsewhere.unwrap_err();
        assert_eq!(error.to_string(), "the route a.example/x belongs to dropit/production/api already");
        assert!(matches!(error, StoreError::RouteTaken { .. }));
    }
    assert_eq!(world.story().await, before);
    assert_eq!(
        world.store.read(|view| view.list_environments()).await.unwrap().len(),
        1,
        "all was rolled back"
    );
}

#[tokio::test]
async fn services_applied_together_may_swap_routes() {
    let world = World::new();
    let apply = |api: &'static str, web: &'static str| {
        world.write(0, move |tx| {
            let specs = vec![tasks("api", 1, &[api]), tasks("web", 1, &[web])];
            {
                let environment = environment(tx)?;
                tx.apply_services(environment, specs)
            }
        })
    };
    apply("a.example/", "b.example/").await;
    let swapped = apply("b.example/", "a.example/").await;
    assert_eq!(swapped.iter().map(|(_, applied)| *applied).collect::<Vec<_>>(), [Applied::Changed; 2]);
    let owner = world.store.read(|view| view.find_route_owner(&route("a.example/"))).await.unwrap();
    assert_eq!(owner, Some(swapped[1].0.place.clone()));
}

#[tokio::test]
async fn a_site_stays_a_site() {
    let world = World::new();
    let (web, _) = world.write(0, |tx| apply(tx, site("web"))).await;
    let to_tasks = world.try_write(0, |tx| apply(tx, tasks("web", 1, &[]))).await;
    assert_eq!(
        to_tasks.unwrap_err().to_string(),
        "dropit/production/web is a site and cannot become a service: destroy it first, or choose another name"
    );
    let scaled = world.try_write(0, move |tx| tx.scale_service(web.id, 2)).await;
    assert_eq!(scaled.unwrap_err().to_string(), "dropit/production/web is a site: it has no tasks to scale");
}

#[tokio::test]
async fn every_kind_of_specification_can_be_read_back() {
    let world = World::new();
    let mut built = site("built");
    let source = serde_json::json!({
        "kind": "site",
        "source": {
            "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": "out",
            "args": { "A": "b" }, "output": "/dist",
        },
        "spa": false,
    });
    built.work = serde_json::from_value(source).unwrap();
    let specs = vec![built, site("folder"), tasks("api", 1, &[])];
    let expected = specs.clone();
    let applied = world
        .write(0, |tx| {
            let environment = environment(tx)?;
            tx.apply_services(environment, specs)
        })
        .await;
    let read: Vec<_> = applied.into_iter().map(|(service, _)| service.spec).collect();
    assert_eq!(read, expected);
}

#[tokio::test]
async fn destruction_frees_routes_at_once_and_rows_at_the_end() {
    let world = World::new();
    let (api, _) = world.write(0, |tx| apply(tx, tasks("api", 1, &["a.example/"]))).await;
    let id = api.id;
    let task = world
        .write(1, move |tx| {
            let release = release(tx, id, 1)?;
            let deployment = tx.create_deployment(id, release, havre_core::deployment::Kind::Deploy)?;
            let task = tx.allocate_task(id, release, 0, true)?;
            tx.create_build(id, tasks("api", 1, &[]), 1, String::new())?;
            tx.set_waiting("deployment", deployment.id.row(), "x")?;
            tx.go_live(deployment.id, at(1))?;
            Ok(task.id)
        })
        .await;
    let early = world.try_write(2, move |tx| tx.remove_service(id)).await;
    assert_eq!(
        early.unwrap_err().to_string(),
        "could not remove dropit/production/api: nobody asked to destroy it"
    );

    world.write(3, move |tx| tx.request_destroy(id, at(3))).await;
    let changes = world.changes();
    world.write(4, move |tx| tx.request_destroy(id, at(4))).await;
    assert_eq!(world.changes(), changes, "asking again changes nothing");
    let (found, owner) = world
        .store
        .read(move |view| Ok((view.get_service(id)?, view.find_route_owner(&route("a.example/"))?)))
        .await
        .unwrap();
    assert_eq!((found.destroyed_at, owner), (Some(at(3)), None));
    for refused in [
        world.try_write(5, |tx| apply(tx, tasks("api", 9, &[])).map(|_| ())).await,
        world.try_write(5, move |tx| tx.scale_service(id, 9)).await,
        world
            .try_write(5, move |tx| tx.create_build(id, tasks("api", 1, &[]), 1, String::new()).map(|_| ()))
            .await,
    ] {
        assert_eq!(
            refused.unwrap_err().to_string(),
            "dropit/production/api is being destroyed: wait until it is gone"
        );
    }
    let with_task = world.try_write(6, move |tx| tx.remove_service(id)).await;
    assert_eq!(
        with_task.unwrap_err().to_string(),
        "could not remove dropit/production/api: tasks left in it: 1"
    );
    world
        .write(7, move |tx| {
            tx.forget_task(task)?;
            tx.remove_service(id)
        })
        .await;
    let gone =
        world.store.read(move |view| Ok((view.has_service(id)?, view.waiting("deployment", 1)?))).await;
    assert_eq!(gone.unwrap(), (false, None));
    let events = world.store.read(move |view| view.events(0, Some(id), 100)).await.unwrap();
    let last: Vec<_> = events.iter().rev().take(3).map(|event| event.kind.to_string()).collect();
    assert_eq!(
        last,
        ["service destroyed", "t1 is gone", "destruction requested"],
        "events outlive the service"
    );
    let (again, applied) = world.write(8, |tx| apply(tx, tasks("api", 1, &[]))).await;
    assert_eq!((again.id, applied), (ServiceId::new(2), Applied::Created));
}

#[tokio::test]
async fn failures_add_up_while_they_are_close() {
    let world = World::new();
    let id = world.service().await;
    let fail = async |seconds| {
        world
            .write(seconds, move |tx| {
                let release = release(tx, id, 1)?;
                let task = tx.allocate_task(id, release, 0, false)?.id;
                tx.record_task_exit(task, 1, false, &["boom".to_owned()])?;
                tx.record_task_exit(task, 1, false, &["boom".to_owned()])?;
                tx.task_failures(id)
            })
            .await
    };
    assert_eq!(world.store.read(move |view| view.task_failures(id)).await.unwrap(), None);
    assert_eq!(fail(0).await, Some(Failures { count: 1, last: at(0) }), "one end is one failure");
    assert_eq!(fail(600).await, Some(Failures { count: 2, last: at(600) }));
    assert_eq!(
        fail(1201).await,
        Some(Failures { count: 1, last: at(1201) }),
        "longer than ten minutes apart"
    );
    assert_eq!(fail(1200).await, Some(Failures { count: 2, last: at(1200) }), "a clock that jumps back");
    world
        .write(1300, move |tx| {
            let release = release(tx, id, 1)?;
            let deployment = tx.create_deployment(id, release, havre_core::deployment::Kind::Deploy)?;
            tx.go_live(deployment.id, at(1300))
        })
        .await;
    assert_eq!(world.store.read(move |view| view.task_failures(id)).await.unwrap(), None);
}

#[tokio::test]
async fn absent_ones_are_named() {
    let world = World::new();
    let error = world.store.read(|view| view.get_service(ServiceId::new(7))).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no service s7");
    let place = Place {
        project: "a".parse().unwrap(),
        environment: "b".parse().unwrap(),
        service: "c".parse().unwrap(),
    };
    assert_eq!(world.store.read(move |view| view.find_service(&place)).await.unwrap(), None);
}

#[tokio::test]
async fn maintenance_starts_ends_and_goes_with_its_service() {
    let world = World::new();
    let (service, _) = world.write(0, |tx| apply(tx, tasks("api", 1, &["a.example/"]))).await;
    let id = service.id;
    let wanted = |byte| Maintenance { since: at(5), bypass: SecretDigest::new([byte; 32]) };
    let get = || async { world.store.read(move |view| view.get_service(id)).await.unwrap().maintenance };
    for byte in [1, 1, 2] {
        world.write(5, move |tx| tx.set_maintenance(id, Some(&wanted(byte)))).await;
        assert_eq!(get().await, Some(wanted(byte)));
    }
    for _ in 0..2 {
        world.write(6, move |tx| tx.set_maintenance(id, None)).await;
        assert_eq!(get().await, None);
    }
    world.write(7, move |tx| tx.set_maintenance(id, Some(&wanted(3)))).await;
    world.write(8, move |tx| tx.request_destroy(id, at(8))).await;
    world.write(9, move |tx| tx.remove_service(id)).await;
    let started = "maintenance started: users get a page";
    assert_eq!(
        world.story().await,
        [
            "service created",
            started,
            started,
            "maintenance ended",
            started,
            "destruction requested",
            "service destroyed"
        ]
    );
}
