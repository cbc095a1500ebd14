//! DNS providers by zone. Everything a provider wants to know is sealed, secret or not. Tests: `tests/it/issuer.rs`.

use std::collections::BTreeMap;

use havre_core::certificate::event::Event;
use havre_core::dns::provider::{Provider, ProviderKind};
use havre_core::event::{EventKind, Subject};
use havre_core::name::DnsName;
use havre_core::secret::Secret;

use crate::error::StoreError;
use crate::row;
use crate::seal::Place;
use crate::view::{Tx, View};

impl View<'_> {
    /// Zones and who has them, without what they want to know.
    pub fn list_dns_providers(&self) -> Result<Vec<(DnsName, ProviderKind)>, StoreError> {
        row::list(self.connection, "SELECT zone, kind FROM dns_providers ORDER BY zone", [], |row| {
            let (zone, kind): (String, String) = (row.get(0)?, row.get(1)?);
            let damaged = |column, source| StoreError::Row { table: "dns_providers", id: 0, column, source };
            Ok((
                zone.parse().map_err(|source| damaged("zone", Box::new(source) as _))?,
                kind.parse().map_err(|source| damaged("kind", Box::new(source) as _))?,
            ))
        })
    }

    /// The provider of a zone, with everything it wants to know.
    ///
    /// # Errors
    /// `NotFound`; `Sealed` where it cannot be opened.
    pub fn get_dns_provider(&self, zone: &DnsName) -> Result<Provider, StoreError> {
        let sql = "SELECT kind, sealed_fields FROM dns_providers WHERE zone = ?1";
        let found: Option<(String, Vec<u8>)> =
            row::find(self.connection, sql, [zone.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (kind, sealed) = found.ok_or_else(|| StoreError::not_found("DNS provider", zone))?;
        let damaged = |source| StoreError::Row { table: "dns_providers", id: 0, column: "fields", source };
        let kind: ProviderKind = kind.parse().map_err(|source| damaged(Box::new(source) as _))?;
        let opened = self.master_key()?.open(&sealed, place(zone))?;
        let fields: BTreeMap<String, String> =
            serde_json::from_slice(opened.expose()).map_err(|source| damaged(Box::new(source) as _))?;
        let fields = fields.into_iter().map(|(name, value)| (name, Secret::from(value))).collect();
        Provider::parse(kind, fields).map_err(|source| damaged(Box::new(source) as _))
    }
}

fn place(zone: &DnsName) -> Place<'_> {
    Place { table: "dns_providers", row: zone.as_str(), column: "sealed_fields" }
}

impl Tx<'_> {
    /// Makes this the provider of a zone. Orders that were kept because records could not be written try again now.
    ///
    /// # Errors
    /// `NoMasterKey`.
    pub fn set_dns_provider(&mut self, zone: &DnsName, provider: &Provider) -> Result<(), StoreError> {
        let fields: BTreeMap<&str, &str> =
            provider.values().map(|(name, value)| (name, value.expose_text().unwrap_or_default())).collect();
        let json = serde_json::to_vec(&fields)
            .map_err(|source| StoreError::Encode { what: "the settings of a DNS provider", source })?;
        let sealed = self.master_key()?.seal(&Secret::new(json), place(zone))?;
        row::run(
            self.connection,
            "INSERT INTO dns_providers (zone, kind, sealed_fields, created_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (zone) DO UPDATE SET kind = excluded.kind, sealed_fields = excluded.sealed_fields",
            (zone.as_str(), provider.kind().as_str(), sealed, self.at.as_millis()),
        )?;
        self.end_stalls()?;
        let event = Event::ProviderSet { zone: zone.clone(), provider: provider.kind().to_string() };
        self.append(Subject::Node, EventKind::Certificate(event))?;
        Ok(())
    }

    /// Forgets the provider of a zone.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_dns_provider(&mut self, zone: &DnsName) -> Result<(), StoreError> {
        if row::run(self.connection, "DELETE FROM dns_providers WHERE zone = ?1", [zone.as_str()])? == 0 {
            return Err(StoreError::not_found("DNS provider", zone));
        }
        self.append(Subject::Node, EventKind::Certificate(Event::ProviderRemoved { zone: zone.clone() }))?;
        Ok(())
    }
}
