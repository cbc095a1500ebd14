//! Registries: which credentials a pull gets, and the loop that asks Docker Hub how many pulls are left. The tenth seam; what
//! really asks is [`HttpPullLimits`]. Which registry a reference names, when one is asked and what people hear of it is decided in
//! `havre_core::registry`. Tests: `tests/it/registry.rs`, `tests/it/registry_http.rs`.

mod http;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use havre_build::context::read_text;
use havre_core::artifact::ImageRef;
use havre_core::event::Actor;
use havre_core::registry::{Credentials, RegistryHost};
use havre_core::service::spec::{DockerfileSource, ImageSource, ServiceSpec, SiteSource, Work};
use havre_decide::registry::limit::{PullLimit, is_due};
use havre_dockerfile::file::{TEXT_MAX, parse};
use havre_store::StoreError;
use tokio_util::sync::CancellationToken;

pub use http::HttpPullLimits;

use crate::deployment::chain;
use crate::world::World;

/// Whether it is time to ask is looked at this often; asking itself is far rarer.
const EVERY: Duration = Duration::from_secs(600);
/// Longest text of an error, in characters: others have a hand in it.
const ERROR_MAX: usize = 300;

/// Why a registry did not say how many pulls are left, for people. Never says a password or a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct LimitError {
    text: String,
}

impl LimitError {
    /// With this text, shortened to 300 characters.
    pub fn new(text: impl AsRef<str>) -> Self {
        let is_shown = |c: &char| !c.is_control();
        Self { text: text.as_ref().chars().filter(is_shown).take(ERROR_MAX).collect() }
    }
}

/// Asks Docker Hub how many pulls are left.
#[async_trait]
pub trait PullLimits: Send + Sync + std::fmt::Debug {
    /// What it says to who proves to be the user of `credentials`, or to this address without any; `None` where it sets no limit.
    /// Asking counts as no pull.
    ///
    /// # Errors
    /// When there is no such answer in time.
    async fn ask(&self, credentials: Option<&Credentials>) -> Result<Option<PullLimit>, LimitError>;
}

/// The credentials for the registry an image is pulled from.
///
/// # Errors
/// When there are some and they cannot be opened: then nothing is pulled.
pub async fn credentials(world: &World, reference: &ImageRef) -> Result<Option<Credentials>, StoreError> {
    let found = credentials_of(world, BTreeSet::from([RegistryHost::of(reference)])).await?;
    Ok(found.into_iter().next())
}

/// The credentials for the registries that the Dockerfile of a build names, and for no others.
///
/// # Errors
/// As above.
pub(crate) async fn base_credentials(
    world: &World,
    spec: &ServiceSpec,
    context: PathBuf,
) -> Result<Vec<Credentials>, StoreError> {
    let Some(source) = dockerfile(spec) else { return Ok(Vec::new()) };
    let source = source.clone();
    let read = tokio::task::spawn_blocking(move || base_registries(&context, &source)).await;
    // What cannot be read has no registries; whoever builds it says what is wrong with it.
    let hosts = read.ok().flatten().unwrap_or_default();
    credentials_of(world, hosts).await
}

fn dockerfile(spec: &ServiceSpec) -> Option<&DockerfileSource> {
    match &spec.work {
        Work::Tasks(work) => match &work.source {
            ImageSource::Dockerfile(source) => Some(source),
            ImageSource::Image { .. } => None,
        },
        Work::Site(work) => match &work.source {
            SiteSource::Dockerfile { build, .. } => Some(build),
            SiteSource::Folder { .. } => None,
        },
    }
}

/// Registries of the images a Dockerfile names.
fn base_registries(context: &std::path::Path, source: &DockerfileSource) -> Option<BTreeSet<RegistryHost>> {
    let limit = u64::try_from(TEXT_MAX).unwrap_or(u64::MAX);
    let text = read_text(context, source.dockerfile_in_context(), limit).ok().flatten()?;
    let file = parse(&text).ok()?;
    let arguments = source.args.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
    let images = file.images(&arguments);
    let references = images.iter().filter_map(|image| image.parse::<ImageRef>().ok());
    Some(references.map(|reference| RegistryHost::of(&reference)).collect())
}

async fn credentials_of(
    world: &World,
    hosts: BTreeSet<RegistryHost>,
) -> Result<Vec<Credentials>, StoreError> {
    let hub = RegistryHost::hub();
    if hosts.contains(&hub) {
        // The only one that is ever asked how many pulls are left.
        world.store.write(world.now(), Actor::Havre, move |tx| tx.use_registry(&hub)).await?;
    }
    let find = world.store.read(move |view| {
        let mut found = Vec::new();
        for host in &hosts {
            found.extend(view.find_registry_credentials(host)?);
        }
        Ok(found)
    });
    find.await
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    loop {
        tokio::select! {
            // A question that is cut here was recorded, and is asked again in its time.
            () = stop.cancelled() => return,
            ended = activate(&world) => {
                if let Err(error) = ended {
                    tracing::warn!(error = %chain(&error), "could not look whether a registry is to be asked; trying again");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = world.clock.sleep(EVERY) => {}
        }
    }
}

/// One round.
///
/// # Errors
/// When the store fails; a registry that does not answer is asked again in its time.
pub async fn activate(world: &World) -> Result<(), StoreError> {
    let now = world.now();
    let due = world.store.read(move |view| {
        let hub = RegistryHost::hub();
        let row = view.find_registry_limit(&hub)?;
        if !row.is_some_and(|row| is_due(row.used_at, row.asked_at, now)) {
            return Ok(None);
        }
        Ok(Some(view.find_registry_credentials(&hub)?))
    });
    let Some(credentials) = due.await? else { return Ok(()) };
    // Recorded first: whatever happens, it is not asked more often.
    world.store.write(now, Actor::Havre, |tx| tx.ask_registry(&RegistryHost::hub())).await?;
    match world.limits.ask(credentials.as_ref()).await {
        Ok(Some(limit)) => {
            let recorded = world.store.write(world.now(), Actor::Havre, move |tx| {
                tx.record_registry_limit(&RegistryHost::hub(), limit)
            });
            recorded.await
        }
        Ok(None) => Ok(()),
        Err(error) => {
            tracing::info!(%error, "could not learn how many pulls Docker Hub leaves us");
            Ok(())
        }
    }
}
