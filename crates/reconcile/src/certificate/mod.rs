//! The loop of certificates: which are wanted, what each needs next, the steps. Every choice is in
//! `havre_core::certificate`. Tests: `tests/it/certificate`.
//!
//! One snapshot of the rows plans for all of them; each step runs by itself, so that an issuer or a server of names that does
//! not answer keeps nobody else waiting. A certificate has one step under way at most.

pub mod address;
mod execute;
mod observe;
mod sight;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use havre_core::certificate::{Certificate, Source};
use havre_core::event::Actor;
use havre_core::id::CertificateId;
use havre_core::time::Timestamp;
use havre_decide::certificate::check::check;
use havre_decide::certificate::plan::{Plan, Step, plan};
use havre_decide::certificate::seen::{Seen, Wanted};
use havre_store::StoreError;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::world::World;
use observe::Observed;
use sight::Sight;

/// Steps under way at once. They wait for others most of the time; certificates that never failed go first.
const STEPS: usize = 64;
/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(30);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// An automatic certificate nobody wants is forgotten this long after it has expired.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What the loop remembers in memory only: looks at the world, and which steps are under way.
#[derive(Debug)]
pub struct Desk {
    sights: Mutex<BTreeMap<CertificateId, Sight>>,
    busy: Mutex<BTreeSet<CertificateId>>,
    steps: Arc<Semaphore>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { sights: Mutex::default(), busy: Mutex::default(), steps: Arc::new(Semaphore::new(STEPS)) }
    }
}

impl Desk {
    fn sight(&self, id: CertificateId) -> Sight {
        self.sights.lock().expect("no holder panics").get(&id).cloned().unwrap_or_default()
    }

    fn look(&self, id: CertificateId, change: impl FnOnce(&mut Sight)) {
        change(self.sights.lock().expect("no holder panics").entry(id).or_default());
    }

    fn begin(&self, id: CertificateId) -> bool {
        self.busy.lock().expect("no holder panics").insert(id)
    }

    fn end(&self, id: CertificateId) {
        self.busy.lock().expect("no holder panics").remove(&id);
    }
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        let again = match activate(&world).await {
            Ok(again) => again,
            Err(error) => {
                tracing::error!(error = %chain(&error), "could not move the certificates on; trying again");
                None
            }
        };
        let pause = again.map_or(RESYNC, |at| at.since(world.now()).min(RESYNC)).max(GATHER);
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.changed() => {}
            () = world.certificates_wake.notified() => {}
            () = world.clock.sleep(pause) => {}
        }
        world.clock.sleep(GATHER).await;
    }
}

/// Plans for every certificate and starts what is to be done; when to look again if nothing happens before.
///
/// # Errors
/// When the store fails.
pub async fn activate(world: &World) -> Result<Option<Timestamp>, StoreError> {
    ensure_wanted(world).await?;
    let observed = Observed::new(world).await?;
    let mut rows: Vec<&Certificate> = observed.rows.iter().collect();
    // Those that never failed first: a broken one never takes their place.
    rows.sort_by_key(|row| (row.record.failures, row.current.is_some(), row.id));
    let mut again: Option<Timestamp> = None;
    for row in rows {
        if world.certificates.busy.lock().expect("no holder panics").contains(&row.id) {
            continue;
        }
        let mut sight = world.certificates.sight(row.id);
        let published = observed.published(row, &sight);
        if sight.published != published {
            // What the edges gave before says nothing about what they were given since.
            sight.gave = None;
            sight.published = published;
            let known = sight.published.clone();
            world.certificates.look(row.id, |sight| (sight.gave, sight.published) = (None, known));
        }
        let (wanted, seen) = (observed.wanted(row), observed.seen(&sight));
        if let Some(at) = advance(world, row, &wanted, &seen).await? {
            again = Some(again.map_or(at, |other| other.min(at)));
        }
    }
    Ok(again)
}

/// One certificate; when it wants to be looked at again.
async fn advance(
    world: &World,
    row: &Certificate,
    wanted: &Wanted,
    seen: &Seen,
) -> Result<Option<Timestamp>, StoreError> {
    let now = world.now();
    let mut plan = plan(row, wanted, seen, now);
    if let Err(violation) = check(row, &plan, wanted, seen, now) {
        tracing::error!(certificate = %row.id, %violation, "refused to execute a plan that breaks a law");
        plan = Plan::default();
    }
    record_waiting(world, row, &plan).await?;
    if let Some(state) = plan.next {
        let row = row.clone();
        let stored =
            world.store.write(now, Actor::Havre, move |tx| tx.set_certificate_state(&row, state)).await;
        ignore_conflict(stored)?;
        world.certificates_wake.notify_one();
        return Ok(None);
    }
    if let Some(step) = plan.step {
        start(world, row.clone(), wanted.clone(), step);
        return Ok(None);
    }
    Ok(plan.look_again_at)
}

fn start(world: &World, row: Certificate, wanted: Wanted, step: Step) {
    if !world.certificates.begin(row.id) {
        return;
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        let id = row.id;
        let slot = Arc::clone(&world.certificates.steps).acquire_owned().await;
        // A task of its own, so that a panic is contained and the certificate is tried again.
        let attempt = tokio::spawn({
            let world = world.clone();
            async move { execute::execute(&world, &row, &wanted, step).await }
        });
        let ended = attempt.await;
        drop(slot);
        let failed = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(error) => Some(format!("the step broke off: {error}")),
        };
        if let Some(error) = failed {
            tracing::warn!(certificate = %id, %error, "could not finish a step; trying again");
            world.clock.sleep(Duration::from_secs(5)).await;
        }
        world.certificates.end(id);
        world.certificates_wake.notify_one();
    });
}

async fn record_waiting(world: &World, row: &Certificate, plan: &Plan) -> Result<(), StoreError> {
    // While a step runs, what was waited for before it is still the best answer.
    if plan.step.is_some() {
        return Ok(());
    }
    let text: Vec<String> = plan.waiting_on.iter().map(ToString::to_string).collect();
    crate::service::record_waiting(world, "certificate", row.id.row(), text.join("; ")).await
}

/// Somebody changed the row meanwhile; the next activation plans from what is there now.
fn ignore_conflict(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

/// Rows for what services want; forgets those that nobody wants and that have expired.
async fn ensure_wanted(world: &World) -> Result<(), StoreError> {
    let now = world.now();
    let (sets, differs) = world
        .store
        .read(move |view| {
            let sets = observe::wanted_sets(view, now)?;
            let rows = view.list_certificates()?;
            let has = |names: &Vec<_>| {
                rows.iter().any(|row| row.is_wanted && row.source == Source::Automatic && row.names == *names)
            };
            let is_extra = |row: &Certificate| {
                row.is_wanted && row.source == Source::Automatic && !sets.contains(&row.names)
            };
            let differs = !sets.iter().all(has) || rows.iter().any(is_extra);
            Ok((sets, differs))
        })
        .await?;
    if differs {
        world.store.write(now, Actor::Havre, move |tx| tx.want_certificates(&sets)).await?;
    }
    let old = world.store.read(|view| view.list_certificates()).await?.into_iter().filter(|row| {
        let is_over = row.current.as_ref().is_none_or(|current| now.since(current.not_after) > FORGET_AFTER);
        row.source == Source::Automatic && !row.is_wanted && is_over && row.record.leftovers.is_empty()
    });
    for row in old.collect::<Vec<_>>() {
        world.store.write(now, Actor::Havre, move |tx| tx.remove_certificate(row.id)).await?;
    }
    Ok(())
}
