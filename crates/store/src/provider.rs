//! Providers of secrets, and the values they gave to releases. The credential of a provider is sealed by the master key; a value by the data
//! key of its project, as secrets are, and bound to its release and reference. What a reference may be is said in
//! `havre_decide::secret::provider`. Tests: `tests/it/provider.rs`.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::event::{Actor, EventKind, Subject};
use havre_core::id::ReleaseId;
use havre_core::name::{EnvKey, EnvironmentName, ProjectName, ProviderName};
use havre_core::secret::Secret;
use havre_core::secret::event::Event;
use havre_core::time::Timestamp;
use havre_decide::secret::provider::reference::{Location, Reference, references, references_of};
use havre_decide::secret::provider::setting::ProviderSpec;
use havre_decide::secret::provider::{Fetched, OpenProvider, ValueVersion, WantedValues};
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::seal::{MasterKey, Place};
use crate::secret::scope;
use crate::view::{Tx, View};

/// A provider, without its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRow {
    /// The project.
    pub project: ProjectName,
    /// For which environment; `None` for every one that has none of that name.
    pub environment: Option<EnvironmentName>,
    /// Its name.
    pub name: ProviderName,
    /// What it is.
    pub spec: ProviderSpec,
    /// When it was set.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: Actor,
}

/// Without a row number of its own: errors name row 0.
const SELECT: &str = "SELECT 0, project, name, environment, settings, set_at, set_by FROM secret_providers";

fn read(row: &Row<'_>) -> Result<ProviderRow, StoreError> {
    let origin = Origin::of("secret_providers", row)?;
    let is_wide = row.get::<_, String>("environment")?.is_empty();
    Ok(ProviderRow {
        project: origin.text(row, "project")?,
        environment: if is_wide { None } else { Some(origin.text(row, "environment")?) },
        name: origin.text(row, "name")?,
        spec: origin.json(row, "settings")?,
        set_at: row::instant(row, "set_at")?,
        set_by: origin.json(row, "set_by")?,
    })
}

/// A sealed value of a release.
struct ValueRow {
    release: ReleaseId,
    reference: Reference,
    version: ValueVersion,
    sealed: Vec<u8>,
}

const SELECT_VALUES: &str = "SELECT release, reference, version, sealed_value FROM release_values";

fn read_value(row: &Row<'_>) -> Result<ValueRow, StoreError> {
    let origin = Origin::of("release_values", row)?;
    Ok(ValueRow {
        release: ReleaseId::new(origin.id),
        reference: origin.text(row, "reference")?,
        version: ValueVersion::new(&row.get::<_, String>("version")?),
        sealed: row.get("sealed_value")?,
    })
}

/// Unambiguous: no name holds a slash.
fn provider_row(project: &ProjectName, environment: Option<&EnvironmentName>, name: &ProviderName) -> String {
    format!("{project}/{}/{name}", scope(environment))
}

fn credential_place(row: &str) -> Place<'_> {
    Place { table: "secret_providers", row, column: "sealed_credential" }
}

fn value_row(release: ReleaseId, reference: &Reference) -> String {
    format!("{release}/{reference}")
}

fn value_place(row: &str) -> Place<'_> {
    Place { table: "release_values", row, column: "sealed_value" }
}

fn open_value(key: &MasterKey, value: &ValueRow) -> Result<Secret, StoreError> {
    key.open(&value.sealed, value_place(&value_row(value.release, &value.reference)))
}

