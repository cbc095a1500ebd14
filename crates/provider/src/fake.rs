//! A provider for tests of what happens around one: it gives what it was told to have, and fails when it was told to. Refuses as the real one does
//! what it does not have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use havre_core::name::ProviderName;
use havre_core::secret::value::parse_value;
use havre_decide::secret::provider::reference::{Location, Reference};
use havre_decide::secret::provider::{Fetched, OpenProvider, ValueVersion};

use crate::{FetchError, Providers};

/// Keeps values in memory.
#[derive(Debug, Default)]
pub struct FakeProviders {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Text and version by reference.
    values: BTreeMap<Reference, (String, u64)>,
    failures: BTreeMap<ProviderName, VecDeque<FetchError>>,
    asked: Vec<Reference>,
}

impl State {
    fn fail(&mut self, name: &ProviderName) -> Option<FetchError> {
        self.failures.get_mut(name)?.pop_front()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("values", &self.values.keys()).finish_non_exhaustive()
    }
}

impl FakeProviders {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has this value from now on, under the next version.
    pub fn put(&self, reference: Reference, text: &str) {
        self.with(|state| {
            let entry = state.values.entry(reference).or_default();
            *entry = (text.to_owned(), entry.1 + 1);
        });
    }

    /// Has nothing any more.
    pub fn clear(&self) {
        self.with(|state| state.values.clear());
    }

    /// This one fails so once, after what was said of it before.
    pub fn fail_next(&self, name: ProviderName, error: FetchError) {
        self.with(|state| state.failures.entry(name).or_default().push_back(error));
    }

    /// Every value that was asked for, in order, also those of calls that failed.
    pub fn asked(&self) -> Vec<Reference> {
        self.with(|state| state.asked.clone())
    }
}

#[async_trait]
impl Providers for FakeProviders {
    async fn fetch(
        &self,
        provider: &OpenProvider,
        locations: &BTreeSet<Location>,
    ) -> Result<BTreeMap<Location, Fetched>, FetchError> {
        self.with(|state| {
            let of = |location: &Location| Reference {
                provider: provider.name.clone(),
                location: location.clone(),
            };
            state.asked.extend(locations.iter().map(of));
            if let Some(error) = state.fail(&provider.name) {
                return Err(error);
            }
            let mut fetched = BTreeMap::new();
            for location in locations {
                provider.spec.takes(location).map_err(FetchError::refused)?;
                let missing = || FetchError::refused(format!("there is nothing at {location}"));
                let (text, version) = state.values.get(&of(location)).ok_or_else(missing)?;
                let value =
                    parse_value(text.clone()).map_err(|error| FetchError::refused(error.to_string()))?;
                let version = ValueVersion::new(&version.to_string());
                fetched.insert(location.clone(), Fetched { value, version });
            }
            Ok(fetched)
        })
    }

    async fn look(&self, provider: &OpenProvider) -> Result<String, FetchError> {
        match self.with(|state| state.fail(&provider.name)) {
            Some(error) => Err(error),
            None => Ok("it answers".to_owned()),
        }
    }
}
