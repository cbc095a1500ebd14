//! Certificates, their material, and the orders that count for budgets. Tests: `tests/it/certificate.rs`.

use havre_core::artifact::Digest;
use havre_core::certificate::budget::{self, Ask, End, Exhausted, Limits, Placed};
use havre_core::certificate::event::Event;
use havre_core::certificate::{Attempt, Certificate, Current, Phase, Record, Source, State};
use havre_core::event::{EventKind, Subject};
use havre_core::id::{CertificateId, OrderId};
use havre_core::name::CertificateName;
use havre_core::secret::Secret;
use havre_core::time::Timestamp;
use havre_decide::certificate::conclude::Conclusion;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::seal::Place;
use crate::view::{Tx, View};

const SELECT: &str =
    "SELECT id, names, source, is_wanted, revision, current, state, record, created_at FROM certificates";

/// An order to record.
#[derive(Debug, Clone)]
pub struct OrderRequest {
    /// With whom and how.
    pub attempt: Attempt,
    /// The names had a certificate of this issuer before.
    pub is_renewal: bool,
    /// Their certificate has failed since its last success.
    pub is_retry: bool,
    /// How often the issuer may be asked.
    pub limits: Limits,
}

/// Chain and key of one certificate.
#[derive(Debug, Clone)]
pub struct Material {
    /// SHA-256 of chain and key together.
    pub digest: Digest,
    /// PEM, leaf first.
    pub chain: String,
    /// PKCS#8 in PEM.
    pub key: Secret,
}

fn read(row: &Row<'_>) -> Result<Certificate, StoreError> {
    let origin = Origin::of("certificates", row)?;
    let current = match row.get::<_, Option<String>>("current")? {
        Some(_) => Some(origin.json(row, "current")?),
        None => None,
    };
    Ok(Certificate {
        id: CertificateId::new(origin.id),
        revision: origin.count(row, "revision")?,
        names: origin.json(row, "names")?,
        source: origin.variant(row, "source")?,
        is_wanted: row.get("is_wanted")?,
        current,
        state: origin.json(row, "state")?,
        record: origin.json(row, "record")?,
        created_at: row::instant(row, "created_at")?,
    })
}

fn read_placed(row: &Row<'_>) -> Result<Placed, StoreError> {
    let origin = Origin::of("orders", row)?;
    let end = match row.get::<_, Option<String>>("ending")? {
        Some(_) => Some(origin.json(row, "ending")?),
        None => None,
    };
    Ok(Placed {
        issuer: origin.text(row, "issuer")?,
        stage: origin.variant(row, "stage")?,
        names: origin.json(row, "names")?,
        is_renewal: row.get("is_renewal")?,
        is_retry: row.get("is_retry")?,
        at: row::instant(row, "placed_at")?,
        end,
    })
}

