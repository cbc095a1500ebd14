//! What a closure sees of the store: a consistent view, or a write transaction.
//! The methods are in the file of their room.

use std::ops::Deref;

use havre_core::event::Actor;
use havre_core::time::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;
use crate::pool::AddressPool;
use crate::seal::MasterKey;

/// One consistent view of every row: what others commit meanwhile is not seen.
#[derive(Debug)]
pub struct View<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) master_key: Option<&'a MasterKey>,
}

impl<'a> View<'a> {
    /// The key that seals.
    ///
    /// # Errors
    /// `NoMasterKey`.
    pub(crate) fn master_key(&self) -> Result<&'a MasterKey, StoreError> {
        self.master_key.ok_or(StoreError::NoMasterKey)
    }

    /// Whether secrets can be kept.
    pub fn has_master_key(&self) -> bool {
        self.master_key.is_some()
    }
}

/// A write transaction: all of it is kept, with its events, or nothing.
#[derive(Debug)]
pub struct Tx<'a> {
    view: View<'a>,
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    pub(crate) cause: Option<u64>,
    pub(crate) pools: Pools,
}

/// Where addresses come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pools {
    pub(crate) edge: AddressPool,
    pub(crate) environment: AddressPool,
}

impl<'a> Deref for Tx<'a> {
    type Target = View<'a>;

    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl Tx<'_> {
    /// The instant of this transaction.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Names the event that caused those written from now on; `None` for none.
    pub fn set_cause(&mut self, cause: Option<u64>) {
        self.cause = cause;
    }
}

/// Who writes, when, and from which pools.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    pub(crate) pools: Pools,
    pub(crate) master_key: Option<&'a MasterKey>,
}

/// Runs `f` on one snapshot.
pub(crate) fn read<T>(
    connection: &mut Connection,
    master_key: Option<&MasterKey>,
    f: impl FnOnce(&View<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    f(&View { connection: &transaction, master_key })
}

/// Runs `f` and keeps all it wrote, or nothing; whether it wrote anything.
pub(crate) fn write<T>(
    connection: &mut Connection,
    context: Context<'_>,
    f: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
) -> Result<(T, bool), StoreError> {
    let before = connection.total_changes();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Context { at, actor, pools, master_key } = context;
    let view = View { connection: &transaction, master_key };
    let value = f(&mut Tx { view, at, actor, cause: None, pools })?;
    // SQLite ends a transaction by itself after some errors; if `f` swallowed such an error, there is no
    // transaction left to commit.
    if transaction.is_autocommit() {
        return Err(StoreError::GivenUp);
    }
    transaction.commit()?;
    Ok((value, connection.total_changes() != before))
}
