//! Reads values of the document and collects what is wrong with them. Knows no key. Tests: `tests/it/manifest.rs`.

use havre_core::suggest::nearest;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::ENTRIES_MAX;
use crate::problem::{Code, ManifestError, Position, Problem};
use crate::schema::Keys;
use havre_core::quantity::Span;
use havre_core::service::spec::Argv;

/// The source and the problems found so far.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    source: &'t str,
    problems: Vec<Problem>,
}

/// A value with its path (`services.api.port`) and its places.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    pub(super) path: String,
    /// Where its key is written; the value itself for an element of a list.
    pub(super) key_at: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    /// Where the value is written.
    pub(super) fn at(&self) -> Range<usize> {
        self.value.span()
    }

    /// Where a key of this table is written; the table's own key when it has none of that name.
    pub(super) fn key_of(&self, key: &str) -> Range<usize> {
        let entry =
            |table: &&'a DeTable<'a>| table.keys().find(|found| found.get_ref() == key).map(Spanned::span);
        self.value.get_ref().as_table().as_ref().and_then(entry).unwrap_or(self.key_at.clone())
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    pub(super) fn is_boolean(&self) -> bool {
        self.value.get_ref().is_bool()
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }
}

/// The entries of one table.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub(super) path: String,
    /// Where the table is written.
    pub(super) at: Range<usize>,
    entries: &'a DeTable<'a>,
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'a> Fields<'a> {
    pub(super) fn open(path: &str, at: Range<usize>, entries: &'a DeTable<'a>) -> Self {
        Self { path: path.to_owned(), at, entries }
    }

    /// The value of a key.
    pub(super) fn find(&self, key: &str) -> Option<Value<'a>> {
        let (found, value) = self.entries.iter().find(|(found, _)| found.get_ref() == key)?;
        Some(Value { path: join(&self.path, key), key_at: found.span(), value })
    }

    /// Every entry, in the order of the file.
    pub(super) fn all(&self) -> Vec<(String, Value<'a>)> {
        let mut entries: Vec<(String, Value<'a>)> = self
            .entries
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let shown: String = name.chars().take(48).flat_map(char::escape_debug).collect();
                (name, Value { path: join(&self.path, &shown), key_at: key.span(), value })
            })
            .collect();
        entries.sort_by_key(|(_, value)| value.key_at.start);
        entries
    }
}

impl<'t> Reader<'t> {
    pub(super) fn new(source: &'t str) -> Self {
        Self { source, problems: Vec::new() }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn finish(self) -> ManifestError {
        ManifestError::new(self.problems)
    }

    pub(super) fn report(
        &mut self,
        code: Code,
        at: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let at = Some(Position::locate(self.source, at));
        self.problems.push(Problem { code, at, message: message.into(), hint: hint.into() });
    }

    /// The line on which something is written, for messages about two places.
    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        Position::locate(self.source, at.clone()).line
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
        self.report(
            Code::WrongType,
            value.at(),
            format!("`{}` is {found}, expected {expected}", value.path),
            "",
        );
    }

