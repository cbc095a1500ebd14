//! `privacy.toml`: turns its text into rules, or into problems that name line, column and a way out. The salt is not in it, and no value.
//! Whether the rules fit a database is `check`'s, once a dump says what it has. Reference for people: `docs/privacy-toml.md`.
//! Tests: `tests/it/policy.rs`.

pub mod keys;
pub mod problem;
pub(crate) mod read;

mod mask;
mod person;

use std::collections::BTreeMap;

use havre_manifest::problem::Position;
use toml::de::DeTable;

use crate::mask::Mask;
use crate::name::{TableName, is_name};
use crate::person::Person;
use crate::policy::problem::{Code, PolicyError, Problem};
use crate::policy::read::{Reader, Value, shown};

/// Largest text that is read.
pub const TEXT_MAX: usize = 1024 * 1024;
/// Most entries of one list or table; a table of PostgreSQL has at most 1600 columns.
pub const ENTRIES_MAX: usize = 4096;

/// A `privacy.toml` without problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(crate) tables: BTreeMap<TableName, TableRule>,
    pub(crate) person: Option<Person>,
}

/// What is done with one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableRule {
    /// Where its name is written.
    pub(crate) at: Position,
    pub(crate) rows: Rows,
    /// Where `rows` is written, else the name.
    pub(crate) rows_at: Position,
    pub(crate) columns: BTreeMap<String, ColumnRule>,
}

/// What is done with one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnRule {
    pub(crate) at: Position,
    pub(crate) mask: Mask,
}

/// Which rows of a table are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    All,
    None,
    /// So many, as they stand in the dump.
    First(u64),
    /// Of a hundred, by a hash of the row.
    HashPercent(u64),
}

impl Policy {
    /// What belongs to one person, where the file says so.
    pub fn person(&self) -> Option<&Person> {
        self.person.as_ref()
    }

    /// Reads a `privacy.toml`.
    ///
    /// # Errors
    /// Every problem that can be found in one pass, by position.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > TEXT_MAX {
            let message =
                format!("privacy.toml has {} bytes, more than the {TEXT_MAX} that are read", text.len());
            let problem = Problem { code: Code::TooLarge, at: None, message, hint: String::new() };
            return Err(PolicyError::new(vec![problem]));
        }
        let mut reader = Reader::new(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in errors {
                let at = error.span().unwrap_or(0..0);
                reader.report(Code::Syntax, at, error.message().replace('\n', ", "), "");
            }
            return Err(reader.finish());
        }
        let policy = read_document(&mut reader, document.get_ref());
        if reader.is_clean() { Ok(policy) } else { Err(reader.finish()) }
    }
}

fn read_document(reader: &mut Reader<'_>, document: &DeTable<'_>) -> Policy {
    let root = reader.root(&keys::ROOT, document);
    let mut tables = BTreeMap::new();
    if let Some(value) = root.find("tables") {
        for (key, value) in reader.entries(&value).unwrap_or_default() {
            let Some(name) = reader.parsed_key::<TableName>(&key, &value) else { continue };
            if let Some(rule) = read_table(reader, &value) {
                tables.insert(name, rule);
            }
        }
    }
    let person = root.find("person").and_then(|value| person::read(reader, &value));
    Policy { tables, person }
}

fn read_table(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<TableRule> {
    let fields = reader.table(&keys::TABLE, value)?;
    let at = reader.place(&value.key_at);
    let mut rule = TableRule { rows_at: at.clone(), at, rows: Rows::All, columns: BTreeMap::new() };
    if let Some(value) = fields.find("rows") {
        rule.rows_at = reader.place(&value.at());
        rule.rows = read_rows(reader, &value)?;
    }
    if let Some(value) = fields.find("columns") {
        for (name, value) in reader.entries(&value)? {
            if !is_name(&name) {
                let message = format!("`{}` is not the name of a column", shown(&name));
                reader.report(Code::WrongValue, value.key_at.clone(), message, "");
                continue;
            }
            let at = reader.place(&value.key_at);
            if let Some(mask) = mask::read(reader, &value) {
                rule.columns.insert(name, ColumnRule { at, mask });
            }
        }
    }
    Some(rule)
}

fn read_rows(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Rows> {
    if value.is_text() {
        return match reader.text(value, "text in quotes")? {
            "all" => Some(Rows::All),
            "none" => Some(Rows::None),
            other => {
                let message = format!("`{}`: `{}` is not a choice of rows", value.path, shown(other));
                let hint = "write \"all\", \"none\", { first = 1000 } or { hash_percent = 10 }";
                reader.report(Code::WrongValue, value.at(), message, hint);
                None
            }
        };
    }
    let fields = reader.table(&keys::ROWS, value)?;
    match (fields.find("first"), fields.find("hash_percent")) {
        (Some(first), None) => reader.whole(&first, 1..=u64::from(u32::MAX)).map(Rows::First),
        (None, Some(percent)) => reader.whole(&percent, 1..=99).map(Rows::HashPercent),
        _ => {
            let message = format!("`{}` needs one of `first` and `hash_percent`", value.path);
            reader.report(Code::WrongValue, value.at(), message, "");
            None
        }
    }
}