impl View<'_> {
    /// All of them, by id.
    pub fn list_certificates(&self) -> Result<Vec<Certificate>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY id"), [], read)
    }

    /// One.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get_certificate(&self, id: CertificateId) -> Result<Certificate, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("certificate", id))
    }

    /// The one for exactly these names.
    pub fn find_certificate(
        &self,
        source: Source,
        names: &[CertificateName],
    ) -> Result<Option<Certificate>, StoreError> {
        let names = row::to_json("names", &names)?;
        row::find(
            self.connection,
            &format!("{SELECT} WHERE source = ?1 AND names = ?2"),
            (source.as_str(), names),
            read,
        )
    }

    /// Orders placed after an instant, for budgets; and those dated ahead of a clock that was set back.
    pub fn list_orders(&self, after: Timestamp) -> Result<Vec<Placed>, StoreError> {
        let sql = "SELECT id, issuer, stage, names, is_renewal, is_retry, placed_at, ending FROM orders \
            WHERE placed_at > ?1 ORDER BY id";
        row::list(self.connection, sql, [after.as_millis()], read_placed)
    }

    /// Key of the certificate that an order shall give.
    ///
    /// # Errors
    /// `Sealed` where it cannot be opened.
    pub fn order_key(&self, id: OrderId) -> Result<Secret, StoreError> {
        let sql = "SELECT sealed_key FROM orders WHERE id = ?1";
        let sealed: Option<Option<Vec<u8>>> =
            row::find(self.connection, sql, [id.row()], |row| Ok(row.get(0)?))?;
        let sealed = sealed.flatten().ok_or_else(|| StoreError::not_found("key of order", id))?;
        self.master_key()?.open(&sealed, order_place(&id.to_string()))
    }

    /// Chain and key by digest.
    ///
    /// # Errors
    /// `Sealed` where it cannot be opened.
    pub fn find_material(&self, digest: &Digest) -> Result<Option<Material>, StoreError> {
        let sql = "SELECT chain, sealed_key FROM materials WHERE digest = ?1";
        let found: Option<(String, Vec<u8>)> =
            row::find(self.connection, sql, [digest.hex()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some((chain, sealed)) = found else { return Ok(None) };
        let key = self.master_key()?.open(&sealed, material_place(digest))?;
        Ok(Some(Material { digest: digest.clone(), chain, key }))
    }

    /// The chain alone, which is no secret.
    pub fn find_chain(&self, digest: &Digest) -> Result<Option<String>, StoreError> {
        let sql = "SELECT chain FROM materials WHERE digest = ?1";
        row::find(self.connection, sql, [digest.hex()], |row| Ok(row.get(0)?))
    }
}

fn order_place(id: &str) -> Place<'_> {
    Place { table: "orders", row: id, column: "sealed_key" }
}

fn material_place(digest: &Digest) -> Place<'_> {
    Place { table: "materials", row: digest.hex(), column: "sealed_key" }
}

