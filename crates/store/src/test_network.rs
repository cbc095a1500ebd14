//! Private networks of tests that have databases. They have no events of their own: one comes and goes with the test it is of, which has some.
//! Tests: `tests/it/test_network.rs`.

use std::collections::BTreeSet;

use havre_core::build::State;
use havre_core::id::BuildId;

use crate::error::StoreError;
use crate::row;
use crate::view::{Tx, View};

impl View<'_> {
    /// Tests that have a network, or had one when control was killed.
    pub fn list_test_networks(&self) -> Result<Vec<BuildId>, StoreError> {
        let sql = "SELECT build FROM test_networks ORDER BY build";
        row::list(self.connection, sql, [], |row| Ok(BuildId::new(row.get(0)?)))
    }

    /// Subnets of the pool of environments that something has.
    pub(crate) fn list_taken_subnets(&self) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT subnet FROM environments UNION SELECT subnet FROM test_networks";
        Ok(row::list(self.connection, sql, [], |row| Ok(row.get(0)?))?.into_iter().collect())
    }
}

impl Tx<'_> {
    /// The subnet of a test that runs: the one it has, else the lowest free one.
    ///
    /// # Errors
    /// `Conflict` when the test does not run any more, `PoolExhausted` when every network is in use.
    pub fn reserve_test_network(&mut self, build: BuildId) -> Result<String, StoreError> {
        let state = self.get_build(build)?.state;
        if !matches!(state, State::Running { .. }) {
            let (expected, found) = ("running", state.name());
            return Err(StoreError::Conflict { id: build.to_string(), expected, found });
        }
        let sql = "SELECT subnet FROM test_networks WHERE build = ?1";
        if let Some(subnet) = row::find(self.connection, sql, [build.row()], |row| Ok(row.get(0)?))? {
            return Ok(subnet);
        }
        let taken = self.list_taken_subnets()?;
        let pool = self.pools.environment;
        let subnet = pool.next_subnet(&taken).ok_or_else(|| StoreError::PoolExhausted {
            what: "network for a test",
            pool: pool.to_string(),
        })?;
        let sql = "INSERT INTO test_networks (build, subnet) VALUES (?1, ?2)";
        row::run(self.connection, sql, (build.row(), &subnet))?;
        Ok(subnet)
    }

    /// Gives the subnet of a test back, once its network is gone; nothing happens where it has none.
    pub fn release_test_network(&mut self, build: BuildId) -> Result<(), StoreError> {
        row::run(self.connection, "DELETE FROM test_networks WHERE build = ?1", [build.row()])?;
        Ok(())
    }
}
