//! The seam to whoever keeps secrets outside of Havre: trait, real and fake. Vault and OpenBao, 1Password by a Connect server, Bitwarden Secrets
//! Manager, and files of the server. From a provider and the places of values to the values; when that happens, and what becomes of
//! them, is said in `havre-reconcile`.
//!
//! A crate of its own because it enforces a ban: it sees no store and no other seam, and keeps nothing it was given. Servers are called
//! through `havre-outward` and in no other way. Tests: `tests/it`, against small servers that speak as the real ones do, and at the end of files.

pub mod fake;

mod bitwarden;
mod call;
mod file;
mod onepassword;
mod real;
mod vault;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use havre_core::secret::Secret;
use havre_core::secret::value::parse_value;
use havre_decide::secret::provider::reference::Location;
use havre_decide::secret::provider::{Fetched, OpenProvider};
use serde_json::Value;

pub use real::{ProviderSettings, RealProviders};

/// Longest text of an error, in characters: it becomes part of a deployment, and others have a hand in it.
const TEXT_MAX: usize = 400;

/// Why values cannot be had, for people. Never says a value or a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not until a person changes something.
    #[error("{0}")]
    Refused(String),
    /// Later it may be.
    #[error("{0}")]
    Away(String),
}

impl FetchError {
    /// With this text, shortened.
    pub fn refused(text: impl AsRef<str>) -> Self {
        Self::Refused(shown(text.as_ref()))
    }

    /// With this text, shortened.
    pub fn away(text: impl AsRef<str>) -> Self {
        Self::Away(shown(text.as_ref()))
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect()
}

/// Gives values that are kept outside.
#[async_trait]
pub trait Providers: Send + Sync + std::fmt::Debug {
    /// The values at these places, all of them; each is asked for once.
    ///
    /// # Errors
    /// The first that cannot be had.
    async fn fetch(
        &self,
        provider: &OpenProvider,
        locations: &BTreeSet<Location>,
    ) -> Result<BTreeMap<Location, Fetched>, FetchError>;

    /// Looks whether it answers and takes the credential, and says what was seen. Reads no value.
    ///
    /// # Errors
    /// It does not.
    async fn look(&self, provider: &OpenProvider) -> Result<String, FetchError>;
}

/// What a server says is a value, where it is text that a variable can hold.
fn text_of(location: &Location, value: &Value) -> Result<Secret, FetchError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is_so) => is_so.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(FetchError::refused(format!("{location} is no text")));
        }
    };
    parse_value(text).map_err(|error| FetchError::refused(format!("{location}: {error}")))
}