impl View<'_> {
    /// Providers of a project, by name, that for every environment before those of one.
    pub fn list_secret_providers(&self, project: &ProjectName) -> Result<Vec<ProviderRow>, StoreError> {
        let sql = format!("{SELECT} WHERE project = ?1 ORDER BY name, environment");
        row::list(self.connection, &sql, [project.as_str()], read)
    }

    /// Exactly this provider.
    pub fn find_secret_provider(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &ProviderName,
    ) -> Result<Option<ProviderRow>, StoreError> {
        let sql = format!("{SELECT} WHERE project = ?1 AND environment = ?2 AND name = ?3");
        row::find(self.connection, &sql, (project.as_str(), scope(environment), name.as_str()), read)
    }

    /// Exactly this provider, with what opens it.
    ///
    /// # Errors
    /// `NotFound`; `NoMasterKey` and `Sealed` where its credential cannot be opened.
    pub fn open_secret_provider(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &ProviderName,
    ) -> Result<OpenProvider, StoreError> {
        let row = provider_row(project, environment, name);
        let missing = || StoreError::not_found("secret provider", &row);
        let found = self.find_secret_provider(project, environment, name)?.ok_or_else(missing)?;
        let sql = "SELECT sealed_credential FROM secret_providers WHERE project = ?1 AND environment = ?2 AND name = ?3";
        let names = (project.as_str(), scope(environment), name.as_str());
        let sealed: Option<Option<Vec<u8>>> = row::find(self.connection, sql, names, |row| Ok(row.get(0)?))?;
        let credential = match sealed.flatten() {
            Some(sealed) => Some(self.master_key()?.open(&sealed, credential_place(&row))?),
            None => None,
        };
        Ok(OpenProvider { project: found.project, name: found.name, spec: found.spec, credential })
    }

    /// What a release refers to and has no value of yet, by provider: that of its environment before that for every one.
    ///
    /// # Errors
    /// `NoMasterKey` and `Sealed` where a credential cannot be opened.
    pub fn list_wanted_values(&self, id: ReleaseId) -> Result<WantedValues, StoreError> {
        let release = self.get_release(id)?;
        let place = self.get_service(release.service)?.place;
        let mut wanted = release.spec.tasks().map(references_of).unwrap_or_default();
        let kept = self.release_values(id)?;
        wanted.retain(|reference| !kept.contains_key(reference));
        let is_refused = !wanted.is_empty() && !self.may_have_secrets(&place)?;
        let mut by_name: BTreeMap<ProviderName, BTreeSet<Location>> = BTreeMap::new();
        for Reference { provider, location } in wanted {
            by_name.entry(provider).or_default().insert(location);
        }
        let (mut asked, mut unknown) = (Vec::new(), BTreeSet::new());
        for (name, locations) in by_name {
            let own = self.find_secret_provider(&place.project, Some(&place.environment), &name)?;
            let environment = own.is_some().then_some(&place.environment);
            match self.open_secret_provider(&place.project, environment, &name) {
                Ok(open) => asked.push((open, locations)),
                Err(StoreError::NotFound { .. }) => {
                    let of = |location| Reference { provider: name.clone(), location };
                    unknown.extend(locations.into_iter().map(of));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(WantedValues { place, is_refused, asked, unknown })
    }

    /// Which values of providers a release has, and their versions.
    pub fn release_values(&self, id: ReleaseId) -> Result<BTreeMap<Reference, ValueVersion>, StoreError> {
        let values = self.list_sealed_values(id)?;
        Ok(values.into_iter().map(|value| (value.reference, value.version)).collect())
    }

    /// Values of providers a release starts with: those that were fetched for it.
    ///
    /// # Errors
    /// `Sealed` and `NoMasterKey` for one that cannot be opened: nothing may be started as if it were empty.
    pub fn open_release_values(&self, id: ReleaseId) -> Result<BTreeMap<Reference, Secret>, StoreError> {
        let sealed = self.list_sealed_values(id)?;
        if sealed.is_empty() {
            return Ok(BTreeMap::new());
        }
        let project = self.get_service(self.get_release(id)?.service)?.place.project;
        let key = self.get_data_key(&project)?;
        let mut values = BTreeMap::new();
        for value in sealed {
            let opened = open_value(&key, &value)?;
            values.insert(value.reference, opened);
        }
        Ok(values)
    }

    fn list_sealed_values(&self, id: ReleaseId) -> Result<Vec<ValueRow>, StoreError> {
        let sql = format!("{SELECT_VALUES} WHERE release = ?1 ORDER BY reference");
        row::list(self.connection, &sql, [id.row()], read_value)
    }

    fn list_sealed_values_of(&self, project: &ProjectName) -> Result<Vec<ValueRow>, StoreError> {
        let sql = format!(
            "{SELECT_VALUES} WHERE release IN (SELECT releases.id FROM releases \
             JOIN services ON services.id = releases.service JOIN environments ON environments.id = services.environment \
             JOIN projects ON projects.id = environments.project WHERE projects.name = ?1) ORDER BY release, reference"
        );
        row::list(self.connection, &sql, [project.as_str()], read_value)
    }

    /// Those of a release that can be opened, by the variable they stand in, for whoever must keep them out of a text.
    pub(crate) fn list_readable_values(&self, id: ReleaseId) -> Result<Vec<(EnvKey, Secret)>, StoreError> {
        let sealed = self.list_sealed_values(id)?;
        if sealed.is_empty() {
            return Ok(Vec::new());
        }
        let project = self.get_service(self.get_release(id)?.service)?.place.project;
        let key = self.get_data_key(&project)?;
        let mut values = Vec::new();
        for value in sealed {
            if let Ok(opened) = open_value(&key, &value) {
                values.extend(self.named(&value, &opened)?);
            }
        }
        Ok(values)
    }

    /// Every value of providers that a release of the project has, for whoever must keep them out of a text.
    ///
    /// # Errors
    /// `Sealed` and `NoMasterKey` where one cannot be opened.
    pub(crate) fn list_project_values(
        &self,
        project: &ProjectName,
    ) -> Result<Vec<(EnvKey, Secret)>, StoreError> {
        let sealed = self.list_sealed_values_of(project)?;
        if sealed.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.get_data_key(project)?;
        let mut values = Vec::new();
        for value in sealed {
            let opened = open_value(&key, &value)?;
            values.extend(self.named(&value, &opened)?);
        }
        Ok(values)
    }

    /// The value with the name of each variable of its release that refers to it.
    fn named(&self, value: &ValueRow, opened: &Secret) -> Result<Vec<(EnvKey, Secret)>, StoreError> {
        let release = self.get_release(value.release)?;
        let Some(work) = release.spec.tasks() else { return Ok(Vec::new()) };
        let users = work.env.iter().filter(|(_, text)| references(text).contains(&value.reference));
        Ok(users.map(|(name, _)| (name.clone(), opened.clone())).collect())
    }
}

impl Tx<'_> {
    /// Makes this the provider of that name, in place of the one before.
    ///
    /// # Errors
    /// `NoMasterKey`.
    pub fn set_secret_provider(
        &mut self,
        environment: Option<&EnvironmentName>,
        provider: &OpenProvider,
    ) -> Result<ProviderRow, StoreError> {
        let OpenProvider { project, name, spec, credential } = provider;
        let row = provider_row(project, environment, name);
        let sealed = match credential {
            Some(credential) => Some(self.master_key()?.seal(credential, credential_place(&row))?),
            None => None,
        };
        let (set_at, set_by) = (self.at, self.actor.clone());
        row::run(
            self.connection,
            "INSERT INTO secret_providers (project, name, environment, settings, sealed_credential, set_at, set_by) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (project, name, environment) DO UPDATE SET \
             settings = excluded.settings, sealed_credential = excluded.sealed_credential, \
             set_at = excluded.set_at, set_by = excluded.set_by",
            (
                project.as_str(),
                name.as_str(),
                scope(environment),
                row::to_json("the settings of a secret provider", spec)?,
                sealed,
                set_at.as_millis(),
                row::to_json("an actor", &set_by)?,
            ),
        )?;
        let (project, name, environment) = (project.clone(), name.clone(), environment.cloned());
        self.tell_secret(Event::ProviderSet {
            project: project.clone(),
            environment: environment.clone(),
            provider: name.clone(),
        })?;
        Ok(ProviderRow { project, environment, name, spec: spec.clone(), set_at, set_by })
    }

    /// Forgets exactly this provider. Releases keep the values it gave them.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_secret_provider(
        &mut self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &ProviderName,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM secret_providers WHERE project = ?1 AND environment = ?2 AND name = ?3";
        let names = (project.as_str(), scope(environment), name.as_str());
        if row::run(self.connection, sql, names)? == 0 {
            let row = provider_row(project, environment, name);
            return Err(StoreError::not_found("secret provider", row));
        }
        let (project, environment, provider) = (project.clone(), environment.cloned(), name.clone());
        self.tell_secret(Event::ProviderRemoved { project, environment, provider })
    }

    /// Forgets the providers an environment that goes had of its own.
    pub(crate) fn forget_environment_providers(
        &mut self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<(), StoreError> {
        let own: Vec<ProviderRow> = self.list_secret_providers(project)?;
        for row in own.into_iter().filter(|row| row.environment.as_ref() == Some(environment)) {
            self.remove_secret_provider(project, Some(environment), &row.name)?;
        }
        Ok(())
    }

    /// Records values a provider gave to a release, sealed. One that is there already stays.
    ///
    /// # Errors
    /// `NotFound` for the release, `NoMasterKey`, `Sealed` where the data key of the project cannot be opened.
    pub fn record_release_values(
        &mut self,
        id: ReleaseId,
        values: &BTreeMap<Reference, Fetched>,
    ) -> Result<(), StoreError> {
        let service = self.get_release(id)?.service;
        let project = self.get_service(service)?.place.project;
        let key = match self.find_data_key(&project)? {
            Some(key) => key,
            None => self.make_data_key(&project)?,
        };
        let mut told = Vec::new();
        for (reference, Fetched { value, version }) in values {
            let sealed = key.seal(value, value_place(&value_row(id, reference)))?;
            let text = reference.to_string();
            let written = row::run(
                self.connection,
                "INSERT INTO release_values (release, reference, version, sealed_value, fetched_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (release, reference) DO NOTHING",
                (id.row(), text.as_str(), version.as_str(), sealed, self.at.as_millis()),
            )?;
            if written > 0 {
                told.push(format!("{text} ({version})"));
            }
        }
        if !told.is_empty() {
            let event = Event::Fetched { release: id, values: told };
            self.append(Subject::Service { id: service }, EventKind::Secret(event))?;
        }
        Ok(())
    }

    /// Seals every value of a project's releases with another data key; how many.
    pub(crate) fn reseal_values(
        &mut self,
        project: &ProjectName,
        old: &MasterKey,
        new: &MasterKey,
    ) -> Result<usize, StoreError> {
        let values = self.list_sealed_values_of(project)?;
        for value in &values {
            let row = value_row(value.release, &value.reference);
            let sealed = new.seal(&open_value(old, value)?, value_place(&row))?;
            row::run(
                self.connection,
                "UPDATE release_values SET sealed_value = ?3 WHERE release = ?1 AND reference = ?2",
                (value.release.row(), value.reference.to_string(), sealed),
            )?;
        }
        Ok(values.len())
    }
}
