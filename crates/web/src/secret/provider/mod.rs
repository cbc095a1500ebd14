//! Secret providers: set, listed, tried, removed. Credentials go in and never come out; who asks the provider is handed over by the daemon.

pub mod list;
pub mod remove;
pub mod set;
pub mod test;

use havre_api::secret_provider::SecretProvider;
use havre_store::ProviderRow;

/// The wire form.
fn wire(row: ProviderRow) -> SecretProvider {
    let ProviderRow { environment, name, spec, set_at, set_by, .. } = row;
    SecretProvider { name, environment, settings: spec, set_at, set_by }
}
