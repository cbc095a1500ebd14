//! Values that providers keep, fetched once for each release: when it is first deployed, before anything is changed. They are kept with it, sealed,
//! so that its tasks start again while the provider is away. Tests: `tests/it/provider.rs`.

use std::collections::BTreeMap;

use havre_core::event::Actor;
use havre_core::release::Release;
use havre_decide::secret::provider::Fetched;
use havre_decide::secret::provider::reference::{REFERENCES_MAX, Reference};
use havre_provider::FetchError;
use havre_store::{StoreError, WantedValues};

use crate::execute::Fault;
use crate::variable::unusable;
use crate::world::World;

/// Fetches and records what a release refers to and does not have yet. Each provider is recorded by itself: none is asked again because
/// another one is away.
pub(crate) async fn ensure(world: &World, release: &Release) -> Result<(), Fault> {
    let id = release.id;
    let wanted = match world.store.read(move |view| view.list_wanted_values(id)).await {
        Ok(wanted) => wanted,
        Err(error @ (StoreError::Sealed { .. } | StoreError::NoMasterKey)) => {
            return Err(unusable(id, &error).into());
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(refusal) = refusal(&wanted) {
        return Err(Fault::Impossible(refusal));
    }
    for (provider, locations) in wanted.asked {
        let name = provider.name.clone();
        let fetched = world.providers.fetch(&provider, &locations).await.map_err(|error| match error {
            FetchError::Refused(text) => Fault::Impossible(format!("the secret provider {name}: {text}")),
            FetchError::Away(text) => Fault::NotYet(format!("the secret provider {name}: {text}")),
        })?;
        let named = |(location, value)| (Reference { provider: name.clone(), location }, value);
        let values: BTreeMap<Reference, Fetched> = fetched.into_iter().map(named).collect();
        let record =
            world.store.write(world.now(), Actor::Havre, move |tx| tx.record_release_values(id, &values));
        record.await?;
    }
    Ok(())
}

/// Why nobody is asked.
fn refusal(wanted: &WantedValues) -> Option<String> {
    let place = &wanted.place;
    if wanted.is_refused {
        return Some(format!(
            "{place} refers to values of secret providers, and the preview of a fork never gets any"
        ));
    }
    if wanted.count() > REFERENCES_MAX {
        let count = wanted.count();
        return Some(format!(
            "{place} refers to {count} values of secret providers, and {REFERENCES_MAX} are fetched at most"
        ));
    }
    let unknown = wanted.unknown.first()?;
    Some(format!(
        "{}/{} has no secret provider `{}`, which {unknown} is of; `havre secret provider add` makes it, then deploy again",
        place.project, place.environment, unknown.provider
    ))
}
