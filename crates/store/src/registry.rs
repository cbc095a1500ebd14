//! Registries: sealed credentials by host, and what is known of how many pulls are left. When a registry is asked is decided in
//! `havre_decide::registry::limit`. Tests: `tests/it/registry.rs`.

use havre_core::artifact::{Digest, ImageRef};
use havre_core::event::{EventKind, Subject};
use havre_core::id::ServiceId;
use havre_core::quantity::Span;
use havre_core::registry::event::Event;
use havre_core::registry::{Credentials, RegistryHost, RegistryUser};
use havre_core::time::Timestamp;
use havre_decide::registry::limit::{PullLimit, is_news};
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::seal::Place;
use crate::view::{Tx, View};

/// A registry with credentials, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryRow {
    /// The registry.
    pub host: RegistryHost,
    /// Who pulls.
    pub user: RegistryUser,
    /// When they were set last.
    pub set_at: Timestamp,
}

/// What is known of the limit of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRow {
    /// The registry.
    pub host: RegistryHost,
    /// When an image of it was last wanted.
    pub used_at: Timestamp,
    /// When it was last asked.
    pub asked_at: Option<Timestamp>,
    /// What it last said, and when.
    pub said: Option<(PullLimit, Timestamp)>,
}

/// Without a row number of its own: errors name row 0.
const SELECT: &str = "SELECT 0, host, user, set_at FROM registries";
const SELECT_LIMIT: &str =
    "SELECT 0, host, used_at, asked_at, read_at, remaining, pulls, window_ms FROM registry_limits";

fn read(row: &Row<'_>) -> Result<RegistryRow, StoreError> {
    let origin = Origin::of("registries", row)?;
    Ok(RegistryRow {
        host: origin.text(row, "host")?,
        user: origin.text(row, "user")?,
        set_at: row::instant(row, "set_at")?,
    })
}

fn read_limit(row: &Row<'_>) -> Result<LimitRow, StoreError> {
    let origin = Origin::of("registry_limits", row)?;
    let said = match row::instant_or_none(row, "read_at")? {
        None => None,
        Some(read_at) => {
            let limit = PullLimit {
                remaining: origin.count(row, "remaining")?,
                limit: origin.count(row, "pulls")?,
                window: Span::millis(origin.count(row, "window_ms")?),
            };
            Some((limit, read_at))
        }
    };
    Ok(LimitRow {
        host: origin.text(row, "host")?,
        used_at: row::instant(row, "used_at")?,
        asked_at: row::instant_or_none(row, "asked_at")?,
        said,
    })
}

fn place(host: &RegistryHost) -> Place<'_> {
    Place { table: "registries", row: host.as_str(), column: "sealed_password" }
}

impl View<'_> {
    /// Every registry with credentials, by host.
    pub fn list_registries(&self) -> Result<Vec<RegistryRow>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY host"), [], read)
    }

    /// A registry with credentials.
    pub fn find_registry(&self, host: &RegistryHost) -> Result<Option<RegistryRow>, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE host = ?1"), [host.as_str()], read)
    }

    /// The credentials for exactly this registry.
    ///
    /// # Errors
    /// `Sealed` where they cannot be opened, `NoMasterKey`: then nothing may be pulled as if there were none.
    pub fn find_registry_credentials(&self, host: &RegistryHost) -> Result<Option<Credentials>, StoreError> {
        let Some(row) = self.find_registry(host)? else { return Ok(None) };
        let sql = "SELECT sealed_password FROM registries WHERE host = ?1";
        let sealed: Option<Vec<u8>> =
            row::find(self.connection, sql, [host.as_str()], |row| Ok(row.get(0)?))?;
        let Some(sealed) = sealed else { return Ok(None) };
        let password = self.master_key()?.open(&sealed, place(host))?;
        Ok(Some(Credentials { host: row.host, user: row.user, password }))
    }

    /// What is known of limits, by host.
    pub fn list_registry_limits(&self) -> Result<Vec<LimitRow>, StoreError> {
        row::list(self.connection, &format!("{SELECT_LIMIT} ORDER BY host"), [], read_limit)
    }

    /// What is known of the limit of a registry.
    pub fn find_registry_limit(&self, host: &RegistryHost) -> Result<Option<LimitRow>, StoreError> {
        row::find(self.connection, &format!("{SELECT_LIMIT} WHERE host = ?1"), [host.as_str()], read_limit)
    }
}

