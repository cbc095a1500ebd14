//! The last tables edges got, so that the next one can be told as a change. Only in memory: who asks about an older one
//! takes the whole table. Tests: at the end of the file, and `tests/it/edge.rs`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use havre_api::route_table::RouteTable;

/// The one in use and the one before: an edge asks again as soon as it has taken a table.
const REMEMBERED: usize = 2;

/// The last tables, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<VecDeque<Arc<RouteTable>>>);

impl Tables {
    /// Keeps `table`; where one of its generation is kept already, that one is returned.
    pub(crate) fn remember(&self, table: RouteTable) -> Arc<RouteTable> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tables.iter().find(|known| known.generation == table.generation) {
            return Arc::clone(known);
        }
        let table = Arc::new(table);
        let at = tables.partition_point(|known| known.generation < table.generation);
        tables.insert(at, Arc::clone(&table));
        while tables.len() > REMEMBERED {
            tables.pop_front();
        }
        table
    }

    /// The table of this generation.
    pub(crate) fn of(&self, generation: u64) -> Option<Arc<RouteTable>> {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.iter().find(|table| table.generation == generation).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(generation: u64) -> RouteTable {
        RouteTable { generation, ..RouteTable::default() }
    }

    #[test]
    fn the_two_newest_are_remembered_whatever_the_order() {
        let tables = Tables::default();
        for generation in [3, 5, 4, 5] {
            assert_eq!(tables.remember(table(generation)).generation, generation);
        }
        let known = [3, 4, 5, 6].map(|generation| tables.of(generation).is_some());
        assert_eq!(known, [false, true, true, false]);
    }
}
