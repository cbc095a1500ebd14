//! Drives the loops: by timer, by committed writes and edge reports, by engine events. One service is advanced by one
//! task at a time; services never wait for each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use havre_core::id::ServiceId;
use havre_store::{StoreError, View};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::world::World;
use crate::{
    build, certificate, database, forge, image, job, pipeline, purge, registry, route, service, site, tunnel,
};

/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(30);

/// What waits is looked at again this often: nothing announces that a time limit has come.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Pause before a service is tried again after an error.
const RETRY: Duration = Duration::from_secs(1);

/// Loops of their own, each with what it is called in the log: what they wait for never holds a service back.
fn spawn_others(world: &World, stop: &CancellationToken) -> Vec<(&'static str, JoinHandle<()>)> {
    let (world, stop) = (|| world.clone(), || stop.clone());
    vec![
        // What issuers and servers of names answer.
        ("certificates", tokio::spawn(certificate::run(world(), stop()))),
        // A CDN that does not answer is waited for by nobody else.
        ("calls to CDNs", tokio::spawn(purge::run(world(), stop()))),
        // A forge that does not answer holds no pipeline up.
        ("statuses", tokio::spawn(forge::run(world(), stop()))),
        // Docker may take long to remove a large image.
        ("images", tokio::spawn(image::run(world(), stop()))),
        // A registry may not answer.
        ("registries", tokio::spawn(registry::run(world(), stop()))),
        // A large repository takes its time.
        ("pipelines", tokio::spawn(pipeline::run(world(), stop()))),
        // An image may have to be pulled for a job, and its task takes its time to stop.
        ("jobs", tokio::spawn(job::run(world(), stop()))),
        // A server of a database takes its time to start and to stop.
        ("databases", tokio::spawn(database::run(world(), stop()))),
        // A server may not answer.
        ("tunnels", tokio::spawn(tunnel::run(world(), stop()))),
    ]
}

/// Runs the loops until `stop`; returns when every step under way has ended.
pub async fn run(world: World, stop: CancellationToken) {
    let listener = world.tracker.spawn(listen(world.clone()));
    let others = spawn_others(&world, &stop);
    let busy = Arc::new(Busy::default());
    let mut changes = world.store.changes();
    let mut resync = world.clock.sleep(RESYNC);
    let mut which = Which::All;
    let mut is_resync = true;
    loop {
        let waits = activate(&world, &busy, which).await;
        which = Which::All;
        if std::mem::take(&mut is_resync) {
            if let Err(error) = site::activate(&world).await {
                tracing::error!(error = %chain(&error), "could not tidy up the published sites");
            }
            let tidied = world.clone();
            world.tracker.spawn(async move { build::tidy(&tidied).await });
        }
        tokio::select! {
            () = stop.cancelled() => break,
            _ = changes.changed() => {}
            () = world.wake.notified() => {}
            () = &mut resync => {
                world.forget_engine();
                is_resync = true;
                resync = world.clock.sleep(RESYNC);
            }
            () = world.clock.sleep(LOOK_AGAIN), if waits => which = Which::Waiting,
        }
        changes.mark_unchanged();
    }
    listener.abort();
    for (what, ended) in others {
        if let Err(error) = ended.await {
            tracing::error!(%error, "the loop of {what} broke off");
        }
    }
    world.tracker.close();
    world.tracker.wait().await;
}

/// Turns the engine's events into wake-ups. What they say does not matter: the engine is asked again.
async fn listen(world: World) {
    let mut events = world.engine.events().await;
    while let Some(_event) = events.next().await {
        world.engine_changed();
    }
}

/// Which services to advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those with an open deployment or something else they wait for; nothing else can have changed.
    Waiting,
}

/// Starts what is to be done; `true` when some service waits.
async fn activate(world: &World, busy: &Arc<Busy>, which: Which) -> bool {
    if which == Which::All {
        if let Err(error) = route::activate(world).await {
            tracing::error!(error = %chain(&error), "could not bring the route table up to date");
        }
        if let Err(error) = build::activate(world).await {
            tracing::error!(error = %chain(&error), "could not move the builds on");
        }
    }
    let services = match world.store.read(list_services).await {
        Ok(services) => services,
        Err(error) => {
            tracing::error!(error = %chain(&error), "could not list the services");
            return false;
        }
    };
    let some_wait = services.iter().any(|(_, waits)| *waits);
    for (service, waits) in services {
        if (waits || which == Which::All) && busy.begin(service) {
            world.tracker.spawn(advance(world.clone(), Arc::clone(busy), service));
        }
    }
    some_wait
}

/// Every service and whether it waits.
fn list_services(view: &View<'_>) -> Result<Vec<(ServiceId, bool)>, StoreError> {
    let services = view.list_services()?.into_iter().map(|service| {
        let says = view.waiting("service", service.id.row())?.is_some_and(|text| !text.is_empty());
        Ok((service.id, says || !view.open_deployments(service.id)?.is_empty()))
    });
    services.collect()
}

/// Advances one service, again for as long as somebody asked meanwhile.
async fn advance(world: World, busy: Arc<Busy>, id: ServiceId) {
    loop {
        // A task of its own, so that a panic is contained and said, and the service is tried again.
        let attempt = tokio::spawn({
            let world = world.clone();
            async move { service::advance(&world, id).await }
        });
        let failed = match attempt.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(error) => Some(format!("the loop broke off: {error}")),
        };
        if let Some(error) = failed {
            tracing::warn!(service = %id, %error, "could not move a service on; trying again");
            world.forget_engine();
            world.clock.sleep(RETRY).await;
            if !world.tracker.is_closed() {
                continue;
            }
        }
        if !busy.end(id) {
            return;
        }
    }
}

/// Which services are being advanced, and whether another round was asked for meanwhile.
#[derive(Debug, Default)]
struct Busy(Mutex<BTreeMap<ServiceId, bool>>);

impl Busy {
    /// `true` when the caller should start; otherwise the running one goes round again.
    fn begin(&self, id: ServiceId) -> bool {
        let mut busy = self.0.lock().expect("no holder panics");
        match busy.get_mut(&id) {
            Some(again) => {
                *again = true;
                false
            }
            None => {
                busy.insert(id, false);
                true
            }
        }
    }

    /// `true` when the caller should go round again.
    fn end(&self, id: ServiceId) -> bool {
        let mut busy = self.0.lock().expect("no holder panics");
        match busy.get_mut(&id) {
            Some(again) if *again => {
                *again = false;
                true
            }
            _ => {
                busy.remove(&id);
                false
            }
        }
    }
}