    /// Opens a table and refuses keys it does not have.
    pub(super) fn fields<'a>(
        &mut self,
        keys: &Keys,
        path: &str,
        at: Range<usize>,
        entries: &'a DeTable<'a>,
    ) -> Fields<'a> {
        let fields = Fields::open(path, at, entries);
        for (key, value) in fields.all() {
            if keys.known.contains(&key.as_str()) {
                continue;
            }
            let place = if path.is_empty() { "havre.toml".to_owned() } else { format!("`{path}`") };
            let shown: String = key.chars().take(48).flat_map(char::escape_debug).collect();
            if keys.later.contains(&key.as_str()) {
                let message = format!("`{shown}` of {place} needs a later version of Havre");
                self.report(Code::LaterVersion, value.key_at, message, "remove it for now");
                continue;
            }
            let meant = keys.meant.iter().find(|(other, _)| *other == key).map(|(_, ours)| *ours);
            let hint = match meant.or_else(|| nearest(&key, keys.known)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("keys are: {}", keys.known.join(", ")),
            };
            self.report(Code::UnknownKey, value.key_at, format!("`{shown}` is not a key of {place}"), hint);
        }
        fields
    }

    /// A table with these keys.
    pub(super) fn table<'a>(&mut self, keys: &Keys, value: &Value<'a>) -> Option<Fields<'a>> {
        let entries = self.any_table(value)?;
        Some(self.fields(keys, &value.path, value.key_at.clone(), entries))
    }

    /// A table whatever its keys.
    pub(super) fn any_table<'a>(&mut self, value: &Value<'a>) -> Option<&'a DeTable<'a>> {
        let table = value.value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(value, "a table");
        }
        table
    }

    /// The entries of a table of the user's own keys, in the order of the file, bounded.
    pub(super) fn entries<'a>(&mut self, value: &Value<'a>) -> Option<Vec<(String, Value<'a>)>> {
        let table = self.any_table(value)?;
        if !self.is_short(value, table.len()) {
            return None;
        }
        Some(Fields::open(&value.path, value.at(), table).all())
    }

    /// The elements of a list, bounded. `expected` says what should have been there.
    pub(super) fn list<'a>(&mut self, value: &Value<'a>, expected: &str) -> Option<Vec<Value<'a>>> {
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
    pub(super) fn text<'a>(&mut self, value: &Value<'a>, expected: &str) -> Option<&'a str> {
        let text = value.value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(value, expected);
        }
        text
    }

    /// Text of a closed grammar.
    pub(super) fn parsed<T>(&mut self, value: &Value<'_>) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(value, "text in quotes")?;
        self.parsed_text(text, value)
    }

    /// The same where the text has been taken from the value already.
    pub(super) fn parsed_text<T>(&mut self, text: &str, value: &Value<'_>) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.report(Code::WrongValue, value.at(), format!("`{}`: {error}", value.path), "");
                None
            }
        }
    }

    /// A key of a closed grammar.
    pub(super) fn parsed_key<T>(&mut self, text: &str, value: &Value<'_>) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.report(Code::WrongName, value.key_at.clone(), error.to_string(), "");
                None
            }
        }
    }

    /// A whole number in a range.
    pub(super) fn integer(&mut self, value: &Value<'_>, range: RangeInclusive<u32>) -> Option<u32> {
        let (least, most) = (*range.start(), *range.end());
        let expected = format!("a whole number between {least} and {most}");
        let Some(integer) = value.value.get_ref().as_integer() else {
            self.wrong_type(value, &expected);
            return None;
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.report(Code::WrongValue, value.at(), format!("`{}` must be {expected}", value.path), "");
        }
        number
    }

    /// A part of a text as a place in the file, where the text stands there as it is; else the whole value.
    pub(super) fn inside(&self, value: &Value<'_>, part: Range<usize>) -> Range<usize> {
        let text = value.value.get_ref().as_str().unwrap_or_default();
        // Behind the quote.
        let start = value.at().start + 1;
        match self.source.get(start..start + text.len()) {
            Some(found) if found == text && !part.is_empty() => start + part.start..start + part.end,
            _ => value.at(),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, value: &Value<'_>) -> Option<bool> {
        let found = value.value.get_ref().as_bool();
        if found.is_none() {
            self.wrong_type(value, "true or false, without quotes");
        }
        found
    }

    /// A length of time in a range.
    pub(super) fn span(&mut self, value: &Value<'_>, range: RangeInclusive<Span>) -> Option<Span> {
        let text = self.text(value, "a length of time in quotes, such as \"30s\"")?;
        let span: Span = self.parsed_text(text, value)?;
        if !range.contains(&span) {
            let message = format!("`{}` must be between {} and {}", value.path, range.start(), range.end());
            self.report(Code::WrongValue, value.at(), message, "");
            return None;
        }
        Some(span)
    }

    /// A number as it is written, with or without quotes.
    pub(super) fn number_text<'a>(&mut self, value: &Value<'a>, expected: &str) -> Option<&'a str> {
        match value.value.get_ref() {
            DeValue::String(text) => Some(text),
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
            DeValue::Float(number) => Some(number.as_str()),
            _ => {
                self.wrong_type(value, expected);
                None
            }
        }
    }

    /// A command as a list of words.
    pub(super) fn argv(&mut self, value: &Value<'_>) -> Option<Argv> {
        if value.is_text() {
            let message = format!("`{}` is one text, expected a list of words", value.path);
            let hint = "no shell reads it: write each word by itself, such as [\"node\", \"dist/main.js\"]";
            self.report(Code::WrongType, value.at(), message, hint);
            return None;
        }
        let mut words = Vec::new();
        for word in self.list(value, "a list of words such as [\"node\", \"dist/main.js\"]")? {
            words.push(self.text(&word, "a word in quotes")?.to_owned());
        }
        match Argv::try_from(words) {
            Ok(argv) => Some(argv),
            Err(error) => {
                self.report(Code::WrongValue, value.at(), format!("`{}`: {error}", value.path), "");
                None
            }
        }
    }
}
