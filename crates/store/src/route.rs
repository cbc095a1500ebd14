//! The stored route table and its generation, which only grows. Tests: `tests/it/route.rs`.

use havre_core::event::{EventKind, Subject};
use havre_core::route::Table;
use havre_core::route::event::Event;

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::view::{Tx, View};

impl View<'_> {
    /// Generation and content of the route table; generation 0 and no routes before the first is stored.
    pub fn route_table(&self) -> Result<(u64, Table), StoreError> {
        let sql = "SELECT id, generation, content FROM route_table";
        let found = row::find(self.connection, sql, [], |row| {
            let origin = Origin::of("route_table", row)?;
            Ok((origin.count(row, "generation")?, origin.json(row, "content")?))
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Its generation alone, which is all that most looks want: the table may be of megabytes.
    pub fn route_generation(&self) -> Result<u64, StoreError> {
        let found = row::find(self.connection, "SELECT id, generation FROM route_table", [], |row| {
            Origin::of("route_table", row)?.count(row, "generation")
        })?;
        Ok(found.unwrap_or_default())
    }
}

impl Tx<'_> {
    /// Stores the table as the next generation where it differs from the stored one; answers the generation that
    /// holds this content. `in_use` is the highest generation an edge says it uses: above the stored one, this store
    /// is older than that edge (restored, or new), and the edge takes only what is newer still.
    pub fn store_route_table(&mut self, table: &Table, in_use: u64) -> Result<u64, StoreError> {
        let (stored, content) = self.route_table()?;
        if content == *table && in_use <= stored {
            return Ok(stored);
        }
        let generation = stored.max(in_use) + 1;
        row::run(
            self.connection,
            "INSERT INTO route_table (id, generation, content) VALUES (1, ?1, ?2) \
             ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, content = excluded.content",
            (column(generation), row::to_json("a route table", table)?),
        )?;
        self.append(Subject::Node, EventKind::Route(Event::TableStored { generation }))?;
        Ok(generation)
    }
}