impl Tx<'_> {
    fn tell_certificate(&mut self, event: Event) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Certificate(event))?;
        Ok(())
    }

    /// Makes exactly these sets of names wanted; makes rows for new ones. Those wanted no more stay until they are forgotten.
    pub fn want_certificates(&mut self, sets: &[Vec<CertificateName>]) -> Result<(), StoreError> {
        for names in sets {
            match self.find_certificate(Source::Automatic, names)? {
                Some(row) if row.is_wanted => {}
                Some(mut row) => {
                    row.is_wanted = true;
                    self.put(&row)?;
                    self.tell_certificate(Event::Wanted { certificate: row.id, names: row.names })?;
                }
                None => {
                    let id = self.insert(Source::Automatic, names, None)?;
                    self.tell_certificate(Event::Wanted { certificate: id, names: names.clone() })?;
                }
            }
        }
        for mut row in self.list_certificates()? {
            if row.source == Source::Automatic && row.is_wanted && !sets.contains(&row.names) {
                row.is_wanted = false;
                self.put(&row)?;
                self.set_waiting("certificate", row.id.row(), "")?;
                self.tell_certificate(Event::Unwanted { certificate: row.id })?;
            }
        }
        Ok(())
    }

    fn insert(
        &mut self,
        source: Source,
        names: &[CertificateName],
        current: Option<&Current>,
    ) -> Result<CertificateId, StoreError> {
        let current = current.map(|current| row::to_json("a certificate", current)).transpose()?;
        row::run(
            self.connection,
            "INSERT INTO certificates (names, source, is_wanted, revision, current, state, record, created_at) \
             VALUES (?1, ?2, 1, 1, ?3, ?4, ?5, ?6)",
            (
                row::to_json("names", &names)?,
                source.as_str(),
                current,
                row::to_json("a state", &State::Resting { since: self.at })?,
                row::to_json("a record", &Record::default())?,
                self.at.as_millis(),
            ),
        )?;
        Ok(CertificateId::new(self.connection.last_insert_rowid()))
    }

    fn put(&mut self, row: &Certificate) -> Result<(), StoreError> {
        let current =
            row.current.as_ref().map(|current| row::to_json("a certificate", current)).transpose()?;
        let changed = row::run(
            self.connection,
            "UPDATE certificates SET is_wanted = ?3, revision = revision + 1, current = ?4, state = ?5, record = ?6 \
             WHERE id = ?1 AND revision = ?2",
            (
                row.id.row(),
                column(row.revision),
                row.is_wanted,
                current,
                row::to_json("a state", &row.state)?,
                row::to_json("a record", &row.record)?,
            ),
        )?;
        if changed == 0 {
            let found = self.get_certificate(row.id)?.state.name();
            return Err(StoreError::Conflict { id: row.id.to_string(), expected: row.state.name(), found });
        }
        Ok(())
    }

    /// Stores a state that needed no step, and forgets what was shown for the one before.
    ///
    /// # Errors
    /// `Conflict` when the row changed meanwhile.
    pub fn set_certificate_state(&mut self, row: &Certificate, state: State) -> Result<(), StoreError> {
        let row = Certificate { state, ..row.clone() };
        self.put(&row)?;
        self.forget_materials(&row)
    }

    /// Records an order before it is placed, with the key of the certificate it shall give. The budget is asked here, where
    /// nobody else can place one in between.
    ///
    /// # Errors
    /// `Conflict` when the row changed meanwhile.
    pub fn place_order(
        &mut self,
        row: &Certificate,
        request: &OrderRequest,
        key: &Secret,
    ) -> Result<Result<OrderId, Exhausted>, StoreError> {
        let Attempt { issuer, stage, .. } = &request.attempt;
        let ask = Ask {
            issuer,
            stage: *stage,
            names: &row.names,
            is_renewal: request.is_renewal,
            is_retry: request.is_retry,
        };
        let history = self.list_orders(week_before(self.at))?;
        if let Err(exhausted) = budget::ask(&history, &request.limits, &ask, self.at) {
            return Ok(Err(exhausted));
        }
        row::run(
            self.connection,
            "INSERT INTO orders (certificate, issuer, stage, names, is_renewal, is_retry, placed_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                row.id.row(),
                ask.issuer.as_str(),
                ask.stage.as_str(),
                row::to_json("names", &ask.names)?,
                ask.is_renewal,
                ask.is_retry,
                self.at.as_millis(),
            ),
        )?;
        let order = OrderId::new(self.connection.last_insert_rowid());
        let sealed = self.master_key()?.seal(key, order_place(&order.to_string()))?;
        row::run(self.connection, "UPDATE orders SET sealed_key = ?2 WHERE id = ?1", (order.row(), sealed))?;
        let state = State::Ordering {
            since: self.at,
            order,
            attempt: request.attempt.clone(),
            phase: Phase::Placing,
        };
        self.set_certificate_state(row, state)?;
        let attempt = request.attempt.clone();
        self.tell_certificate(Event::OrderPlaced { certificate: row.id, order, attempt })?;
        // What no budget looks at any more.
        let oldest = self.at.as_millis().saturating_sub(4 * week());
        row::run(self.connection, "DELETE FROM orders WHERE placed_at < ?1", [oldest])?;
        Ok(Ok(order))
    }

    /// Stores what follows from a step, with the material it brought.
    ///
    /// # Errors
    /// `Conflict` when the row changed meanwhile; then nothing of it is kept.
    pub fn conclude_certificate(
        &mut self,
        conclusion: Conclusion,
        materials: &[Material],
    ) -> Result<(), StoreError> {
        let row = &conclusion.certificate;
        self.put(row)?;
        if let Some((order, end)) = &conclusion.end {
            self.end_order(*order, end)?;
        }
        for material in materials {
            let is_served = row.current.as_ref().is_some_and(|current| current.digest == material.digest);
            self.add_material(row.id, material, is_served)?;
        }
        self.forget_materials(row)?;
        match conclusion.event {
            Some(event) => self.tell_certificate(event),
            None => Ok(()),
        }
    }

    fn end_order(&mut self, id: OrderId, end: &End) -> Result<(), StoreError> {
        // The key has moved to the material, or is of no use.
        let sql = "UPDATE orders SET ending = ?2, sealed_key = NULL WHERE id = ?1";
        row::run(self.connection, sql, (id.row(), row::to_json("an end", end)?))?;
        Ok(())
    }

    fn add_material(
        &mut self,
        id: CertificateId,
        material: &Material,
        is_served: bool,
    ) -> Result<(), StoreError> {
        let sealed = self.master_key()?.seal(&material.key, material_place(&material.digest))?;
        row::run(
            self.connection,
            "INSERT INTO materials (digest, certificate, is_served, chain, sealed_key, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (digest) DO NOTHING",
            (material.digest.hex(), id.row(), is_served, &material.chain, sealed, self.at.as_millis()),
        )?;
        Ok(())
    }

    /// Keeps what is served, what a trial or an open order shows, and for a day what was served before: an edge may still fetch it.
    fn forget_materials(&mut self, row: &Certificate) -> Result<(), StoreError> {
        use havre_core::certificate::challenge::Proof;
        let mut kept: Vec<&str> = row.current.iter().map(|current| current.digest.hex()).collect();
        kept.extend(row.state.proofs().iter().filter_map(|proof| match proof {
            Proof::Handshake { digest, .. } => Some(digest.hex()),
            Proof::File { .. } | Proof::Txt { .. } => None,
        }));
        let day = 24 * 3600 * 1000;
        row::run(
            self.connection,
            "DELETE FROM materials WHERE certificate = ?1 AND digest NOT IN (SELECT value FROM json_each(?2)) \
             AND (is_served = 0 OR created_at < ?3)",
            (row.id.row(), row::to_json("digests", &kept)?, self.at.as_millis().saturating_sub(day)),
        )?;
        Ok(())
    }

    /// Takes a certificate that a person brought into use; takes the place of an earlier one for the same names.
    pub fn upload_certificate(
        &mut self,
        current: Current,
        material: &Material,
    ) -> Result<CertificateId, StoreError> {
        let names = current.names.clone();
        let id = match self.find_certificate(Source::Uploaded, &names)? {
            Some(row) => {
                self.put(&Certificate { current: Some(current.clone()), is_wanted: true, ..row.clone() })?;
                row.id
            }
            None => self.insert(Source::Uploaded, &names, Some(&current))?,
        };
        self.add_material(id, material, true)?;
        let (digest, not_after) = (current.digest.hex().to_owned(), current.not_after);
        self.tell_certificate(Event::Uploaded { certificate: id, names, digest, not_after })?;
        Ok(id)
    }

    /// Asks for a new one now: ends a back-off, never the budget.
    pub fn renew_certificate(&mut self, id: CertificateId) -> Result<(), StoreError> {
        let mut row = self.get_certificate(id)?;
        row.record.is_renewal_asked = true;
        row.state.end_pause(self.at);
        self.put(&row)?;
        self.tell_certificate(Event::RenewalAsked { certificate: id })
    }

    /// Orders that wait for a DNS provider wait no longer: one was just set. Part of that write, and told by its event.
    pub(crate) fn end_stalls(&mut self) -> Result<(), StoreError> {
        for mut row in self.list_certificates()? {
            let is_stalled = matches!(row.state, State::Ordering { phase: Phase::Stalled { .. }, .. });
            if is_stalled && row.state.end_pause(self.at) {
                row.record.stalls = 0;
                self.put(&row)?;
            }
        }
        Ok(())
    }

    /// Removes the row and its keys. An automatic one that is still wanted is made again by the loop, from the beginning.
    pub fn remove_certificate(&mut self, id: CertificateId) -> Result<(), StoreError> {
        let row = self.get_certificate(id)?;
        row::run(self.connection, "DELETE FROM certificates WHERE id = ?1", [id.row()])?;
        self.set_waiting("certificate", id.row(), "")?;
        self.tell_certificate(Event::Removed { certificate: id, names: row.names })
    }
}

fn week() -> i64 {
    i64::try_from(budget::WEEK.as_millis()).expect("a week fits")
}

/// The instant before which orders count for no budget.
pub fn week_before(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_sub(week()))
}
