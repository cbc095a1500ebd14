//! Tunnels into databases that are not over. No password is here: it is told once, to whoever opened the tunnel. When one ends is decided in
//! `havre_decide::tunnel`. Tests: `tests/it/tunnel.rs`.

use havre_core::database::Database;
use havre_core::database::event::Fact;
use havre_core::id::{DatabaseId, TunnelId};
use havre_core::name::{DatabaseName, ServiceName};
use havre_core::quantity::Span;
use havre_core::route::settings::auth::SecretDigest;
use havre_core::secret::Secret;
use havre_core::service::Place;
use havre_decide::tunnel::{TUNNELS_MAX, Tunnel};
use rusqlite::Row;

use crate::database::digest;
use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::seal::random_password;
use crate::view::{Tx, View};

const SELECT: &str = "SELECT id, database, project, environment, name, task, until, created_at FROM tunnels";

fn read(row: &Row<'_>) -> Result<Tunnel, StoreError> {
    let origin = Origin::of("tunnels", row)?;
    let name: DatabaseName = origin.text(row, "name")?;
    Ok(Tunnel {
        id: TunnelId::new(origin.id),
        database: DatabaseId::new(row.get("database")?),
        place: Place {
            project: origin.text(row, "project")?,
            environment: origin.text(row, "environment")?,
            service: ServiceName::from(&name),
        },
        task: row.get("task")?,
        until: row::instant(row, "until")?,
        created_at: row::instant(row, "created_at")?,
    })
}

/// A new password for the role of a tunnel, which no row keeps, and its hash.
///
/// # Errors
/// `Random` when the operating system gives no random bytes.
pub fn tunnel_password() -> Result<(Secret, SecretDigest), StoreError> {
    let password = random_password()?;
    let hash = digest(&password);
    Ok((password, hash))
}

impl View<'_> {
    /// Every tunnel that is not over, oldest first.
    pub fn list_tunnels(&self) -> Result<Vec<Tunnel>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY id"), [], read)
    }
}

impl Tx<'_> {
    /// Records that somebody wants a way into a database, before its server is told.
    ///
    /// # Errors
    /// `TooManyTunnels`, `SwapRunning`, `BeingDestroyed`.
    pub fn open_tunnel(&mut self, database: &Database, lasts: Span) -> Result<Tunnel, StoreError> {
        if database.state.is_destroying() {
            return Err(StoreError::BeingDestroyed { place: database.place() });
        }
        self.check_not_swapped(database)?;
        if self.list_tunnels()?.len() >= TUNNELS_MAX {
            return Err(StoreError::TooManyTunnels { most: TUNNELS_MAX });
        }
        let until = self.at.after(lasts.duration());
        row::run(
            self.connection,
            "INSERT INTO tunnels (database, project, environment, name, task, until, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                database.id.row(),
                database.project.as_str(),
                database.environment_name.as_str(),
                database.spec.name.as_str(),
                database.task,
                until.as_millis(),
                self.at.as_millis(),
            ),
        )?;
        let id = TunnelId::new(self.connection.last_insert_rowid());
        self.tell_database(database, Fact::TunnelOpened { tunnel: id, until })?;
        row::find(self.connection, &format!("{SELECT} WHERE id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("tunnel", id))
    }

    /// Forgets a tunnel whose role is gone; nothing happens where somebody did before.
    pub fn close_tunnel(&mut self, tunnel: &Tunnel, why: String) -> Result<(), StoreError> {
        let sql = "DELETE FROM tunnels WHERE id = ?1";
        if row::run(self.connection, sql, [tunnel.id.row()])? == 0 {
            return Ok(());
        }
        self.tell_place(tunnel.place.clone(), Fact::TunnelClosed { tunnel: tunnel.id, why })
    }
}
