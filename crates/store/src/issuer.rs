//! Issuers, and our accounts at them. Account keys and EAB keys are sealed. Tests: `tests/it/issuer.rs`.

use havre_core::certificate::Stage;
use havre_core::certificate::event::Event;
use havre_core::certificate::issuer::Issuer;
use havre_core::event::{EventKind, Subject};
use havre_core::name::IssuerName;
use havre_core::secret::Secret;

use crate::error::StoreError;
use crate::row;
use crate::seal::Place;
use crate::view::{Tx, View};

/// Our account at an issuer.
#[derive(Debug, Clone)]
pub struct AccountRow {
    /// Its private key.
    pub key: Secret,
    /// Where it is; `None` until the issuer has answered.
    pub url: Option<String>,
}

impl View<'_> {
    /// All issuers, the first to ask first.
    pub fn list_issuers(&self) -> Result<Vec<Issuer>, StoreError> {
        let sql = "SELECT name, content FROM issuers ORDER BY rank, name";
        row::list(self.connection, sql, [], |row| {
            let content: String = row.get("content")?;
            serde_json::from_str(&content).map_err(|source| StoreError::Row {
                table: "issuers",
                id: 0,
                column: "content",
                source: source.into(),
            })
        })
    }

    /// The EAB key of an issuer.
    ///
    /// # Errors
    /// `Sealed` where it cannot be opened.
    pub fn find_eab_key(&self, name: &IssuerName) -> Result<Option<Secret>, StoreError> {
        let sql = "SELECT sealed_eab FROM issuers WHERE name = ?1";
        let sealed: Option<Option<Vec<u8>>> =
            row::find(self.connection, sql, [name.as_str()], |row| Ok(row.get(0)?))?;
        let Some(sealed) = sealed.flatten() else { return Ok(None) };
        self.master_key()?.open(&sealed, eab_place(name)).map(Some)
    }

    /// Our account at an issuer.
    ///
    /// # Errors
    /// `Sealed` where its key cannot be opened.
    pub fn find_account(&self, name: &IssuerName, stage: Stage) -> Result<Option<AccountRow>, StoreError> {
        let sql = "SELECT sealed_key, url FROM accounts WHERE issuer = ?1 AND stage = ?2";
        let found: Option<(Vec<u8>, Option<String>)> =
            row::find(self.connection, sql, (name.as_str(), stage.as_str()), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let Some((sealed, url)) = found else { return Ok(None) };
        let key = self.master_key()?.open(&sealed, account_place(&account_row(name, stage)))?;
        Ok(Some(AccountRow { key, url }))
    }

    /// Where our accounts at an issuer are, without their keys.
    pub fn list_account_urls(&self, name: &IssuerName) -> Result<Vec<(Stage, String)>, StoreError> {
        let sql = "SELECT stage, url FROM accounts WHERE issuer = ?1 AND url IS NOT NULL ORDER BY stage";
        row::list(self.connection, sql, [name.as_str()], |row| {
            let stage = match row.get::<_, String>(0)?.as_str() {
                "rehearsal" => Stage::Rehearsal,
                _ => Stage::Production,
            };
            Ok((stage, row.get(1)?))
        })
    }
}

fn eab_place(name: &IssuerName) -> Place<'_> {
    Place { table: "issuers", row: name.as_str(), column: "sealed_eab" }
}

fn account_row(name: &IssuerName, stage: Stage) -> String {
    format!("{name}/{}", stage.as_str())
}

fn account_place(row: &str) -> Place<'_> {
    Place { table: "accounts", row, column: "sealed_key" }
}

impl Tx<'_> {
    /// Makes the issuer be as said. Accounts are kept unless the directory they are at, or the EAB they hang on, changed.
    ///
    /// # Errors
    /// `NoMasterKey`: without one no account could be kept.
    pub fn set_issuer(&mut self, issuer: &Issuer, eab_key: Option<&Secret>) -> Result<(), StoreError> {
        let key = self.master_key()?;
        let sealed = eab_key.map(|secret| key.seal(secret, eab_place(&issuer.name))).transpose()?;
        let before = self.list_issuers()?.into_iter().find(|other| other.name == issuer.name);
        row::run(
            self.connection,
            "INSERT INTO issuers (name, rank, content, sealed_eab) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE \
             SET rank = excluded.rank, content = excluded.content, sealed_eab = excluded.sealed_eab",
            (issuer.name.as_str(), issuer.rank, row::to_json("an issuer", issuer)?, sealed),
        )?;
        if let Some(before) = before {
            let is_other_binding = before.eab_key_id != issuer.eab_key_id;
            for stage in [Stage::Rehearsal, Stage::Production] {
                if is_other_binding || before.directory_of(stage) != issuer.directory_of(stage) {
                    let sql = "DELETE FROM accounts WHERE issuer = ?1 AND stage = ?2";
                    row::run(self.connection, sql, (issuer.name.as_str(), stage.as_str()))?;
                }
            }
        }
        self.append(Subject::Node, EventKind::Certificate(Event::IssuerSet { issuer: issuer.name.clone() }))?;
        Ok(())
    }

    /// Removes an issuer and our accounts at it. Certificates it signed stay.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_issuer(&mut self, name: &IssuerName) -> Result<(), StoreError> {
        if row::run(self.connection, "DELETE FROM issuers WHERE name = ?1", [name.as_str()])? == 0 {
            return Err(StoreError::not_found("issuer", name));
        }
        self.append(Subject::Node, EventKind::Certificate(Event::IssuerRemoved { issuer: name.clone() }))?;
        Ok(())
    }

    /// Keeps the key of a new account before the issuer hears of it; the one that is there already wins. Answers it.
    pub fn ensure_account_key(
        &mut self,
        name: &IssuerName,
        stage: Stage,
        key: &Secret,
    ) -> Result<AccountRow, StoreError> {
        if let Some(account) = self.find_account(name, stage)? {
            return Ok(account);
        }
        let sealed = self.master_key()?.seal(key, account_place(&account_row(name, stage)))?;
        row::run(
            self.connection,
            "INSERT INTO accounts (issuer, stage, sealed_key) VALUES (?1, ?2, ?3)",
            (name.as_str(), stage.as_str(), sealed),
        )?;
        Ok(AccountRow { key: key.clone(), url: None })
    }

    /// Where the issuer says our account is.
    pub fn set_account_url(&mut self, name: &IssuerName, stage: Stage, url: &str) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET url = ?3 WHERE issuer = ?1 AND stage = ?2 AND url IS NOT ?3";
        if row::run(self.connection, sql, (name.as_str(), stage.as_str(), url))? > 0 {
            let event = Event::AccountMade { issuer: name.clone(), url: url.to_owned() };
            self.append(Subject::Node, EventKind::Certificate(event))?;
        }
        Ok(())
    }

    /// Forgets where an account is, so that it is looked for again: the issuer no longer accepts it.
    pub fn forget_account_url(&mut self, name: &IssuerName, stage: Stage) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET url = NULL WHERE issuer = ?1 AND stage = ?2";
        row::run(self.connection, sql, (name.as_str(), stage.as_str()))?;
        Ok(())
    }
}
