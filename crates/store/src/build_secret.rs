//! Secrets of builds, sealed: names and dates can be listed, values go to builds and nowhere else. Tests: `tests/it/build_secret.rs`.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::build::event::Event;
use havre_core::event::{EventKind, Subject};
use havre_core::name::{BuildSecretName, ProjectName};
use havre_core::secret::Secret;
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::seal::Place;
use crate::view::{Tx, View};

/// What errors call one.
const KIND: &str = "build secret";

/// A secret of builds, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSecretRow {
    /// Its name.
    pub name: BuildSecretName,
    /// When its value was last set.
    pub set_at: Timestamp,
}

/// Without a row number of its own: errors name row 0.
fn read(row: &Row<'_>) -> Result<BuildSecretRow, StoreError> {
    let origin = Origin::of("build_secrets", row)?;
    Ok(BuildSecretRow { name: origin.text(row, "name")?, set_at: row::instant(row, "set_at")? })
}

fn sealed_row(project: &ProjectName, name: &BuildSecretName) -> String {
    format!("{project}/{name}")
}

fn place(row: &str) -> Place<'_> {
    Place { table: "build_secrets", row, column: "sealed_value" }
}

impl View<'_> {
    /// The secrets of a project, by name.
    pub fn list_build_secrets(&self, project: &ProjectName) -> Result<Vec<BuildSecretRow>, StoreError> {
        let sql = "SELECT 0, name, set_at FROM build_secrets WHERE project = ?1 ORDER BY name";
        row::list(self.connection, sql, [project.as_str()], read)
    }

    /// The values a build asks for: all of them, or an error that names the first one that is not to be had.
    ///
    /// # Errors
    /// `NotFound`; `Sealed` where one cannot be opened.
    pub fn get_build_secrets(
        &self,
        project: &ProjectName,
        names: &BTreeSet<BuildSecretName>,
    ) -> Result<BTreeMap<BuildSecretName, Secret>, StoreError> {
        let mut secrets = BTreeMap::new();
        for name in names {
            secrets.insert(name.clone(), self.get_build_secret(project, name)?);
        }
        Ok(secrets)
    }

    fn get_build_secret(&self, project: &ProjectName, name: &BuildSecretName) -> Result<Secret, StoreError> {
        let sql = "SELECT sealed_value FROM build_secrets WHERE project = ?1 AND name = ?2";
        let names = (project.as_str(), name.as_str());
        let sealed: Option<Vec<u8>> = row::find(self.connection, sql, names, |row| Ok(row.get(0)?))?;
        let sealed = sealed.ok_or_else(|| StoreError::not_found(KIND, name))?;
        self.master_key()?.open(&sealed, place(&sealed_row(project, name)))
    }
}

impl Tx<'_> {
    /// Keeps this value under that name, in place of the one before.
    ///
    /// # Errors
    /// `NoMasterKey`.
    pub fn set_build_secret(
        &mut self,
        project: &ProjectName,
        name: &BuildSecretName,
        value: &Secret,
    ) -> Result<BuildSecretRow, StoreError> {
        let sealed = self.master_key()?.seal(value, place(&sealed_row(project, name)))?;
        row::run(
            self.connection,
            "INSERT INTO build_secrets (project, name, sealed_value, set_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (project, name) DO UPDATE SET sealed_value = excluded.sealed_value, set_at = excluded.set_at",
            (project.as_str(), name.as_str(), sealed, self.at.as_millis()),
        )?;
        self.tell_build_secret(Event::SecretSet { project: project.clone(), secret: name.clone() })?;
        Ok(BuildSecretRow { name: name.clone(), set_at: self.at })
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_build_secret(
        &mut self,
        project: &ProjectName,
        name: &BuildSecretName,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM build_secrets WHERE project = ?1 AND name = ?2";
        if row::run(self.connection, sql, (project.as_str(), name.as_str()))? == 0 {
            return Err(StoreError::not_found(KIND, name));
        }
        self.tell_build_secret(Event::SecretRemoved { project: project.clone(), secret: name.clone() })
    }

    fn tell_build_secret(&mut self, event: Event) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Build(event))?;
        Ok(())
    }
}
