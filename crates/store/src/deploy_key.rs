//! Deploy keys of remote repositories, and the keys their hosts may show. A new deploy key stands beside the older one until somebody says that it
//! is known at the forge; then it is alone. Tests: `tests/it/deploy_key.rs`.

use havre_core::name::ProjectName;
use havre_core::pipeline::event::Event;
use havre_core::secret::Secret;
use havre_core::ssh_key::{Fingerprint, PublicKey};
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::seal::Place;
use crate::view::{Tx, View};

/// One key, without its private half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployKeyRow {
    /// Its number in the project.
    pub number: u32,
    /// The half that is given to the forge.
    pub public_key: PublicKey,
    /// Its SHA-256.
    pub fingerprint: Fingerprint,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a new key is.
#[derive(Debug)]
pub struct NewDeployKey {
    /// The half that is given to the forge.
    pub public_key: PublicKey,
    /// Its SHA-256.
    pub fingerprint: Fingerprint,
    /// The half that is kept, in OpenSSH's form.
    pub private_key: Secret,
}

/// Without a row number of its own: errors name row 0.
const SELECT: &str = "SELECT 0, number, public_key, fingerprint, created_at FROM deploy_keys \
    WHERE project = ?1 ORDER BY number DESC";

fn read(row: &Row<'_>) -> Result<DeployKeyRow, StoreError> {
    let origin = Origin::of("deploy_keys", row)?;
    Ok(DeployKeyRow {
        number: row.get("number")?,
        public_key: origin.text(row, "public_key")?,
        fingerprint: origin.text(row, "fingerprint")?,
        created_at: row::instant(row, "created_at")?,
    })
}

/// Name of a row, for its sealed value.
fn row_name(project: &ProjectName, number: u32) -> String {
    format!("{project}/{number}")
}

fn place(row: &str) -> Place<'_> {
    Place { table: "deploy_keys", row, column: "sealed_key" }
}

impl View<'_> {
    /// Deploy keys of a project, the newest first.
    pub fn list_deploy_keys(&self, project: &ProjectName) -> Result<Vec<DeployKeyRow>, StoreError> {
        row::list(self.connection, SELECT, [project.as_str()], read)
    }

    /// Their private halves, the newest first.
    ///
    /// # Errors
    /// `Sealed` where one cannot be opened.
    pub fn list_deploy_secrets(&self, project: &ProjectName) -> Result<Vec<Secret>, StoreError> {
        let sql = "SELECT number, sealed_key FROM deploy_keys WHERE project = ?1 ORDER BY number DESC";
        let sealed: Vec<(u32, Vec<u8>)> =
            row::list(self.connection, sql, [project.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut opened = Vec::new();
        for (number, bytes) in sealed {
            opened.push(self.master_key()?.open(&bytes, place(&row_name(project, number)))?);
        }
        Ok(opened)
    }
}

impl Tx<'_> {
    /// Keys the host of a remote repository may show from now on, in place of those before.
    ///
    /// # Errors
    /// `NotFound` where there is no remote repository.
    pub fn set_host_keys(
        &mut self,
        project: &ProjectName,
        keys: &[(PublicKey, Fingerprint)],
    ) -> Result<(), StoreError> {
        let sql = "UPDATE remotes SET host_keys = ?2 WHERE project = ?1";
        let text = row::to_json("host keys", &keys)?;
        if row::run(self.connection, sql, (project.as_str(), text))? == 0 {
            return Err(StoreError::not_found("remote repository", project));
        }
        self.tell_remote_keys(project)
    }

    /// Adds a deploy key, which is offered before the one that is there. Of several the oldest stays: it is the one the forge knows.
    ///
    /// # Errors
    /// `NoMasterKey`.
    pub fn add_deploy_key(&mut self, project: &ProjectName, new: NewDeployKey) -> Result<(), StoreError> {
        let NewDeployKey { public_key, fingerprint, private_key } = new;
        let rows = self.list_deploy_keys(project)?;
        let number = rows.first().map_or(0, |row| row.number).saturating_add(1);
        let oldest = rows.last().map_or(0, |row| row.number);
        let sealed = self.master_key()?.seal(&private_key, place(&row_name(project, number)))?;
        let sql = "DELETE FROM deploy_keys WHERE project = ?1 AND number > ?2";
        row::run(self.connection, sql, (project.as_str(), oldest))?;
        row::run(
            self.connection,
            "INSERT INTO deploy_keys (project, number, public_key, fingerprint, sealed_key, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                project.as_str(),
                number,
                public_key.to_string(),
                fingerprint.as_str(),
                sealed,
                self.at.as_millis(),
            ),
        )?;
        self.tell_remote_keys(project)
    }

    /// Forgets every deploy key but the newest; whether there was one to forget.
    pub fn confirm_deploy_key(&mut self, project: &ProjectName) -> Result<bool, StoreError> {
        let sql = "DELETE FROM deploy_keys WHERE project = ?1 AND number < \
            (SELECT max(number) FROM deploy_keys WHERE project = ?1)";
        if row::run(self.connection, sql, [project.as_str()])? == 0 {
            return Ok(false);
        }
        self.tell_remote_keys(project)?;
        Ok(true)
    }

    /// Says which keys count now, once there are some on both sides.
    fn tell_remote_keys(&mut self, project: &ProjectName) -> Result<(), StoreError> {
        let Some(remote) = self.find_remote(project)? else { return Ok(()) };
        let ours: Vec<Fingerprint> =
            self.list_deploy_keys(project)?.into_iter().map(|row| row.fingerprint).collect();
        let host: Vec<Fingerprint> =
            remote.host_keys.into_iter().map(|(_, fingerprint)| fingerprint).collect();
        if ours.is_empty() || host.is_empty() {
            return Ok(());
        }
        self.tell_source(Event::RemoteKeysSet { project: project.clone(), ours, host })
    }
}
