//! Public keys by which people push over SSH. Whether a key may push to a project is compared by `web`.
//! Tests: `tests/it/ssh_key.rs`.

use havre_core::event::{AccessEvent, EventKind, Subject};
use havre_core::id::SshKeyId;
use havre_core::name::{ProjectName, SshKeyName};
use havre_core::ssh_key::{Fingerprint, PublicKey};
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::token::TOUCH_INTERVAL;
use crate::view::{Tx, View};

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKeyRow {
    /// Its id.
    pub id: SshKeyId,
    /// Its name, unique among keys.
    pub name: SshKeyName,
    /// The only project it may push to; `None` where it may push to every one.
    pub project: Option<ProjectName>,
    /// The key itself.
    pub public_key: PublicKey,
    /// Its SHA-256, unique among keys: sshd finds a key by it.
    pub fingerprint: Fingerprint,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last used, exact to [`TOUCH_INTERVAL`].
    pub last_used_at: Option<Timestamp>,
}

/// What a new key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSshKey {
    /// Its name.
    pub name: SshKeyName,
    /// The only project it may push to; `None` for every one.
    pub project: Option<ProjectName>,
    /// The key itself.
    pub public_key: PublicKey,
    /// Its SHA-256.
    pub fingerprint: Fingerprint,
}

const SELECT: &str =
    "SELECT id, name, project, public_key, fingerprint, created_at, last_used_at FROM ssh_keys";

fn read(row: &Row<'_>) -> Result<SshKeyRow, StoreError> {
    let origin = Origin::of("ssh_keys", row)?;
    let has_project = row.get::<_, Option<String>>("project")?.is_some();
    Ok(SshKeyRow {
        id: SshKeyId::new(origin.id),
        name: origin.text(row, "name")?,
        project: if has_project { Some(origin.text(row, "project")?) } else { None },
        public_key: origin.text(row, "public_key")?,
        fingerprint: origin.text(row, "fingerprint")?,
        created_at: row::instant(row, "created_at")?,
        last_used_at: row::instant_or_none(row, "last_used_at")?,
    })
}

impl View<'_> {
    /// All keys, by name.
    pub fn list_ssh_keys(&self) -> Result<Vec<SshKeyRow>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY name"), [], read)
    }

    /// One key.
    pub fn find_ssh_key(&self, id: SshKeyId) -> Result<Option<SshKeyRow>, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE id = ?1"), [id.row()], read)
    }

    /// The key of this fingerprint.
    pub fn find_ssh_key_by_fingerprint(
        &self,
        fingerprint: &Fingerprint,
    ) -> Result<Option<SshKeyRow>, StoreError> {
        let sql = format!("{SELECT} WHERE fingerprint = ?1");
        row::find(self.connection, &sql, [fingerprint.as_str()], read)
    }
}

impl Tx<'_> {
    /// Records a key. The caller has looked whether it is known under another name.
    ///
    /// # Errors
    /// `NameTaken`.
    pub fn add_ssh_key(&mut self, new: NewSshKey) -> Result<SshKeyRow, StoreError> {
        let NewSshKey { name, project, public_key, fingerprint } = new;
        let added = row::run(
            self.connection,
            "INSERT INTO ssh_keys (name, project, public_key, fingerprint, created_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (name) DO NOTHING",
            (
                name.as_str(),
                project.as_ref().map(ProjectName::as_str),
                public_key.to_string(),
                fingerprint.as_str(),
                self.at.as_millis(),
            ),
        )?;
        if added == 0 {
            return Err(StoreError::NameTaken { kind: "key for SSH", name: name.to_string() });
        }
        let event =
            AccessEvent::SshKeyAdded { name: name.clone(), project, fingerprint: fingerprint.clone() };
        self.append(Subject::Node, EventKind::Access(event))?;
        let added = self.find_ssh_key_by_fingerprint(&fingerprint)?;
        added.ok_or_else(|| StoreError::not_found("key for SSH", name))
    }

    /// Removes a key: from the next connection on it is unknown.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_ssh_key(&mut self, name: &SshKeyName) -> Result<(), StoreError> {
        if row::run(self.connection, "DELETE FROM ssh_keys WHERE name = ?1", [name.as_str()])? == 0 {
            return Err(StoreError::not_found("key for SSH", name));
        }
        let event = AccessEvent::SshKeyRemoved { name: name.clone() };
        self.append(Subject::Node, EventKind::Access(event))?;
        Ok(())
    }

    /// Records the use of a key, at most once each [`TOUCH_INTERVAL`]; nothing happens when it is gone. No event: what was done
    /// with it has its own.
    pub fn touch_ssh_key(&mut self, id: SshKeyId) -> Result<(), StoreError> {
        let interval = i64::try_from(TOUCH_INTERVAL.as_millis()).expect("a minute fits");
        row::run(
            self.connection,
            "UPDATE ssh_keys SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, 0) <= ?2 - ?3",
            (id.row(), self.at.as_millis(), interval),
        )?;
        Ok(())
    }
}
