//! Names and texts as SQL writes them: which table is meant, and how an identifier or a text is quoted so that nothing can leave its
//! quotes. Tests: at the end, and `tests/it/person.rs`.

use std::fmt;
use std::str::FromStr;

/// Longest identifier, in bytes; PostgreSQL itself cuts them at 63.
const NAME_MAX: usize = 63;

/// A text that names no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableNameError {
    /// There is no schema before it.
    #[error("`{0}` has no schema: write `public.{0}`")]
    NoSchema(String),
    /// Something else.
    #[error("`{0}` is not a table: expected a schema, a dot and a name, such as `public.users`")]
    Malformed(String),
}

/// A table, by schema and name, exactly as the database has them. Text form is `public.users`; a part with a dot or a quote in it stands
/// in double quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    schema: String,
    name: String,
}

impl TableName {
    /// From its two parts.
    pub(crate) fn new(schema: String, name: String) -> Self {
        Self { schema, name }
    }

    /// As SQL writes it, always in quotes.
    pub(crate) fn sql(&self) -> String {
        format!("{}.{}", quote_name(&self.schema), quote_name(&self.name))
    }
}

impl FromStr for TableName {
    type Err = TableNameError;

    fn from_str(text: &str) -> Result<Self, TableNameError> {
        let shown = || text.chars().take(80).flat_map(char::escape_debug).collect::<String>();
        let malformed = || TableNameError::Malformed(shown());
        let (schema, rest) = read_part(text).ok_or_else(malformed)?;
        if rest.is_empty() {
            return Err(TableNameError::NoSchema(shown()));
        }
        let (name, rest) = rest.strip_prefix('.').and_then(read_part).ok_or_else(malformed)?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        Ok(Self { schema, name })
    }
}

/// One part and what follows it.
fn read_part(text: &str) -> Option<(String, &str)> {
    let (part, rest) = match text.strip_prefix('"') {
        None => {
            let end = text.find('.').unwrap_or(text.len());
            (text[..end].to_owned(), &text[end..])
        }
        Some(quoted) => {
            let mut part = String::new();
            let mut rest = quoted;
            loop {
                let end = rest.find('"')?;
                part.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                let Some(more) = rest.strip_prefix('"') else { break };
                part.push('"');
                rest = more;
            }
            (part, rest)
        }
    };
    is_name(&part).then_some((part, rest))
}

/// Whether PostgreSQL can have something of this name.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len()) && !text.contains('\0')
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, before) in [(&self.schema, ""), (&self.name, ".")] {
            f.write_str(before)?;
            if part.contains(['.', '"']) {
                f.write_str(&quote_name(part))?;
            } else {
                f.write_str(part)?;
            }
        }
        Ok(())
    }
}

/// An identifier in double quotes.
pub(crate) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal, the same whatever `standard_conforming_strings` says. `None` with a zero byte, which no text of PostgreSQL
/// has.
pub(crate) fn quote_text(text: &str) -> Option<String> {
    if text.contains('\0') {
        return None;
    }
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        return Some(format!(" E'{}'", quoted.replace('\\', "\\\\")));
    }
    Some(format!("'{quoted}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_a_schema_and_a_name() {
        for text in ["public.users", "Shop.User", "\"a.b\".users", "s.\"say \"\"x\"\"\"", "é.ü"] {
            let name: TableName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
        }
        assert_eq!("users".parse::<TableName>(), Err(TableNameError::NoSchema("users".to_owned())));
        for wrong in ["", ".", "a.", ".b", "a.b.c", "\"a", "\"a\"b", "a.\"\"", "a\0.b"] {
            assert!(wrong.parse::<TableName>().is_err(), "{wrong:?}");
        }
        let quoted: TableName = "s.\"x\"\"; drop\"".parse().unwrap();
        assert_eq!(quoted.sql(), "\"s\".\"x\"\"; drop\"");
    }

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quote_text("it's").unwrap(), "'it''s'");
        assert_eq!(quote_text("\\' or 1=1").unwrap(), " E'\\\\'' or 1=1'");
        assert_eq!(quote_text("a\0"), None);
    }
}
