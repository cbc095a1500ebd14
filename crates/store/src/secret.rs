//! Secrets of services: a data key for each project, sealed by the master key, and versions of values, sealed by the data key.
//! A value is bound to project, environment, name and version, so that no two can be exchanged. A release names the versions it
//! starts with. What a value may be is said in `havre_core::secret`. Tests: `tests/it/secret.rs`.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::event::{Actor, EventKind, Subject};
use havre_core::id::ReleaseId;
use havre_core::name::{EnvKey, EnvironmentName, ProjectName};
use havre_core::release::Release;
use havre_core::secret::Secret;
use havre_core::secret::event::Event;
use havre_core::secret::value::{SecretVersion, VERSIONS_KEPT};
use havre_core::secret::variables::secrets_of;
use havre_core::service::spec::ServiceSpec;
use havre_core::service::{Place as ServicePlace, Service};
use havre_core::time::Timestamp;
use rusqlite::Row;
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::seal::{MasterKey, Place, fill};
use crate::view::{Tx, View};

/// One version of a secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// The project.
    pub project: ProjectName,
    /// For which environment; `None` for every one that has no value of its own.
    pub environment: Option<EnvironmentName>,
    /// Its name.
    pub name: EnvKey,
    /// Which value.
    pub version: SecretVersion,
    /// When it was set.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: Actor,
}

/// Without a row number of its own: errors name row 0.
const SELECT: &str = "SELECT 0, project, environment, name, version, set_at, set_by FROM secrets";

fn read(row: &Row<'_>) -> Result<SecretRow, StoreError> {
    let origin = Origin::of("secrets", row)?;
    let is_wide = row.get::<_, String>("environment")?.is_empty();
    Ok(SecretRow {
        project: origin.text(row, "project")?,
        environment: if is_wide { None } else { Some(origin.text(row, "environment")?) },
        name: origin.text(row, "name")?,
        version: SecretVersion::new(origin.count(row, "version")?),
        set_at: row::instant(row, "set_at")?,
        set_by: origin.json(row, "set_by")?,
    })
}

/// The column `environment`.
pub(crate) fn scope(environment: Option<&EnvironmentName>) -> &str {
    environment.map_or("", EnvironmentName::as_str)
}

/// Unambiguous: no name holds a slash.
fn value_row(secret: &SecretRow) -> String {
    let SecretRow { project, environment, name, version, .. } = secret;
    format!("{project}/{}/{name}/{}", scope(environment.as_ref()), version.number())
}

fn value_place(row: &str) -> Place<'_> {
    Place { table: "secrets", row, column: "sealed_value" }
}

fn key_place(project: &ProjectName) -> Place<'_> {
    Place { table: "data_keys", row: project.as_str(), column: "sealed_key" }
}

/// Whether tasks of this specification get it.
fn uses(spec: &ServiceSpec, name: &EnvKey) -> bool {
    spec.tasks().is_some_and(|work| secrets_of(work).contains(name))
}

