//! Reads values of the document and collects what is wrong with them. Knows no key. Tests: `tests/it/policy.rs`.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use havre_core::suggest::nearest;
use havre_manifest::problem::Position;
use havre_manifest::schema::Keys;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::policy::ENTRIES_MAX;
use crate::policy::problem::{Code, PolicyError, Problem};

/// The source and the problems found so far.
#[derive(Debug)]
pub(crate) struct Reader<'t> {
    source: &'t str,
    problems: Vec<Problem>,
}

/// A value with its path (`tables.public.users.rows`) and its places.
#[derive(Debug, Clone)]
pub(crate) struct Value<'a> {
    pub(crate) path: String,
    /// Where its key is written; the value itself for an element of a list.
    pub(crate) key_at: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    /// Where the value is written.
    pub(crate) fn at(&self) -> Range<usize> {
        self.value.span()
    }

    pub(crate) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    fn table(&self) -> Option<&'a DeTable<'a>> {
        self.value.get_ref().as_table()
    }
}

/// The entries of one table.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    entries: &'a DeTable<'a>,
}

impl<'a> Fields<'a> {
    /// The value of a key.
    pub(crate) fn find(&self, key: &str) -> Option<Value<'a>> {
        self.all().into_iter().find(|(found, _)| found == key).map(|(_, value)| value)
    }

    /// Every entry, in the order of the file.
    pub(crate) fn all(&self) -> Vec<(String, Value<'a>)> {
        let mut entries: Vec<(String, Value<'a>)> = self
            .entries
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let shown = shown(&name);
                let path = if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) };
                (name, Value { path, key_at: key.span(), value })
            })
            .collect();
        entries.sort_by_key(|(_, value)| value.key_at.start);
        entries
    }
}

/// A key or name of the user's for a message: short, and without escape sequences.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

impl<'t> Reader<'t> {
    pub(crate) fn new(source: &'t str) -> Self {
        Self { source, problems: Vec::new() }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn finish(self) -> PolicyError {
        PolicyError::new(self.problems)
    }

    /// A place of the file, to keep.
    pub(crate) fn place(&self, at: &Range<usize>) -> Position {
        Position::locate(self.source, at.clone())
    }

    pub(crate) fn report(
        &mut self,
        code: Code,
        at: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let at = Some(self.place(&at));
        self.problems.push(Problem { code, at, message: message.into(), hint: hint.into() });
    }

    /// The same about a place that was kept.
    pub(crate) fn report_place(&mut self, code: Code, at: &Position, message: String, hint: String) {
        self.problems.push(Problem { code, at: Some(at.clone()), message, hint });
    }

    fn wrong_type(&mut self, value: &Value<'_>, expected: &str) {
        let found = match value.value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{}` is {found}, expected {expected}", value.path);
        self.report(Code::WrongType, value.at(), message, "");
    }

    /// The file itself, with these keys.
    pub(crate) fn root<'a>(&mut self, keys: &Keys, entries: &'a DeTable<'a>) -> Fields<'a> {
        let fields = Fields { path: String::new(), entries };
        self.refuse_unknown(keys, &fields);
        fields
    }

    /// A table with these keys.
    pub(crate) fn table<'a>(&mut self, keys: &Keys, value: &Value<'a>) -> Option<Fields<'a>> {
        let Some(entries) = value.table() else {
            self.wrong_type(value, "a table");
            return None;
        };
        let fields = Fields { path: value.path.clone(), entries };
        self.refuse_unknown(keys, &fields);
        Some(fields)
    }

    fn refuse_unknown(&mut self, keys: &Keys, fields: &Fields<'_>) {
        for (key, value) in fields.all() {
            if keys.known.contains(&key.as_str()) {
                continue;
            }
            let place =
                if fields.path.is_empty() { "privacy.toml".to_owned() } else { format!("`{}`", fields.path) };
            let meant = keys.meant.iter().find(|(other, _)| *other == key).map(|(_, ours)| *ours);
            let hint = match meant.or_else(|| nearest(&key, keys.known)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("keys are: {}", keys.known.join(", ")),
            };
            let message = format!("`{}` is not a key of {place}", shown(&key));
            self.report(Code::UnknownKey, value.key_at, message, hint);
        }
    }

    /// The entries of a table of the user's own keys, in the order of the file, bounded.
    pub(crate) fn entries<'a>(&mut self, value: &Value<'a>) -> Option<Vec<(String, Value<'a>)>> {
        let Some(entries) = value.table() else {
            self.wrong_type(value, "a table");
            return None;
        };
        if !self.is_short(value, entries.len()) {
            return None;
        }
        Some(Fields { path: value.path.clone(), entries }.all())
    }

    /// The elements of a list, bounded. `expected` says what should have been there.
    pub(crate) fn list<'a>(&mut self, value: &Value<'a>, expected: &str) -> Option<Vec<Value<'a>>> {
        let Some(array) = value.value.get_ref().as_array() else {
            self.wrong_type(value, expected);
            return None;
        };
        if !self.is_short(value, array.len()) {
            return None;
        }
        let element = |(index, element): (usize, &'a Spanned<DeValue<'a>>)| Value {
            path: format!("{}[{index}]", value.path),
            key_at: element.span(),
            value: element,
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    fn is_short(&mut self, value: &Value<'_>, length: usize) -> bool {
        if length > ENTRIES_MAX {
            let message =
                format!("`{}` has {length} entries, more than the {ENTRIES_MAX} allowed", value.path);
            self.report(Code::TooLarge, value.key_at.clone(), message, "");
        }
        length <= ENTRIES_MAX
    }

    /// Text.
    pub(crate) fn text<'a>(&mut self, value: &Value<'a>, expected: &str) -> Option<&'a str> {
        let text = value.value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(value, expected);
        }
        text
    }

    /// Text of a closed grammar.
    pub(crate) fn parsed<T>(&mut self, value: &Value<'_>, expected: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(value, expected)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let message = format!("`{}`: {error}", value.path);
                self.report(Code::WrongValue, value.at(), message, "");
                None
            }
        }
    }

    /// A key of a closed grammar.
    pub(crate) fn parsed_key<T>(&mut self, key: &str, value: &Value<'_>) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match key.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.report(Code::WrongValue, value.key_at.clone(), error.to_string(), "");
                None
            }
        }
    }

    /// A whole number in a range.
    pub(crate) fn whole(&mut self, value: &Value<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(number) = value.value.get_ref() else {
            self.wrong_type(value, "a whole number without quotes");
            return None;
        };
        let found = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let found = found.filter(|found| range.contains(found));
        if found.is_none() {
            let message = format!("`{}` must be between {} and {}", value.path, range.start(), range.end());
            self.report(Code::WrongValue, value.at(), message, "");
        }
        found
    }
}
