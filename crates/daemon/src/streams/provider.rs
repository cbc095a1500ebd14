//! Asks a secret provider for the API. What it gives is neither kept nor shown.

use havre_decide::secret::provider::OpenProvider;
use havre_decide::secret::provider::reference::Location;
use havre_provider::Providers;

/// Logs in; with a place it also reads the value there, and says which version it is.
pub(super) async fn look(
    providers: &dyn Providers,
    provider: &OpenProvider,
    location: Option<Location>,
) -> Result<String, String> {
    let Some(location) = location else {
        return providers.look(provider).await.map_err(|error| error.to_string());
    };
    let fetched = providers.fetch(provider, &[location.clone()].into()).await;
    let fetched = fetched.map_err(|error| error.to_string())?;
    let version = fetched.get(&location).map(|found| found.version.to_string());
    version
        .map(|version| format!("{location} is there, {version}"))
        .ok_or_else(|| format!("{location} did not come"))
}
