//! Why a copy is refused. None of it says a value. Tests: `tests/it/refused.rs`.

use std::collections::BTreeMap;
use std::fmt;

use crate::name::TableName;
use crate::policy::problem::PolicyError;

/// Most columns that are listed.
const LISTED_MAX: usize = 500;

/// Why a copy is refused. What has come out of it so far is worth nothing, and may hold personal data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// The rules do not fit the database.
    #[error("{0}")]
    Policy(PolicyError),
    /// Columns look personal and no rule says what becomes of them.
    #[error("{0}")]
    Undeclared(Undeclared),
    /// The text is not a dump that can be read, or not a whole one.
    #[error("line {line} of the dump: {what}")]
    Dump {
        /// From 1.
        line: u64,
        /// For people.
        what: String,
    },
    /// A row cannot be masked.
    #[error("line {line} of the dump, table `{table}`{}: {what}", shown_column(.column.as_ref()))]
    Row {
        /// From 1.
        line: u64,
        /// Whose row it is.
        table: TableName,
        /// Which value, where it is one.
        column: Option<String>,
        /// For people.
        what: String,
    },
}

fn shown_column(column: Option<&String>) -> String {
    column.map_or_else(String::new, |column| format!(", column `{column}`"))
}

/// Columns that look personal and that `privacy.toml` says nothing about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undeclared {
    columns: BTreeMap<(TableName, String), Reason>,
}

/// Why a column looks personal, and what is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    /// By its name.
    Name(&'static str),
    /// By what stands in it.
    Content { what: &'static str, proposal: &'static str },
    /// By what stands inside of its JSON: paths and masks.
    Json(BTreeMap<String, &'static str>),
}

impl Undeclared {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Every such column with its table.
    pub fn columns(&self) -> impl Iterator<Item = (&TableName, &str)> {
        self.columns.keys().map(|(table, column)| (table, column.as_str()))
    }

    pub(crate) fn add_name(&mut self, table: &TableName, column: &str, proposal: &'static str) {
        self.columns.insert((table.clone(), column.to_owned()), Reason::Name(proposal));
    }

    pub(crate) fn add_content(&mut self, table: &TableName, column: &str, content: crate::personal::Content) {
        let reason = Reason::Content { what: content.what, proposal: content.proposal };
        self.columns.entry((table.clone(), column.to_owned())).or_insert(reason);
    }

    pub(crate) fn add_json(
        &mut self,
        table: &TableName,
        column: &str,
        found: BTreeMap<String, &'static str>,
    ) {
        let key = (table.clone(), column.to_owned());
        match self.columns.entry(key).or_insert_with(|| Reason::Json(BTreeMap::new())) {
            Reason::Json(paths) => paths.extend(found),
            Reason::Name(_) | Reason::Content { .. } => {}
        }
    }
}

impl fmt::Display for Undeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.columns.len();
        f.write_str("these columns look personal, and privacy.toml does not say what becomes of them; ")?;
        f.write_str("add these lines, with \"keep\" where a column is not about people:")?;
        let mut last = None;
        for ((table, column), reason) in self.columns.iter().take(LISTED_MAX) {
            if last != Some(table) {
                write!(f, "\n\n[tables.{}.columns]", toml_text(&table.to_string()))?;
                last = Some(table);
            }
            write!(f, "\n{} = ", toml_key(column))?;
            match reason {
                Reason::Name(proposal) => write!(f, "{}", mask(proposal))?,
                Reason::Content { what, proposal } => write!(f, "{}  # holds {what}", mask(proposal))?,
                Reason::Json(paths) => {
                    let rules = paths
                        .iter()
                        .map(|(path, proposal)| format!("{} = {}", toml_text(path), mask(proposal)));
                    write!(f, "{{ json = {{ {} }} }}", rules.collect::<Vec<_>>().join(", "))?;
                }
            }
        }
        if count > LISTED_MAX { write!(f, "\n\nand {} more", count - LISTED_MAX) } else { Ok(()) }
    }
}

/// A word in quotes, a table as it is.
fn mask(proposal: &str) -> String {
    if proposal.starts_with('{') { proposal.to_owned() } else { format!("\"{proposal}\"") }
}

/// A key of TOML, in quotes where it has to be.
fn toml_key(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(is_bare) { key.to_owned() } else { toml_text(key) }
}

/// A text of TOML in quotes.
fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}
