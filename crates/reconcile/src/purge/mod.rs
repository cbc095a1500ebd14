//! The purge loop: tells CDNs to forget pages once every edge serves the new release. The ninth seam; what really calls is
//! [`HttpPurger`], the reason is in `docs/decisions/0025-purge-seam.md`. When a call is due is decided in
//! `havre_core::site::purge`. Tests: `tests/it/purge.rs`, `tests/it/purge_http.rs`.

mod http;

use std::time::Duration;

use async_trait::async_trait;
use havre_core::event::Actor;
use havre_core::service::spec::Work;
use havre_core::site::purge::{PurgeSpec, is_due, pages_tag, site_tag};
use havre_core::time::Timestamp;
use havre_store::{PurgeRow, StoreError, View};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use http::{HttpPurger, PurgeSettings};

use crate::deployment::chain;
use crate::world::World;

/// Everything is looked at again this often: nothing announces that the time of another try has come.
const RESYNC: Duration = Duration::from_secs(10);
/// Calls under way at once. A CDN that does not answer keeps only those that began with it waiting.
const CALLS: usize = 8;
/// Longest text of an error, in characters: it becomes part of an event, and others have a hand in it.
const TEXT_MAX: usize = 300;

/// Why a CDN could not be told, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PurgeError {
    text: String,
}

impl PurgeError {
    /// With this text, shortened to 300 characters. It must hold no secret: it is shown to whoever may read events.
    pub fn new(text: impl AsRef<str>) -> Self {
        let is_shown = |c: &char| !c.is_control();
        Self { text: text.as_ref().chars().filter(is_shown).take(TEXT_MAX).collect() }
    }
}

/// Calls CDNs.
#[async_trait]
pub trait Purger: Send + Sync + std::fmt::Debug {
    /// Makes the call for the pages with this tag, once; the status of the answer when it is one of success (2xx).
    ///
    /// # Errors
    /// When there is no such answer in time, or the call may not be made. Never says the value of a secret.
    async fn purge(&self, spec: &PurgeSpec, tag: &str) -> Result<u16, PurgeError>;
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        tokio::select! {
            // A call that is cut here is made again after the start: its row is still there, and to forget twice harms nobody.
            () = stop.cancelled() => return,
            ended = activate(&world) => {
                if let Err(error) = ended {
                    tracing::error!(error = %chain(&error), "could not look for calls to CDNs; trying again");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.changed() => {}
            () = world.clock.sleep(RESYNC) => {}
        }
    }
}

/// One round: makes every call that is due.
///
/// # Errors
/// When the store fails; a call that fails is recorded instead.
pub async fn activate(world: &World) -> Result<(), StoreError> {
    let now = world.now();
    let due = world.store.read(move |view| list_due(view, now)).await?;
    for together in due.chunks(CALLS) {
        // Tasks of their own, so that a panic is contained and its call is made again.
        let mut calls = JoinSet::new();
        for call in together.iter().cloned() {
            let world = world.clone();
            calls.spawn(async move { make(&world, call).await });
        }
        while let Some(ended) = calls.join_next().await {
            match ended {
                Ok(recorded) => recorded?,
                Err(error) => tracing::error!(%error, "a call to a CDN broke off; trying again"),
            }
        }
    }
    Ok(())
}

/// A call whose time has come.
#[derive(Debug, Clone)]
struct Call {
    row: PurgeRow,
    spec: PurgeSpec,
    tag: String,
}

fn list_due(view: &View<'_>, now: Timestamp) -> Result<Vec<Call>, StoreError> {
    let mut due = Vec::new();
    for row in view.list_purges()? {
        if !is_due(row.next_at, &view.open_deployments(row.service)?, now) {
            continue;
        }
        let Work::Site(site) = view.get_release(row.release)?.spec.work else { continue };
        let Some(spec) = site.settings.cdn.and_then(|cdn| cdn.purge) else { continue };
        let tag = pages_tag(&site_tag(&view.get_service(row.service)?.place));
        due.push(Call { row, spec: *spec, tag });
    }
    Ok(due)
}

/// Makes one call and records how it ended.
async fn make(world: &World, call: Call) -> Result<(), StoreError> {
    let Call { row, spec, tag } = call;
    let result = world.purger.purge(&spec, &tag).await;
    if let Err(error) = &result {
        tracing::warn!(service = %row.service, release = %row.release, %error, "could not tell a CDN to forget pages");
    }
    let result = result.map_err(|error| error.to_string());
    world.store.write(world.now(), Actor::Havre, move |tx| tx.record_purge(row, result)).await
}
