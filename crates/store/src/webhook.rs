//! Webhooks: who may say that something was pushed, their sealed secrets, and which deliveries were seen. Whether a delivery is
//! believed is decided in `havre-webhook`, who the senders are as well; here they are names. Tests: `tests/it/webhook.rs`.

use std::time::Duration;

use havre_core::name::ProjectName;
use havre_core::pipeline::event::Event;
use havre_core::secret::Secret;
use havre_core::time::Timestamp;

use crate::error::StoreError;
use crate::row;
use crate::seal::Place;
use crate::view::{Tx, View};

/// Deliveries of one webhook that are remembered, the newest ones.
pub const DELIVERIES_KEPT: u32 = 1_000;

/// For so long the same body under another id is a repetition. Not longer: a branch may rightly be pushed, set back and pushed again.
pub const BODY_KEPT: Duration = Duration::from_secs(300);

/// A webhook, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// The project.
    pub project: ProjectName,
    /// Who sends, such as `github`.
    pub provider: String,
    /// When it was first set.
    pub created_at: Timestamp,
}

fn sealed_row(project: &ProjectName, provider: &str) -> String {
    format!("{project}/{provider}")
}

fn place(row: &str) -> Place<'_> {
    Place { table: "webhooks", row, column: "sealed_secret" }
}

impl View<'_> {
    /// The webhooks of a project, by sender.
    pub fn list_webhooks(&self, project: &ProjectName) -> Result<Vec<WebhookRow>, StoreError> {
        let sql = "SELECT provider, created_at FROM webhooks WHERE project = ?1 ORDER BY provider";
        row::list(self.connection, sql, [project.as_str()], |row| {
            let created_at = row::instant(row, "created_at")?;
            Ok(WebhookRow { project: project.clone(), provider: row.get("provider")?, created_at })
        })
    }

    /// The secret of a webhook.
    ///
    /// # Errors
    /// `Sealed` where it cannot be opened.
    pub fn find_webhook_secret(
        &self,
        project: &ProjectName,
        provider: &str,
    ) -> Result<Option<Secret>, StoreError> {
        let sql = "SELECT sealed_secret FROM webhooks WHERE project = ?1 AND provider = ?2";
        let sealed: Option<Vec<u8>> =
            row::find(self.connection, sql, (project.as_str(), provider), |row| Ok(row.get(0)?))?;
        let Some(sealed) = sealed else { return Ok(None) };
        self.master_key()?.open(&sealed, place(&sealed_row(project, provider))).map(Some)
    }
}

impl Tx<'_> {
    /// Gives a project a webhook, or the one it has another secret.
    ///
    /// # Errors
    /// `NoMasterKey`.
    pub fn set_webhook(
        &mut self,
        project: &ProjectName,
        provider: &str,
        secret: &Secret,
    ) -> Result<(), StoreError> {
        let sealed = self.master_key()?.seal(secret, place(&sealed_row(project, provider)))?;
        row::run(
            self.connection,
            "INSERT INTO webhooks (project, provider, sealed_secret, created_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (project, provider) DO UPDATE SET sealed_secret = excluded.sealed_secret",
            (project.as_str(), provider, sealed, self.at.as_millis()),
        )?;
        self.tell_source(Event::WebhookSet { project: project.clone(), provider: provider.to_owned() })
    }

    /// Takes a webhook away, with what it remembers.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_webhook(&mut self, project: &ProjectName, provider: &str) -> Result<(), StoreError> {
        let names = (project.as_str(), provider);
        let sql = "DELETE FROM webhooks WHERE project = ?1 AND provider = ?2";
        if row::run(self.connection, sql, names)? == 0 {
            return Err(StoreError::not_found("webhook", sealed_row(project, provider)));
        }
        row::run(self.connection, "DELETE FROM deliveries WHERE project = ?1 AND provider = ?2", names)?;
        self.tell_source(Event::WebhookRemoved { project: project.clone(), provider: provider.to_owned() })
    }

    /// Remembers a delivery by its id and the digest of its body; `false` when it was here before, and then nothing is changed.
    pub fn remember_delivery(
        &mut self,
        project: &ProjectName,
        provider: &str,
        delivery: &str,
        body: &str,
    ) -> Result<bool, StoreError> {
        let kept = i64::try_from(BODY_KEPT.as_millis()).unwrap_or(i64::MAX);
        let since = self.at.as_millis().saturating_sub(kept);
        let seen = row::find(
            self.connection,
            "SELECT 1 FROM deliveries WHERE project = ?1 AND provider = ?2 \
             AND (delivery = ?3 OR (body = ?4 AND received_at > ?5)) LIMIT 1",
            (project.as_str(), provider, delivery, body, since),
            |_| Ok(()),
        )?;
        if seen.is_some() {
            return Ok(false);
        }
        row::run(
            self.connection,
            "INSERT INTO deliveries (project, provider, delivery, body, received_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            (project.as_str(), provider, delivery, body, self.at.as_millis()),
        )?;
        row::run(
            self.connection,
            "DELETE FROM deliveries WHERE project = ?1 AND provider = ?2 AND delivery NOT IN \
             (SELECT delivery FROM deliveries WHERE project = ?1 AND provider = ?2 \
             ORDER BY received_at DESC, delivery LIMIT ?3)",
            (project.as_str(), provider, DELIVERIES_KEPT),
        )?;
        Ok(true)
    }
}
