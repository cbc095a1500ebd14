//! Tables as a dump describes them: columns and their types, keys, and who refers to whom. Knows no rule. Tests: those of `statement`.

use std::collections::BTreeMap;

use crate::dump::token::Token;
use crate::name::TableName;

/// What a column can hold, as far as masks care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// `text`, `varchar`, `char`, `citext`, `name`.
    Text {
        /// Most characters, where the type says so.
        limit: Option<usize>,
    },
    /// `smallint`, `integer`, `bigint`.
    Integer,
    /// `numeric` and floating point numbers.
    Number,
    /// `date` and both kinds of `timestamp`.
    Date,
    /// `json` and `jsonb`.
    Json,
    /// `uuid`.
    Uuid,
    /// `inet`.
    Address,
    /// `bytea`.
    Bytes,
    /// `boolean`.
    Boolean,
    /// An array of whatever.
    Array,
    /// Something else: an enum, a domain, a type of an extension.
    Other,
}

impl ColumnType {
    /// From the words of a type.
    pub(crate) fn read(tokens: &[Token]) -> Self {
        if tokens.contains(&Token::Symbol(b'[')) {
            return Self::Array;
        }
        // Of `public.citext`, the part behind the dot.
        let rest = match tokens {
            [_, Token::Symbol(b'.'), rest @ ..] => rest,
            rest => rest,
        };
        let Some(Token::Word(name)) = rest.first() else { return Self::Other };
        match name.as_str() {
            "text" | "citext" | "name" => Self::Text { limit: None },
            "character" | "varchar" | "char" | "bpchar" => Self::Text { limit: limit(rest) },
            "smallint" | "integer" | "bigint" | "int" | "int2" | "int4" | "int8" => Self::Integer,
            "numeric" | "decimal" | "real" | "double" | "float4" | "float8" => Self::Number,
            "date" | "timestamp" | "timestamptz" => Self::Date,
            "json" | "jsonb" => Self::Json,
            "uuid" => Self::Uuid,
            "inet" => Self::Address,
            "bytea" => Self::Bytes,
            "boolean" | "bool" => Self::Boolean,
            _ => Self::Other,
        }
    }

    /// For people.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Date => "a date",
            Self::Json => "JSON",
            Self::Uuid => "a UUID",
            Self::Address => "an address of the network",
            Self::Bytes => "bytes",
            Self::Boolean => "true or false",
            Self::Array => "an array",
            Self::Other => "a type of its own",
        }
    }

    /// Most characters of a text.
    pub(crate) const fn limit(&self) -> Option<usize> {
        match self {
            Self::Text { limit } => *limit,
            _ => None,
        }
    }
}

/// The number in the parentheses of `varchar(80)`; a `character` without one has one character.
fn limit(tokens: &[Token]) -> Option<usize> {
    let number: Option<usize> = tokens.iter().find_map(|token| match token {
        Token::Number(number) => number.parse().ok(),
        _ => None,
    });
    let is_varying = tokens.iter().any(|token| matches!(token, Token::Word(word) if word == "varying"));
    match tokens.first() {
        Some(Token::Word(word))
            if number.is_none() && !is_varying && (word == "character" || word == "char") =>
        {
            Some(1)
        }
        _ => number,
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As the database has it.
    pub name: String,
    /// What it can hold.
    pub kind: ColumnType,
    /// Whether NULL is refused.
    pub is_not_null: bool,
    /// Whether the database computes it, so that no dump holds its values.
    pub is_generated: bool,
}

/// Columns whose values are there once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// With words of expressions, where it is an index over some.
    pub(crate) columns: Vec<String>,
    pub(crate) is_primary: bool,
}

/// Columns that name a row of another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) columns: Vec<String>,
    pub(crate) target: TableName,
    /// Empty where they are those of its primary key.
    pub(crate) target_columns: Vec<String>,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// In their order.
    pub columns: Vec<Column>,
    /// The table it is a partition or a child of.
    pub(crate) parent: Option<TableName>,
    pub(crate) keys: Vec<Key>,
    pub(crate) foreign: Vec<Foreign>,
}

impl Table {
    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Every table of a dump, as far as it has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables(pub(crate) BTreeMap<TableName, Table>);

impl Tables {
    /// A table by name.
    pub fn get(&self, name: &TableName) -> Option<&Table> {
        self.0.get(name)
    }

    /// A column of a table, or of the one it inherits from.
    pub(crate) fn column(&self, table: &TableName, name: &str) -> Option<&Column> {
        self.line(table).into_iter().find_map(|table| self.get(table)?.column(name))
    }

    /// A table and those above it, nearest first.
    pub(crate) fn line<'t>(&'t self, table: &'t TableName) -> Vec<&'t TableName> {
        let mut line = vec![table];
        let mut at = table;
        while let Some(parent) = self.get(at).and_then(|table| table.parent.as_ref()) {
            // A dump that says a table is above itself is no dump, but must end.
            if line.contains(&parent) {
                break;
            }
            line.push(parent);
            at = parent;
        }
        line
    }
}
