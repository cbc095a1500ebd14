//! The real providers: from the kind of one to the client that asks it, within limits that hold for all. Tests: `tests/it`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use havre_core::secret::Secret;
use havre_decide::secret::provider::reference::{Form, Location, REFERENCES_MAX};
use havre_decide::secret::provider::setting::{CaText, ProviderSpec, ServerUrl};
use havre_decide::secret::provider::{Fetched, OpenProvider};
use havre_outward::Caller;
use tokio::time::timeout;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::bitwarden::Bitwarden;
use crate::call::{BODY_MAX, Client};
use crate::onepassword::OnePassword;
use crate::vault::Vault;
use crate::{FetchError, Providers, file};

/// Longest time for one call.
const CALL: Duration = Duration::from_secs(10);
/// Longest time for all values of one provider: less than what a request of the API may take.
const LIMIT: Duration = Duration::from_secs(25);

/// What the administrator allows.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// Folder of values in files, in it one for each project; none where files are not allowed.
    pub files: Option<PathBuf>,
    /// Servers may be at addresses that are not public, and be called over plain HTTP.
    pub allow_private: bool,
}

/// Asks over the network, and reads files.
#[derive(Debug, Clone)]
pub struct RealProviders {
    settings: ProviderSettings,
    limit: Duration,
}

impl RealProviders {
    /// Asks what `settings` allow.
    pub const fn new(settings: ProviderSettings) -> Self {
        Self { settings, limit: LIMIT }
    }

    /// With another limit for all values of one provider, for tests of what happens at it.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn caller(&self, spec: &ProviderSpec) -> Result<Caller, FetchError> {
        let caller = Caller::new(self.settings.allow_private, Some("provider_private"), BODY_MAX + 1);
        let caller = caller.with_limit(CALL);
        match spec.ca() {
            Some(ca) => Ok(caller.with_roots(roots(ca)?)),
            None => Ok(caller),
        }
    }

    fn client(&self, spec: &ProviderSpec, url: &ServerUrl) -> Result<Client, FetchError> {
        Ok(Client::new(self.caller(spec)?, url.url().clone(), url.base()))
    }

    /// The folder of values in files.
    fn files(&self) -> Result<PathBuf, FetchError> {
        let none = || {
            FetchError::refused(
                "this server allows no values in files: its administrator sets `provider_files` in havred.toml",
            )
        };
        self.settings.files.clone().ok_or_else(none)
    }

    async fn read(
        &self,
        provider: &OpenProvider,
        locations: &BTreeSet<Location>,
    ) -> Result<BTreeMap<Location, Fetched>, FetchError> {
        match self.open(provider)? {
            Opened::Vault(vault) => vault.fetch(locations).await,
            Opened::OnePassword(server) => server.fetch(locations).await,
            Opened::Bitwarden(server) => server.fetch(locations).await,
            Opened::Files(root) => {
                let (project, locations) = (provider.project.clone(), locations.clone());
                let read = move || -> Result<_, FetchError> {
                    let mut fetched = BTreeMap::new();
                    for location in locations {
                        if let Form::Whole { path } = location.form() {
                            let value = file::read(&root, &project, path)?;
                            fetched.insert(location, value);
                        }
                    }
                    Ok(fetched)
                };
                blocking(read).await
            }
        }
    }

    async fn see(&self, provider: &OpenProvider) -> Result<String, FetchError> {
        match self.open(provider)? {
            Opened::Vault(vault) => vault.look().await,
            Opened::OnePassword(server) => server.look().await,
            Opened::Bitwarden(server) => server.look().await,
            Opened::Files(root) => {
                let project = provider.project.clone();
                blocking(move || file::look(&root, &project)).await
            }
        }
    }

    fn open<'p>(&self, provider: &'p OpenProvider) -> Result<Opened<'p>, FetchError> {
        let spec = &provider.spec;
        let credential = || -> Result<&'p Secret, FetchError> {
            provider
                .credential
                .as_ref()
                .ok_or_else(|| FetchError::refused("it has no credential: set it again"))
        };
        Ok(match spec {
            ProviderSpec::Vault { url, namespace, role_id, auth_mount, .. } => Opened::Vault(Vault {
                client: self.client(spec, url)?,
                namespace: namespace.as_ref(),
                role_id: role_id.as_ref(),
                auth_mount: auth_mount.as_ref(),
                credential: credential()?,
            }),
            ProviderSpec::OnePassword { url, .. } => {
                Opened::OnePassword(OnePassword { client: self.client(spec, url)?, token: credential()? })
            }
            ProviderSpec::Bitwarden { url, .. } => {
                Opened::Bitwarden(Bitwarden::new(&self.caller(spec)?, url, credential()?)?)
            }
            ProviderSpec::File {} => Opened::Files(self.files()?),
        })
    }

    /// Within the limit for one provider.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, FetchError>> + Send,
    ) -> Result<T, FetchError> {
        match timeout(self.limit, work).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::away(format!("not everything came within {:?}", self.limit))),
        }
    }
}

/// What asks a provider of each kind.
enum Opened<'p> {
    Vault(Vault<'p>),
    OnePassword(OnePassword<'p>),
    Bitwarden(Bitwarden<'p>),
    Files(PathBuf),
}

#[async_trait]
impl Providers for RealProviders {
    async fn fetch(
        &self,
        provider: &OpenProvider,
        locations: &BTreeSet<Location>,
    ) -> Result<BTreeMap<Location, Fetched>, FetchError> {
        if locations.len() > REFERENCES_MAX {
            let message = format!(
                "{} values are wanted at once, and {REFERENCES_MAX} are fetched at most",
                locations.len()
            );
            return Err(FetchError::refused(message));
        }
        for location in locations {
            provider.spec.takes(location).map_err(FetchError::refused)?;
        }
        self.in_time(self.read(provider, locations)).await
    }

    async fn look(&self, provider: &OpenProvider) -> Result<String, FetchError> {
        self.in_time(self.see(provider)).await
    }
}

/// The disk may be slow.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    let read = tokio::task::spawn_blocking(work).await;
    read.map_err(|error| FetchError::away(format!("reading files broke off: {error}")))?
}

/// Whom a provider wants trusted, and nobody else.
fn roots(ca: &CaText) -> Result<RootCertStore, FetchError> {
    let wrong = |error: String| {
        FetchError::refused(format!("the certificates of its authority cannot be read: {error}"))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.to_string().as_bytes()) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there are none".to_owned()));
    }
    Ok(roots)
}
