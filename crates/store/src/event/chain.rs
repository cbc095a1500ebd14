//! The chain of the event log: each row holds a hash over the row before and itself. Whoever changes, removes or inserts a row
//! without writing all later ones anew is found out; whoever does write them anew is found out by the newest hash, if somebody
//! has kept it elsewhere. It is no proof against who owns the machine. Tests: `tests/it/event.rs`.

use rusqlite::Row;
use sha2::{Digest as _, Sha256};

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// What looking at the whole log came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Events that are kept.
    pub events: u64,
    /// Of those, the oldest ones that were written before there was a chain.
    pub unchained: u64,
    /// Hash of the newest event, in hexadecimal digits; `None` without a chain.
    pub newest: Option<String>,
    /// The first event that does not follow from the one before.
    pub broken_at: Option<u64>,
}

type Hash = [u8; 32];

/// A row as it is hashed: its columns as they are stored.
struct Link {
    seq: u64,
    at: i64,
    service: Option<i64>,
    cause: Option<i64>,
    actor: String,
    kind: String,
    hash: Option<Hash>,
}

const SELECT: &str = "SELECT seq, at, service, cause, actor, kind, hash FROM events";

fn read(row: &Row<'_>) -> Result<Link, StoreError> {
    Ok(Link {
        seq: Origin::of("events", row)?.count(row, "seq")?,
        at: row.get("at")?,
        service: row.get("service")?,
        cause: row.get("cause")?,
        actor: row.get("actor")?,
        kind: row.get("kind")?,
        hash: row.get("hash")?,
    })
}

impl Link {
    /// Unambiguous: fixed lengths, then each text behind its length.
    fn derive_hash(&self, before: &Hash) -> Hash {
        let number = |number: Option<i64>| [i64::from(number.is_some()), number.unwrap_or(0)];
        let mut hash = Sha256::new_with_prefix(b"havre event 1").chain_update(before);
        hash.update(self.seq.to_be_bytes());
        hash.update(self.at.to_be_bytes());
        for number in number(self.service).into_iter().chain(number(self.cause)) {
            hash.update(number.to_be_bytes());
        }
        for text in [&self.actor, &self.kind] {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            hash.update(length.to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().into()
    }
}

impl View<'_> {
    /// Looks at every event that is kept. The oldest one of the chain is taken as it is where older ones were pruned.
    pub fn verify_events(&self) -> Result<Chain, StoreError> {
        let mut chain = Chain { events: 0, unchained: 0, newest: None, broken_at: None };
        let mut before: Option<Hash> = None;
        let mut statement = self.connection.prepare_cached(&format!("{SELECT} ORDER BY seq"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let link = read(row)?;
            chain.events += 1;
            let follows = match (before, link.hash) {
                (None, None) => {
                    chain.unchained += 1;
                    continue;
                }
                (Some(_), None) => false,
                (Some(before), Some(hash)) => link.derive_hash(&before) == hash,
                (None, Some(_)) if chain.unchained == 0 && link.seq > 1 => true,
                (None, Some(hash)) => link.derive_hash(&[0; 32]) == hash,
            };
            if !follows && chain.broken_at.is_none() {
                chain.broken_at = Some(link.seq);
            }
            // From there on, each is compared with what stands before it.
            before = link.hash.or(before);
        }
        chain.newest = before.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect());
        Ok(chain)
    }
}

impl Tx<'_> {
    /// Gives the event that was written just now its hash.
    pub(super) fn chain_event(&mut self, seq: i64) -> Result<(), StoreError> {
        let sql = "SELECT hash FROM events WHERE seq < ?1 ORDER BY seq DESC LIMIT 1";
        let before: Option<Option<Hash>> = row::find(self.connection, sql, [seq], |row| Ok(row.get(0)?))?;
        let link = row::find(self.connection, &format!("{SELECT} WHERE seq = ?1"), [seq], read)?
            .ok_or_else(|| StoreError::not_found("event", seq))?;
        let hash = link.derive_hash(&before.flatten().unwrap_or([0; 32]));
        row::run(self.connection, "UPDATE events SET hash = ?2 WHERE seq = ?1", (seq, hash))?;
        Ok(())
    }
}
