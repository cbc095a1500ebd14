//! What belongs to one person: the statements that export it and that erase it, as text. Runs none of them. Tests: `tests/it/person.rs`.

use havre_manifest::problem::Position;

use crate::name::{TableName, quote_name, quote_text};

/// Longest value a person is looked for by, in bytes.
const VALUE_MAX: usize = 1000;

/// A value that nobody can be looked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    /// It would fit everybody of whom nothing is known.
    #[error("the value a person is looked for by is empty")]
    Empty,
    /// Longer than anybody's.
    #[error("the value a person is looked for by has more than {VALUE_MAX} bytes")]
    Long,
    /// No text of PostgreSQL has one.
    #[error("the value a person is looked for by has a zero byte")]
    Zero,
}

/// Which rows belong to a person: `[person]` of `privacy.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub(crate) key: String,
    pub(crate) tables: Vec<PersonTable>,
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PersonTable {
    pub(crate) name: TableName,
    pub(crate) at: Position,
    /// The column that holds the key, or what leads to it.
    pub(crate) by: String,
    pub(crate) through: Option<Through>,
    /// Empty for all columns.
    pub(crate) export: Vec<String>,
    pub(crate) erase: Erase,
}

/// The table that knows the key where this one does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Through {
    pub(crate) at: Position,
    pub(crate) table: TableName,
    /// What `by` holds.
    pub(crate) column: String,
}

/// How rows are erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Erase {
    Delete,
    /// A law wants them kept.
    Keep,
    /// These columns become NULL.
    Clear(Vec<String>),
}

/// One statement about one table. Its text holds the person's key: it belongs into no log.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonStatement {
    /// The table it is about.
    pub table: TableName,
    /// SQL, with its semicolon.
    pub sql: String,
}

impl std::fmt::Debug for PersonStatement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PersonStatement({})", self.table)
    }
}

impl Person {
    /// What a person is known by, for people: `email`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Statements that write what belongs to a person as CSV, in the order of the file.
    ///
    /// # Errors
    /// The value cannot be looked for.
    pub fn export(&self, value: &str) -> Result<Vec<PersonStatement>, PersonError> {
        let literal = literal(value)?;
        let statement = |table: &PersonTable| {
            let columns: Vec<String> = table.export.iter().map(|column| quote_name(column)).collect();
            let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
            let rows = format!(
                "SELECT {columns} FROM {} WHERE {}",
                table.name.sql(),
                self.condition(table, &literal)
            );
            let sql = format!("COPY ({rows}) TO STDOUT WITH (FORMAT csv, HEADER);");
            PersonStatement { table: table.name.clone(), sql }
        };
        Ok(self.tables.iter().map(statement).collect())
    }

    /// Statements that erase what belongs to a person; to be run in one transaction. Tables that lead to the key through another one come
    /// first, because afterwards nothing would lead there; both in the order of the file.
    ///
    /// # Errors
    /// The value cannot be looked for.
    pub fn erasure(&self, value: &str) -> Result<Vec<PersonStatement>, PersonError> {
        let literal = literal(value)?;
        let (through, direct): (Vec<_>, Vec<_>) =
            self.tables.iter().partition(|table| table.through.is_some());
        let statement = |table: &PersonTable| {
            let condition = self.condition(table, &literal);
            let name = table.name.sql();
            let sql = match &table.erase {
                Erase::Keep => return None,
                Erase::Delete => format!("DELETE FROM {name} WHERE {condition};"),
                Erase::Clear(columns) => {
                    let columns: Vec<String> =
                        columns.iter().map(|column| format!("{} = NULL", quote_name(column))).collect();
                    format!("UPDATE {name} SET {} WHERE {condition};", columns.join(", "))
                }
            };
            Some(PersonStatement { table: table.name.clone(), sql })
        };
        Ok(through.into_iter().chain(direct).filter_map(statement).collect())
    }

    /// Queries that write what belongs to a person as JSON, an object with table and row for each row, in the order of the file.
    ///
    /// # Errors
    /// The value cannot be looked for.
    pub fn export_json(&self, value: &str) -> Result<Vec<PersonStatement>, PersonError> {
        let literal = literal(value)?;
        let statement = |table: &PersonTable| {
            let columns: Vec<String> = table.export.iter().map(|column| quote_name(column)).collect();
            let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
            let (named, name) = (shown(table), table.name.sql());
            let condition = self.condition(table, &literal);
            let sql = format!(
                "SELECT pg_catalog.jsonb_build_object('table', {named}, 'row', pg_catalog.to_jsonb(t)) \
                 FROM (SELECT {columns} FROM {name} WHERE {condition}) AS t;"
            );
            PersonStatement { table: table.name.clone(), sql }
        };
        Ok(self.tables.iter().map(statement).collect())
    }

    /// Queries that count the rows [`Person::erasure`] would change: as JSON, an object with table and rows for each.
    ///
    /// # Errors
    /// The value cannot be looked for.
    pub fn counts(&self, value: &str) -> Result<Vec<PersonStatement>, PersonError> {
        let literal = literal(value)?;
        let statement = |table: &PersonTable| {
            if table.erase == Erase::Keep {
                return None;
            }
            let (named, name) = (shown(table), table.name.sql());
            let condition = self.condition(table, &literal);
            let sql = format!(
                "SELECT pg_catalog.jsonb_build_object('table', {named}, 'rows', count(*)) FROM {name} WHERE {condition};"
            );
            Some(PersonStatement { table: table.name.clone(), sql })
        };
        let (through, direct): (Vec<_>, Vec<_>) =
            self.tables.iter().partition(|table| table.through.is_some());
        Ok(through.into_iter().chain(direct).filter_map(statement).collect())
    }

    /// The same statements as [`Person::erasure`], each of which says as JSON how many rows it changed, like [`Person::counts`].
    ///
    /// # Errors
    /// The value cannot be looked for.
    pub fn counted_erasure(&self, value: &str) -> Result<Vec<PersonStatement>, PersonError> {
        let counted = |statement: PersonStatement| {
            let named =
                quote_text(&statement.table.to_string()).expect("no table has a zero byte in its name");
            let changes = statement.sql.trim_end_matches(';');
            let sql = format!(
                "WITH gone AS ({changes} RETURNING 1) \
                 SELECT pg_catalog.jsonb_build_object('table', {named}, 'rows', count(*)) FROM gone;"
            );
            PersonStatement { table: statement.table, sql }
        };
        Ok(self.erasure(value)?.into_iter().map(counted).collect())
    }

    fn condition(&self, table: &PersonTable, literal: &str) -> String {
        let by = quote_name(&table.by);
        let Some(through) = &table.through else { return format!("{by} = {literal}") };
        // The file was checked: the other table knows the key itself.
        let known = self.tables.iter().find(|other| other.name == through.table);
        let key = known.map_or_else(|| quote_name(&self.key), |other| quote_name(&other.by));
        let column = quote_name(&through.column);
        format!("{by} IN (SELECT {column} FROM {} WHERE {key} = {literal})", through.table.sql())
    }
}

/// The name of a table as an SQL literal.
fn shown(table: &PersonTable) -> String {
    quote_text(&table.name.to_string()).expect("no table has a zero byte in its name")
}

fn literal(value: &str) -> Result<String, PersonError> {
    if value.is_empty() {
        return Err(PersonError::Empty);
    }
    if value.len() > VALUE_MAX {
        return Err(PersonError::Long);
    }
    quote_text(value).ok_or(PersonError::Zero)
}
