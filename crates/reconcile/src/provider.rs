//! Values that providers keep, fetched once for each release: when it is first deployed, before anything is changed. They are kept with it, sealed,
//! so that its tasks start again while the provider is away. Tests: `tests/it/provider.rs`.

use std::collections::BTreeMap;

use havre_core::event::Actor;
use havre_core::release::Release;
use havre_decide::secret::provider::Fetched;
use havre_decide::secret::provider::reference::Reference;
use havre_provider::FetchError;
use havre_store::StoreError;

use crate::execute::Fault;
use crate::variable::unusable;
use crate::world::World;

/// Fetches and records what a release refers to and does not have yet. Each provider is recorded by itself: none is asked again because
/// another one is away.
pub(crate) async fn ensure(world: &World, release: &Release) -> Result<(), Fault> {
    let id = release.id;
    let fault = |error: StoreError| match matches!(error, StoreError::Sealed { .. } | StoreError::NoMasterKey)
    {
        true => Fault::from(unusable(id, &error)),
        false => Fault::from(error),
    };
    let wanted = world.store.read(move |view| view.list_wanted_values(id)).await.map_err(fault)?;
    if let Some(refusal) = wanted.refusal() {
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
        record.await.map_err(fault)?;
    }
    Ok(())
}
