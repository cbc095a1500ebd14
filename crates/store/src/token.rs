//! Access tokens: only hashes, never the tokens. Whether a token matches is compared by `web`.
//! Tests: `tests/it/token.rs`.

use std::fmt;
use std::time::Duration;

use havre_core::event::{AccessEvent, EventKind, Subject};
use havre_core::id::TokenId;
use havre_core::name::TokenName;
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// How exact [`TokenRow::last_used_at`] is: busy clients must not cause a write with every request.
pub const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// One access token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// Its name, unique among tokens.
    pub name: TokenName,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, exact to [`TOUCH_INTERVAL`].
    pub last_used_at: Option<Timestamp>,
}

impl fmt::Debug for TokenRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRow").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

const SELECT: &str = "SELECT id, name, hash, created_at, last_used_at FROM tokens";

fn read(row: &Row<'_>) -> Result<TokenRow, StoreError> {
    let origin = Origin::of("tokens", row)?;
    Ok(TokenRow {
        id: TokenId::new(origin.id),
        name: origin.text(row, "name")?,
        hash: row.get("hash")?,
        created_at: row::instant(row, "created_at")?,
        last_used_at: row::instant_or_none(row, "last_used_at")?,
    })
}

impl View<'_> {
    /// All tokens, by name.
    pub fn list_tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY name"), [], read)
    }

    /// The token with this hash. The look-up is not in constant time, which tells nothing of use: the hash is that
    /// of 256 random bits.
    pub fn find_token(&self, hash: [u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE hash = ?1"), [hash], read)
    }
}

impl Tx<'_> {
    /// Records a token by its hash.
    ///
    /// # Errors
    /// `NameTaken`.
    pub fn create_token(&mut self, name: TokenName, hash: [u8; 32]) -> Result<TokenRow, StoreError> {
        let sql =
            "INSERT INTO tokens (name, hash, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING";
        if row::run(self.connection, sql, (name.as_str(), hash, self.at.as_millis()))? == 0 {
            return Err(StoreError::NameTaken { kind: "token", name: name.to_string() });
        }
        let event = AccessEvent::TokenCreated { name: name.to_string() };
        self.append(Subject::Node, EventKind::Access(event))?;
        self.find_token(hash)?.ok_or_else(|| StoreError::not_found("token", name))
    }

    /// Takes a token back: from the next request on it is unknown.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn revoke_token(&mut self, name: &TokenName) -> Result<(), StoreError> {
        if row::run(self.connection, "DELETE FROM tokens WHERE name = ?1", [name.as_str()])? == 0 {
            return Err(StoreError::not_found("token", name));
        }
        let event = AccessEvent::TokenRevoked { name: name.to_string() };
        self.append(Subject::Node, EventKind::Access(event))?;
        Ok(())
    }

    /// Records the use of a token, at most once each [`TOUCH_INTERVAL`]; nothing happens when it is gone. No event:
    /// what was done with it has its own.
    pub fn touch_token(&mut self, id: TokenId) -> Result<(), StoreError> {
        let interval = i64::try_from(TOUCH_INTERVAL.as_millis()).expect("a minute fits");
        row::run(
            self.connection,
            "UPDATE tokens SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, 0) <= ?2 - ?3",
            (id.row(), self.at.as_millis(), interval),
        )?;
        Ok(())
    }
}
