//! The purge loop: tells CDNs to forget pages once every edge serves the new release. The ninth seam: what really calls is
//! `HttpPurger`; reason in `docs/decisions/0020-sites-have-a-document.md`. Tests: `tests/it/site.rs`, and at the end of the file.

mod http;

use async_trait::async_trait;
use havre_core::deployment::state::State;
use havre_core::event::Actor;
use havre_core::service::spec::Work;
use havre_core::site::purge::PurgeSpec;
use havre_store::{PurgeRow, StoreError, View};

pub use http::{HttpPurger, PurgeSettings};

use crate::world::World;

/// Why a CDN could not be told.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct PurgeError(pub String);

/// Calls CDNs.
#[async_trait]
pub trait Purger: Send + Sync + std::fmt::Debug {
    /// Makes the call for pages with this tag; the status when it is one of success.
    ///
    /// # Errors
    /// Says for a person why not; never names the secret's value.
    async fn purge(&self, spec: &PurgeSpec, tag: &str) -> Result<u16, PurgeError>;
}

/// One round: makes every call that is due, one after the other.
///
/// # Errors
/// When the store fails.
pub async fn activate(world: &World) -> Result<(), StoreError> {
    let now = world.now();
    let due = world.store.read(move |view| due(view, now)).await?;
    for (purge, spec, tag) in due {
        let result = world.purger.purge(&spec, &tag).await.map_err(|error| error.to_string());
        world.store.write(world.now(), Actor::Havre, move |tx| tx.record_purge(&purge, result)).await?;
    }
    Ok(())
}

type Due = (PurgeRow, PurgeSpec, String);

/// Calls whose time has come, of services that are not between two releases: earlier, a CDN would fetch old pages again.
fn due(view: &View<'_>, now: havre_core::time::Timestamp) -> Result<Vec<Due>, StoreError> {
    let mut due = Vec::new();
    for purge in view.list_purges()?.into_iter().filter(|purge| purge.next_at <= now) {
        let switching = |state: &State| matches!(state, State::Switching { .. } | State::Reverting { .. });
        if view.open_deployments(purge.service)?.iter().any(|one| switching(&one.state)) {
            continue;
        }
        let Work::Site(site) = view.get_release(purge.release)?.spec.work else { continue };
        let Some(spec) = site.settings.cdn.and_then(|cdn| cdn.purge) else { continue };
        let place = view.get_service(purge.service)?.place;
        let tag = format!("{}-{}-{}-pages", place.project, place.environment, place.service);
        due.push((purge, spec, tag));
    }
    Ok(due)
}
