//! Rows and columns to core types and back. A column that does not parse is an error naming its row.

use std::str::FromStr;

use havre_core::time::Timestamp;
use rusqlite::{Connection, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Where a row comes from, for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) table: &'static str,
    pub(crate) id: i64,
}

impl Origin {
    /// The origin of a row whose id is its first column.
    pub(crate) fn of(table: &'static str, row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { table, id: row.get(0)? })
    }

    fn error(self, column: &'static str, source: impl Into<BoxedError>) -> StoreError {
        StoreError::Row { table: self.table, id: self.id, column, source: source.into() }
    }

    /// A JSON column.
    pub(crate) fn json<T: DeserializeOwned>(
        self,
        row: &Row<'_>,
        column: &'static str,
    ) -> Result<T, StoreError> {
        let text = row.get_ref(column)?.as_str().map_err(|source| self.error(column, source))?;
        serde_json::from_str(text).map_err(|source| self.error(column, source))
    }

    /// A text column with a grammar.
    pub(crate) fn text<T>(self, row: &Row<'_>, column: &'static str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: Into<BoxedError>,
    {
        let text = row.get_ref(column)?.as_str().map_err(|source| self.error(column, source))?;
        text.parse().map_err(|source| self.error(column, source))
    }

    /// A text column that holds the name of a plain enum variant.
    pub(crate) fn variant<T: DeserializeOwned>(
        self,
        row: &Row<'_>,
        column: &'static str,
    ) -> Result<T, StoreError> {
        let text: String = row.get(column)?;
        serde_json::from_value(serde_json::Value::String(text)).map_err(|source| self.error(column, source))
    }

    /// A column of a number that is never negative.
    pub(crate) fn count(self, row: &Row<'_>, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(row.get::<_, i64>(column)?).map_err(|source| self.error(column, source))
    }
}

/// An instant column.
pub(crate) fn instant(row: &Row<'_>, column: &'static str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

/// An instant column that may be empty.
pub(crate) fn instant_or_none(row: &Row<'_>, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

/// Text of a JSON column.
pub(crate) fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Encode { what, source })
}

/// A number that counts up from zero by one; it cannot outgrow the column.
pub(crate) fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Every row of a query, parsed.
pub(crate) fn list<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The first row of a query, parsed.
pub(crate) fn find<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Runs a statement; how many rows it changed.
pub(crate) fn run(connection: &Connection, sql: &str, params: impl Params) -> Result<usize, StoreError> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}