impl Tx<'_> {
    /// Makes these the credentials of their registry, in place of any before.
    ///
    /// # Errors
    /// `NoMasterKey`.
    pub fn set_registry(&mut self, credentials: &Credentials) -> Result<RegistryRow, StoreError> {
        let Credentials { host, user, password } = credentials;
        let sealed = self.master_key()?.seal(password, place(host))?;
        row::run(
            self.connection,
            "INSERT INTO registries (host, user, sealed_password, set_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (host) DO UPDATE SET user = excluded.user, sealed_password = excluded.sealed_password, \
             set_at = excluded.set_at",
            (host.as_str(), user.as_str(), sealed, self.at.as_millis()),
        )?;
        // Another user has another limit.
        self.forget_limit(host)?;
        self.tell_registry(Event::CredentialsSet { host: host.clone(), user: user.clone() })?;
        Ok(RegistryRow { host: host.clone(), user: user.clone(), set_at: self.at })
    }

    /// Forgets the credentials of a registry.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_registry(&mut self, host: &RegistryHost) -> Result<(), StoreError> {
        if row::run(self.connection, "DELETE FROM registries WHERE host = ?1", [host.as_str()])? == 0 {
            return Err(StoreError::not_found("registry", host));
        }
        self.forget_limit(host)?;
        self.tell_registry(Event::CredentialsRemoved { host: host.clone() })
    }

    /// Notes that an image of a registry was wanted.
    pub fn use_registry(&mut self, host: &RegistryHost) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "INSERT INTO registry_limits (host, used_at) VALUES (?1, ?2) \
             ON CONFLICT (host) DO UPDATE SET used_at = excluded.used_at",
            (host.as_str(), self.at.as_millis()),
        )?;
        Ok(())
    }

    /// Notes that a registry is asked now how many pulls are left, whatever comes of it.
    pub fn ask_registry(&mut self, host: &RegistryHost) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "UPDATE registry_limits SET asked_at = ?2 WHERE host = ?1",
            (host.as_str(), self.at.as_millis()),
        )?;
        Ok(())
    }

    /// Keeps what a registry said of its limit; told where people should hear of it.
    pub fn record_registry_limit(&mut self, host: &RegistryHost, limit: PullLimit) -> Result<(), StoreError> {
        let before = self.find_registry_limit(host)?.and_then(|row| row.said).map(|(limit, _)| limit);
        let kept = row::run(
            self.connection,
            "UPDATE registry_limits SET read_at = ?2, remaining = ?3, pulls = ?4, window_ms = ?5 WHERE host = ?1",
            (
                host.as_str(),
                self.at.as_millis(),
                row::column(limit.remaining),
                row::column(limit.limit),
                row::column(limit.window.as_millis()),
            ),
        )?;
        if kept == 0 || !is_news(before.as_ref(), &limit) {
            return Ok(());
        }
        let PullLimit { remaining, limit, window } = limit;
        let window_ms = window.as_millis();
        self.tell_registry(Event::FewPullsLeft { host: host.clone(), remaining, limit, window_ms })
    }

    /// Tells that an image that was here served in place of one that a registry did not give.
    pub fn tell_present_image(
        &mut self,
        service: ServiceId,
        reference: &ImageRef,
        image: &Digest,
    ) -> Result<(), StoreError> {
        let event = Event::PresentImageUsed { reference: reference.clone(), image: image.clone() };
        self.append(Subject::Service { id: service }, EventKind::Registry(event))?;
        Ok(())
    }

    /// What was said to one user says nothing about another.
    fn forget_limit(&mut self, host: &RegistryHost) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "UPDATE registry_limits SET asked_at = NULL, read_at = NULL, remaining = NULL, pulls = NULL, window_ms = NULL \
             WHERE host = ?1",
            [host.as_str()],
        )?;
        Ok(())
    }

    fn tell_registry(&mut self, event: Event) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Registry(event))?;
        Ok(())
    }
}
