//! The rows of one `COPY`: which of them are copied, and what becomes of each value. Tests: `tests/it`.

use std::borrow::Cow;

use crate::check::{owner, rows_of, rule_of};
use crate::dump::copy::{NULL, OpenEscape, escape, is_open, unescape};
use crate::dump::table::{ColumnType, Tables};
use crate::error::Undeclared;
use crate::leak::Leak;
use crate::mask::json::{self, Found};
use crate::mask::{Mask, Masked, Painter, Unmasked};
use crate::name::TableName;
use crate::personal;
use crate::policy::{Policy, Rows};

/// One column of a `COPY`.
#[derive(Debug)]
struct Cell {
    name: String,
    /// `None` where no rule names it.
    mask: Option<Mask>,
    kind: ColumnType,
    /// Where the value stands that dates are shifted by.
    key: Option<usize>,
    /// The table that should declare it.
    owner: TableName,
    /// Whether it is known to look personal.
    is_reported: bool,
    /// Its number in the leak test.
    leak: usize,
}

/// The rows between `COPY` and `\.`.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) table: TableName,
    rows: Rows,
    cells: Vec<Cell>,
    /// Rows that were there.
    pub(crate) seen: u64,
    /// Rows that were copied.
    pub(crate) copied: u64,
}

/// What rows are written with.
#[derive(Debug)]
pub(crate) struct Tools<'t> {
    pub(crate) painter: &'t Painter,
    pub(crate) undeclared: &'t mut Undeclared,
    pub(crate) leak: Option<&'t mut Leak>,
}

/// Why a row cannot be written.
#[derive(Debug)]
pub(crate) struct RowError {
    pub(crate) column: Option<String>,
    pub(crate) what: String,
}

impl RowError {
    fn row(what: impl Into<String>) -> Self {
        Self { column: None, what: what.into() }
    }
}

impl Block {
    /// Prepares for the rows of a table with these columns.
    pub(crate) fn new(
        policy: &Policy,
        tables: &Tables,
        table: TableName,
        columns: &[String],
        leak: Option<&mut Leak>,
    ) -> Self {
        let key = |mask: &Option<Mask>| match mask {
            Some(Mask::DatesShifted { by: Some(by), .. }) => columns.iter().position(|name| name == by),
            _ => None,
        };
        let mut cells: Vec<Cell> = columns
            .iter()
            .map(|name| {
                let mask = rule_of(policy, tables, &table, name).map(|rule| rule.mask.clone());
                let kind =
                    tables.column(&table, name).map_or(ColumnType::Other, |column| column.kind.clone());
                let key = key(&mask);
                let owner = owner(tables, &table, name).clone();
                Cell { name: name.clone(), mask, kind, key, owner, is_reported: false, leak: 0 }
            })
            .collect();
        if let Some(leak) = leak {
            for cell in &mut cells {
                cell.leak = leak.column(&table, &cell.name);
            }
        }
        Self { rows: rows_of(policy, tables, &table), table, cells, seen: 0, copied: 0 }
    }

    /// Notes columns that look personal by their names. Those that only `COPY` names are not known before.
    pub(crate) fn find_undeclared(&mut self, undeclared: &mut Undeclared) {
        if self.rows == Rows::None {
            return;
        }
        for cell in self.cells.iter_mut().filter(|cell| cell.mask.is_none()) {
            if let Some(proposal) = personal::by_name(&cell.name, &cell.kind) {
                undeclared.add_name(&cell.owner, &cell.name, proposal);
                cell.is_reported = true;
            }
        }
    }

