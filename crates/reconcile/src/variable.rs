//! What is added to the environment of a task beside the specification of its release: secrets, and how its databases are reached.
//! The one place that decides to look them up; which variables follow is derived in `havre_decide::secret::provider` and
//! `havre_decide::database::variable`. Also what keeps them out of logs. Tests: `tests/it/secret.rs`, `tests/it/database.rs`.

use std::collections::BTreeMap;

use havre_core::id::ReleaseId;
use havre_core::name::{EnvKey, ProjectName};
use havre_core::release::Release;
use havre_core::secret::Secret;
use havre_core::secret::variables::Variables;
use havre_core::service::{Place, Service};
use havre_core::task::spec::TaskSpec;
use havre_decide::secret::provider::reference::{Missing, derive, wants_values};
use havre_decide::secret::redact::Redactor;
use havre_store::{Store, StoreError, View};

use crate::database::variable as database;
use crate::deployment::chain;
use crate::execute::Fault;
use crate::world::World;

/// Why a task of a release cannot have its variables. Says no value.
#[derive(Debug, thiserror::Error)]
pub enum VariableError {
    /// Something is missing, gone, or cannot be opened; only a person helps.
    #[error("{0}")]
    Unusable(String),
    /// A database does not let the service in yet.
    #[error("{0}")]
    NotYet(String),
    /// The store failed; it may go on later.
    #[error("could not look up the secrets of a release")]
    Store(#[source] StoreError),
}

impl From<VariableError> for Fault {
    fn from(error: VariableError) -> Self {
        match error {
            VariableError::Unusable(message) => Self::Impossible(message),
            VariableError::NotYet(message) => Self::NotYet(message),
            VariableError::Store(error) => Self::Store(error),
        }
    }
}

/// Everything that is added to tasks of a release.
pub(crate) async fn of_release(world: &World, release: &Release) -> Result<Variables, Fault> {
    Ok(read(&world.store, release).await?)
}

/// Gives a task of a release what is added to its environment.
pub(crate) async fn give(world: &World, release: &Release, task: &mut TaskSpec) -> Result<(), Fault> {
    task.give(&of_release(world, release).await?);
    Ok(())
}

/// The same for whoever has a store and no world.
///
/// # Errors
/// See [`VariableError`]; nothing may be started then.
pub async fn read(store: &Store, release: &Release) -> Result<Variables, VariableError> {
    let mut variables = read_secrets(store, release).await?;
    for (name, value) in read_databases(store, release).await? {
        variables.add(name, value);
    }
    Ok(variables)
}

async fn read_databases(store: &Store, release: &Release) -> Result<BTreeMap<EnvKey, Secret>, VariableError> {
    let (service, uses) = (release.service, release.spec.uses().to_vec());
    if uses.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = store.read(move |view| {
        let service = view.get_service(service)?;
        database::read(view, service.environment, &service.place.service, &uses)
    });
    let found = found.await.map_err(VariableError::Store)?;
    found.map_err(|missing| VariableError::NotYet(missing.to_string()))
}

async fn read_secrets(store: &Store, release: &Release) -> Result<Variables, VariableError> {
    let Some(work) = release.spec.tasks().filter(|work| wants_values(work)) else {
        return Ok(Variables::default());
    };
    let (id, service) = (release.id, release.service);
    let found = store.read(move |view| {
        let opened = view.open_release_secrets(id);
        let opened = opened.and_then(|values| Ok((values, view.open_release_values(id)?)));
        Ok((view.get_service(service)?.place, opened))
    });
    let (place, opened) = found.await.map_err(VariableError::Store)?;
    match opened {
        Ok((values, fetched)) => derive(work, &values, &fetched)
            .map_err(|missing| VariableError::Unusable(missing_text(id, &place, &missing))),
        Err(
            error @ (StoreError::SecretGone { .. }
            | StoreError::Sealed { .. }
            | StoreError::NoMasterKey
            | StoreError::NotFound { .. }),
        ) => Err(unusable(id, &error)),
        Err(error) => Err(VariableError::Store(error)),
    }
}

fn missing_text(release: ReleaseId, place: &Place, missing: &Missing) -> String {
    let Place { project, environment, .. } = place;
    if let (true, Some(value)) = (missing.secrets.is_empty(), missing.values.first()) {
        return format!("{release} was never given the value {value}; deploy again");
    }
    let names: Vec<&str> = missing.secrets.iter().map(EnvKey::as_str).collect();
    let first = names.first().copied().unwrap_or_default();
    let fork = match environment.pull() {
        Some(_) => " (the preview of a fork never gets any)",
        None => "",
    };
    format!(
        "{release} was made when {project}/{environment} had no value for {}{fork}; set each, such as with \
         `havre secret set {first} --env {environment}`, then deploy again",
        names.join(", ")
    )
}

/// What cannot be opened stays so until a person acts.
pub(crate) fn unusable(release: ReleaseId, error: &StoreError) -> VariableError {
    VariableError::Unusable(format!(
        "{release} cannot have its secrets: {}; `havre secret list` shows those there are, `havre secret set` gives one a new value, \
         and a deploy or `havre restart` takes the newest",
        chain(error)
    ))
}

/// Keeps the values a release starts with out of text. Best effort: a value that cannot be opened is in no task either.
pub async fn redactor(store: &Store, release: ReleaseId) -> Redactor {
    let mut redactor = Redactor::default();
    match store.read(move |view| list_values(view, release)).await {
        Ok(values) => values.iter().for_each(|(name, value)| redactor.add(name, value)),
        Err(error) => {
            tracing::warn!(%release, error = %chain(&error), "could not look up what must not be in a log");
        }
    }
    redactor
}

/// Keeps every value a project has out of text, and the passwords these services have for their databases: for text that leaves the server.
///
/// # Errors
/// When they cannot be looked up: then such a text must not leave.
pub(crate) fn project_redactor(
    view: &View<'_>,
    project: &ProjectName,
    services: &[Service],
) -> Result<Redactor, StoreError> {
    let mut redactor = Redactor::default();
    for (name, value) in view.list_secret_values(project)? {
        redactor.add(&name, &value);
    }
    for service in services {
        let passwords =
            database::passwords(view, service.environment, &service.place.service, service.spec.uses())?;
        for (name, value) in passwords {
            redactor.add(&name, &value);
        }
    }
    Ok(redactor)
}

fn list_values(view: &View<'_>, release: ReleaseId) -> Result<Vec<(EnvKey, Secret)>, StoreError> {
    let mut values = view.list_release_values(release)?;
    let release = view.get_release(release)?;
    let service = view.get_service(release.service)?;
    let uses = release.spec.uses();
    values.extend(database::passwords(view, service.environment, &service.place.service, uses)?);
    Ok(values)
}