impl View<'_> {
    /// The newest version of every secret of a project, by name, the project's own value before those of environments.
    pub fn list_secrets(&self, project: &ProjectName) -> Result<Vec<SecretRow>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE project = ?1 AND NOT EXISTS (SELECT 1 FROM secrets AS newer WHERE newer.project = secrets.project \
             AND newer.name = secrets.name AND newer.environment = secrets.environment AND newer.version > secrets.version) \
             ORDER BY name, environment"
        );
        row::list(self.connection, &sql, [project.as_str()], read)
    }

    /// Every version of a secret that is kept, newest first.
    pub fn list_secret_versions(
        &self,
        project: &ProjectName,
        name: &EnvKey,
    ) -> Result<Vec<SecretRow>, StoreError> {
        let sql = format!("{SELECT} WHERE project = ?1 AND name = ?2 ORDER BY version DESC");
        row::list(self.connection, &sql, (project.as_str(), name.as_str()), read)
    }

    /// The newest version of exactly this value.
    pub fn find_secret(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &EnvKey,
    ) -> Result<Option<SecretRow>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE project = ?1 AND environment = ?2 AND name = ?3 ORDER BY version DESC LIMIT 1"
        );
        row::find(self.connection, &sql, (project.as_str(), scope(environment), name.as_str()), read)
    }

    /// Services that get this value: those of its environment, or those of every environment without a value of its own. Their
    /// specification names the secret, or that of their live release does.
    pub fn list_secret_users(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &EnvKey,
    ) -> Result<Vec<Service>, StoreError> {
        let mut users = Vec::new();
        for service in self.list_services()? {
            let place = &service.place;
            if place.project != *project || service.destroyed_at.is_some() {
                continue;
            }
            let gets_it = match environment {
                Some(environment) => place.environment == *environment,
                None => self.find_secret(project, Some(&place.environment), name)?.is_none(),
            };
            if gets_it && self.may_have_secrets(place)? && self.names_secret(&service, name)? {
                users.push(service);
            }
        }
        Ok(users)
    }

    pub(crate) fn may_have_secrets(&self, place: &ServicePlace) -> Result<bool, StoreError> {
        let Some(number) = place.environment.pull() else { return Ok(true) };
        // A preview nobody knows of is nobody's.
        Ok(self.find_preview(&place.project, number)?.is_some_and(|preview| preview.has_secrets()))
    }

    fn names_secret(&self, service: &Service, name: &EnvKey) -> Result<bool, StoreError> {
        if uses(&service.spec, name) {
            return Ok(true);
        }
        match service.live {
            Some(live) => Ok(uses(&self.get_release(live)?.spec, name)),
            None => Ok(false),
        }
    }

    /// Whether this is its newest value already. One that cannot be opened is another one.
    pub fn holds_secret(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &EnvKey,
        value: &Secret,
    ) -> Result<bool, StoreError> {
        let Some(secret) = self.find_secret(project, environment, name)? else { return Ok(false) };
        match self.open_secret(&self.get_data_key(project)?, &secret) {
            Ok(found) => Ok(found.expose() == value.expose()),
            Err(StoreError::Sealed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Versions of secrets a release starts with.
    pub fn release_secrets(&self, id: ReleaseId) -> Result<BTreeMap<EnvKey, SecretVersion>, StoreError> {
        let sql = "SELECT release, name, version FROM release_secrets WHERE release = ?1 ORDER BY name";
        let found = row::list(self.connection, sql, [id.row()], |row| {
            let origin = Origin::of("release_secrets", row)?;
            let version = SecretVersion::new(origin.count(row, "version")?);
            Ok((origin.text::<EnvKey>(row, "name")?, version))
        })?;
        Ok(found.into_iter().collect())
    }

    /// Values of the secrets a release starts with. Those that had none when it was made are left out.
    ///
    /// # Errors
    /// `SecretGone` for a version that is not kept any more, `Sealed` and `NoMasterKey` for one that cannot be opened: nothing may
    /// be started as if it were empty.
    pub fn open_release_secrets(&self, id: ReleaseId) -> Result<BTreeMap<EnvKey, Secret>, StoreError> {
        let versions = self.release_secrets(id)?;
        let mut values = BTreeMap::new();
        if versions.is_empty() {
            return Ok(values);
        }
        let project = self.get_service(self.get_release(id)?.service)?.place.project;
        let key = self.get_data_key(&project)?;
        let found = self.list_secrets_of(&project, &versions)?;
        if let Some((name, version)) =
            versions.iter().find(|(name, _)| !found.iter().any(|secret| secret.name == **name))
        {
            return Err(StoreError::SecretGone { name: name.clone(), version: *version });
        }
        for secret in found {
            let value = self.open_secret(&key, &secret)?;
            values.insert(secret.name, value);
        }
        Ok(values)
    }

    /// Those of them that are kept and can be opened, for whoever must keep them out of a text.
    pub fn list_release_values(&self, id: ReleaseId) -> Result<Vec<(EnvKey, Secret)>, StoreError> {
        let mut values = self.list_readable_values(id)?;
        let versions = self.release_secrets(id)?;
        if versions.is_empty() {
            return Ok(values);
        }
        let project = self.get_service(self.get_release(id)?.service)?.place.project;
        let key = self.get_data_key(&project)?;
        for secret in self.list_secrets_of(&project, &versions)? {
            if let Ok(value) = self.open_secret(&key, &secret) {
                values.push((secret.name, value));
            }
        }
        Ok(values)
    }

    /// Every value of a project's secrets that is kept, old versions and those of providers included, for whoever must keep them out of a text.
    ///
    /// # Errors
    /// `Sealed` and `NoMasterKey` where one cannot be opened: nobody can say then whether a text holds it.
    pub fn list_secret_values(&self, project: &ProjectName) -> Result<Vec<(EnvKey, Secret)>, StoreError> {
        let sql = format!("{SELECT} WHERE project = ?1 ORDER BY name, version");
        let secrets = row::list(self.connection, &sql, [project.as_str()], read)?;
        let mut values = self.list_project_values(project)?;
        if secrets.is_empty() {
            return Ok(values);
        }
        let key = self.get_data_key(project)?;
        for secret in secrets {
            let value = self.open_secret(&key, &secret)?;
            values.push((secret.name, value));
        }
        Ok(values)
    }

    /// The rows that are there of these versions.
    fn list_secrets_of(
        &self,
        project: &ProjectName,
        versions: &BTreeMap<EnvKey, SecretVersion>,
    ) -> Result<Vec<SecretRow>, StoreError> {
        let sql = format!("{SELECT} WHERE project = ?1 AND name = ?2 AND version = ?3");
        let mut secrets = Vec::new();
        for (name, version) in versions {
            let names = (project.as_str(), name.as_str(), column(version.number()));
            secrets.extend(row::find(self.connection, &sql, names, read)?);
        }
        Ok(secrets)
    }

    fn open_secret(&self, key: &MasterKey, secret: &SecretRow) -> Result<Secret, StoreError> {
        let sql = "SELECT sealed_value FROM secrets WHERE project = ?1 AND name = ?2 AND version = ?3";
        let names = (secret.project.as_str(), secret.name.as_str(), column(secret.version.number()));
        let sealed: Option<Vec<u8>> = row::find(self.connection, sql, names, |row| Ok(row.get(0)?))?;
        let row = value_row(secret);
        let sealed = sealed.ok_or_else(|| StoreError::not_found("secret", &row))?;
        key.open(&sealed, value_place(&row))
    }

    pub(crate) fn find_data_key(&self, project: &ProjectName) -> Result<Option<MasterKey>, StoreError> {
        let sql = "SELECT sealed_key FROM data_keys WHERE project = ?1";
        let sealed: Option<Vec<u8>> =
            row::find(self.connection, sql, [project.as_str()], |row| Ok(row.get(0)?))?;
        let Some(sealed) = sealed else { return Ok(None) };
        let opened = self.master_key()?.open(&sealed, key_place(project))?;
        let bytes: &[u8; 32] =
            opened.expose().try_into().map_err(|_| key_place(project).unreadable("it is no key"))?;
        Ok(Some(MasterKey::new(*bytes)))
    }

    pub(crate) fn get_data_key(&self, project: &ProjectName) -> Result<MasterKey, StoreError> {
        self.find_data_key(project)?.ok_or_else(|| StoreError::not_found("data key of", project))
    }
}

impl Tx<'_> {
    /// Gives a secret a new value; the one before stays for releases that name it.
    ///
    /// # Errors
    /// `NoMasterKey`, and `Sealed` where the data key of the project cannot be opened: it is never replaced by another one.
    pub fn set_secret(
        &mut self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &EnvKey,
        value: &Secret,
    ) -> Result<SecretRow, StoreError> {
        let key = match self.find_data_key(project)? {
            Some(key) => key,
            None => self.make_data_key(project)?,
        };
        let version = self.next_version(project, name)?;
        let (at, by) = (self.at, self.actor.clone());
        let (project, environment, name) = (project.clone(), environment.cloned(), name.clone());
        let secret = SecretRow { project, environment, name, version, set_at: at, set_by: by };
        let sealed = key.seal(value, value_place(&value_row(&secret)))?;
        row::run(
            self.connection,
            "INSERT INTO secrets (project, name, version, environment, sealed_value, set_at, set_by) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                secret.project.as_str(),
                secret.name.as_str(),
                column(version.number()),
                scope(secret.environment.as_ref()),
                sealed,
                at.as_millis(),
                row::to_json("an actor", &secret.set_by)?,
            ),
        )?;
        self.forget_old_versions(&secret)?;
        let SecretRow { project, environment, name, .. } = secret.clone();
        self.tell_secret(Event::Set { project, environment, name, version })?;
        Ok(secret)
    }

    fn next_version(&mut self, project: &ProjectName, name: &EnvKey) -> Result<SecretVersion, StoreError> {
        let names = (project.as_str(), name.as_str());
        row::run(
            self.connection,
            "INSERT INTO secret_names (project, name, versions) VALUES (?1, ?2, 1) \
             ON CONFLICT (project, name) DO UPDATE SET versions = versions + 1",
            names,
        )?;
        let sql = "SELECT 0, versions FROM secret_names WHERE project = ?1 AND name = ?2";
        let versions = row::find(self.connection, sql, names, |row| {
            Origin::of("secret_names", row)?.count(row, "versions")
        })?;
        Ok(SecretVersion::new(versions.expect("it was written just now")))
    }

    /// The newest ones stay, and those that releases of the project name.
    fn forget_old_versions(&mut self, secret: &SecretRow) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "DELETE FROM secrets WHERE project = ?1 AND name = ?2 AND environment = ?3 AND version NOT IN \
             (SELECT version FROM secrets WHERE project = ?1 AND name = ?2 AND environment = ?3 \
             ORDER BY version DESC LIMIT ?4) AND version NOT IN \
             (SELECT release_secrets.version FROM release_secrets JOIN releases ON releases.id = release_secrets.release \
             JOIN services ON services.id = releases.service JOIN environments ON environments.id = services.environment \
             JOIN projects ON projects.id = environments.project \
             WHERE projects.name = ?1 AND release_secrets.name = ?2)",
            (
                secret.project.as_str(),
                secret.name.as_str(),
                scope(secret.environment.as_ref()),
                VERSIONS_KEPT,
            ),
        )?;
        Ok(())
    }

    /// Forgets every version of exactly this value, those that releases name too.
    ///
    /// # Errors
    /// `NotFound`; `SecretInUse` while a service gets it, unless that is wanted.
    pub fn remove_secret(
        &mut self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &EnvKey,
        is_forced: bool,
    ) -> Result<(), StoreError> {
        if self.find_secret(project, environment, name)?.is_none() {
            return Err(StoreError::not_found("secret", format!("{project}/{}/{name}", scope(environment))));
        }
        let users = self.list_secret_users(project, environment, name)?;
        if !is_forced && !users.is_empty() {
            let users = users.into_iter().map(|service| service.place).collect();
            return Err(StoreError::SecretInUse { name: name.clone(), users });
        }
        self.delete_secret(project, environment, name)
    }

    fn delete_secret(
        &mut self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &EnvKey,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM secrets WHERE project = ?1 AND environment = ?2 AND name = ?3";
        row::run(self.connection, sql, (project.as_str(), scope(environment), name.as_str()))?;
        let (project, environment, name) = (project.clone(), environment.cloned(), name.clone());
        self.tell_secret(Event::Removed { project, environment, name })
    }

    /// Forgets what an environment that goes had of its own.
    pub(crate) fn forget_environment_secrets(
        &mut self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<(), StoreError> {
        let own: BTreeSet<EnvKey> = self
            .list_secrets(project)?
            .into_iter()
            .filter(|secret| secret.environment.as_ref() == Some(environment))
            .map(|secret| secret.name)
            .collect();
        for name in own {
            self.delete_secret(project, Some(environment), &name)?;
        }
        self.forget_environment_providers(project, environment)?;
        Ok(())
    }

    /// The newest value for a person's eyes; that somebody saw it is told.
    ///
    /// # Errors
    /// `NotFound`, `NoMasterKey`, `Sealed`.
    pub fn reveal_secret(
        &mut self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
        name: &EnvKey,
    ) -> Result<(SecretRow, Secret), StoreError> {
        let Some(secret) = self.find_secret(project, environment, name)? else {
            return Err(StoreError::not_found("secret", format!("{project}/{}/{name}", scope(environment))));
        };
        let value = self.open_secret(&self.get_data_key(project)?, &secret)?;
        let SecretRow { project, environment, name, version, .. } = secret.clone();
        self.tell_secret(Event::Revealed { project, environment, name, version })?;
        Ok((secret, value))
    }

    /// Gives a project another data key and seals every value with it, all of them or none; how many.
    ///
    /// # Errors
    /// `NotFound` for a project without secrets, `NoMasterKey`, `Sealed` for the first value that cannot be opened.
    pub fn rotate_data_key(&mut self, project: &ProjectName) -> Result<u64, StoreError> {
        let old = self.get_data_key(project)?;
        let sql = format!("{SELECT} WHERE project = ?1 ORDER BY name, version");
        let secrets = row::list(self.connection, &sql, [project.as_str()], read)?;
        let new = self.make_data_key(project)?;
        for secret in &secrets {
            let value = self.open_secret(&old, secret)?;
            let sealed = new.seal(&value, value_place(&value_row(secret)))?;
            row::run(
                self.connection,
                "UPDATE secrets SET sealed_value = ?4 WHERE project = ?1 AND name = ?2 AND version = ?3",
                (project.as_str(), secret.name.as_str(), column(secret.version.number()), sealed),
            )?;
        }
        let fetched = self.reseal_values(project, &old, &new)?;
        let values = u64::try_from(secrets.len() + fetched).unwrap_or(u64::MAX);
        self.tell_secret(Event::KeyRotated { project: project.clone(), values })?;
        Ok(values)
    }

    /// Makes a data key, in place of the one before: whoever calls seals everything anew.
    pub(crate) fn make_data_key(&mut self, project: &ProjectName) -> Result<MasterKey, StoreError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        fill(bytes.as_mut_slice()).map_err(|source| StoreError::Random { source })?;
        let sealed = self.master_key()?.seal(&Secret::new(bytes.to_vec()), key_place(project))?;
        row::run(
            self.connection,
            "INSERT INTO data_keys (project, sealed_key, created_at) VALUES (?1, ?2, ?3) \
             ON CONFLICT (project) DO UPDATE SET sealed_key = excluded.sealed_key, created_at = excluded.created_at",
            (project.as_str(), sealed, self.at.as_millis()),
        )?;
        Ok(MasterKey::new(*bytes))
    }

    /// Records which values a new release starts with: those of its environment before those of the project. A preview of a fork
    /// gets none, whatever its `havre.toml` names.
    pub(crate) fn record_release_secrets(&mut self, release: &Release) -> Result<(), StoreError> {
        let Some(work) = release.spec.tasks() else { return Ok(()) };
        let names = secrets_of(work);
        if names.is_empty() {
            return Ok(());
        }
        let place = self.get_service(release.service)?.place;
        if !self.may_have_secrets(&place)? {
            return Ok(());
        }
        for name in names {
            let own = self.find_secret(&place.project, Some(&place.environment), &name)?;
            let found = match own {
                Some(own) => Some(own),
                None => self.find_secret(&place.project, None, &name)?,
            };
            let Some(found) = found else { continue };
            row::run(
                self.connection,
                "INSERT INTO release_secrets (release, name, version) VALUES (?1, ?2, ?3)",
                (release.id.row(), name.as_str(), column(found.version.number())),
            )?;
        }
        Ok(())
    }

    pub(crate) fn tell_secret(&mut self, event: Event) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Secret(event))?;
        Ok(())
    }
}