    /// Writes one row, without its line end, if it is copied. Says whether it is.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub(crate) fn write(
        &mut self,
        row: &[u8],
        out: &mut Vec<u8>,
        tools: &mut Tools<'_>,
    ) -> Result<bool, RowError> {
        let is_nothing = self.cells.is_empty() && row.is_empty();
        let fields: Vec<&[u8]> =
            if is_nothing { Vec::new() } else { row.split(|byte| *byte == b'\t').collect() };
        if fields.len() != self.cells.len() {
            let (found, expected) = (fields.len(), self.cells.len());
            return Err(RowError::row(format!(
                "the row has {found} values, but COPY names {expected} columns"
            )));
        }
        if row.ends_with(b"\r") {
            return Err(RowError::row(
                "the row ends with a carriage return: the dump must have plain line ends",
            ));
        }
        self.seen += 1;
        let is_copied = match self.rows {
            Rows::All => true,
            Rows::None => false,
            Rows::First(most) => self.copied < most,
            Rows::HashPercent(percent) => tools.painter.salt().number("rows", row) % 100 < percent,
        };
        for (cell, field) in self.cells.iter().zip(&fields) {
            if is_open(field) {
                let what = "the value ends in the middle of an escape".to_owned();
                return Err(RowError { column: Some(cell.name.clone()), what });
            }
        }
        if !is_copied {
            return Ok(false);
        }
        for (at, cell) in self.cells.iter_mut().enumerate() {
            if at > 0 {
                out.push(b'\t');
            }
            let key = cell.key.map(|key| fields[key]).filter(|key| *key != NULL);
            let written = cell.write(fields[at], key, out, tools);
            written.map_err(|error| RowError {
                column: Some(cell.name.clone()),
                what: format!("the value {error}"),
            })?;
        }
        self.copied += 1;
        Ok(true)
    }
}

impl Cell {
    /// Writes one value as it stands in the dump, masked.
    fn write(
        &mut self,
        field: &[u8],
        key: Option<&[u8]>,
        out: &mut Vec<u8>,
        tools: &mut Tools<'_>,
    ) -> Result<(), Unmasked> {
        let Some(mask) = &self.mask else {
            self.suspect(field, tools);
            out.extend_from_slice(field);
            return Ok(());
        };
        if field == NULL || *mask == Mask::Keep {
            out.extend_from_slice(field);
            return Ok(());
        }
        let start = out.len();
        match mask {
            Mask::Null => out.extend_from_slice(NULL),
            Mask::Json(rules) => {
                let value = value(field);
                let text = std::str::from_utf8(&value).map_err(|_| Unmasked::NotUtf8)?;
                let mut found = Found::new();
                let masked = json::mask(tools.painter, rules, text, &mut found)?;
                if !found.is_empty() {
                    tools.undeclared.add_json(&self.owner, &self.name, found);
                }
                escape(masked.as_bytes(), out);
            }
            _ => match tools.painter.paint(mask, &self.kind, &value(field), key)? {
                Masked::Null => out.extend_from_slice(NULL),
                Masked::Same => out.extend_from_slice(field),
                Masked::Text(text) => escape(text.as_bytes(), out),
            },
        }
        if let (Some(leak), true) = (&mut tools.leak, out[start..] != *field) {
            leak.remember(self.leak, mask, field);
        }
        Ok(())
    }

    /// Looks at a value no rule speaks of.
    fn suspect(&mut self, field: &[u8], tools: &mut Tools<'_>) {
        if self.is_reported || field == NULL {
            return;
        }
        match self.kind {
            ColumnType::Json => {
                let value = value(field);
                let mut found = Found::new();
                // What PostgreSQL itself wrote is JSON; what is not stays as it is.
                if let Ok(text) = std::str::from_utf8(&value) {
                    let _ = json::mask(tools.painter, &[], text, &mut found);
                }
                if !found.is_empty() {
                    tools.undeclared.add_json(&self.owner, &self.name, found);
                }
            }
            ColumnType::Text { .. } | ColumnType::Array | ColumnType::Other => {
                if let Some(content) = personal::by_content(field) {
                    tools.undeclared.add_content(&self.owner, &self.name, content);
                    self.is_reported = true;
                }
            }
            ColumnType::Integer
            | ColumnType::Number
            | ColumnType::Date
            | ColumnType::Uuid
            | ColumnType::Address
            | ColumnType::Bytes
            | ColumnType::Boolean => {}
        }
    }
}

/// What a field that is not NULL stands for. Its escapes are whole: the row was checked.
fn value(field: &[u8]) -> Cow<'_, [u8]> {
    match unescape(field) {
        Ok(Some(value)) => value,
        Ok(None) | Err(OpenEscape) => Cow::Borrowed(field),
    }
}
