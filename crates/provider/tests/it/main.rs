//! Each kind of provider against a small server on this machine that speaks as the real one does: what is asked, what is made of the answers, and
//! what is said when something is wrong.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod bitwarden;
mod onepassword;
mod real;
mod server;
mod vault;

use std::collections::{BTreeMap, BTreeSet};

use havre_decide::secret::provider::OpenProvider;
use havre_decide::secret::provider::reference::Location;
use havre_provider::{FetchError, ProviderSettings, Providers, RealProviders};
use serde_json::Value;

/// Asks servers of this machine.
fn asks() -> RealProviders {
    RealProviders::new(ProviderSettings { files: None, allow_private: true })
}

/// A provider of the project `shop` with these settings.
fn provider(settings: Value, credential: &str) -> OpenProvider {
    OpenProvider {
        project: "shop".parse().unwrap(),
        name: "main".parse().unwrap(),
        spec: serde_json::from_value(settings).unwrap(),
        credential: Some(credential.into()),
    }
}

fn places(texts: &[&str]) -> BTreeSet<Location> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Value and version by place.
async fn fetch(provider: &OpenProvider, texts: &[&str]) -> Result<BTreeMap<String, String>, FetchError> {
    let fetched = asks().fetch(provider, &places(texts)).await?;
    let line = |(place, found): (Location, havre_decide::secret::provider::Fetched)| {
        let text = found.value.expose_text().unwrap().to_owned();
        (place.to_string(), format!("{text} ({})", found.version))
    };
    Ok(fetched.into_iter().map(line).collect())
}

/// The text of a refusal that only a person can end.
fn refused<T: std::fmt::Debug>(result: Result<T, FetchError>) -> String {
    match result.unwrap_err() {
        FetchError::Refused(text) => text,
        FetchError::Away(text) => panic!("it may come later: {text}"),
    }
}

/// The text of what may be over later.
fn away<T: std::fmt::Debug>(result: Result<T, FetchError>) -> String {
    match result.unwrap_err() {
        FetchError::Away(text) => text,
        FetchError::Refused(text) => panic!("it never comes: {text}"),
    }
}
