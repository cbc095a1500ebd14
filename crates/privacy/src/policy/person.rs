//! `[person]`: which rows of which tables belong to a person. The statements that follow from it are in `crate::person`.
//! Tests: `tests/it/person.rs`.

use crate::name::TableName;
use crate::person::{Erase, Person, PersonTable, Through};
use crate::policy::keys;
use crate::policy::mask::read_column;
use crate::policy::problem::Code;
use crate::policy::read::{Reader, Value, shown};

pub(super) fn read(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Person> {
    let fields = reader.table(&keys::PERSON, value)?;
    let (Some(key), Some(tables)) = (fields.find("key"), fields.find("tables")) else {
        let message = "`person` needs `key` and `tables`";
        reader.report(Code::MissingKey, value.key_at.clone(), message, "such as key = \"email\"");
        return None;
    };
    let key = reader.text(&key, "what a person is known by, in quotes")?.to_owned();
    let mut found: Vec<PersonTable> = Vec::new();
    for (name, value) in reader.entries(&tables)? {
        let Some(name) = reader.parsed_key::<TableName>(&name, &value) else { continue };
        found.extend(read_table(reader, name, &value));
    }
    check_through(reader, &found);
    Some(Person { key, tables: found })
}

fn read_table(reader: &mut Reader<'_>, name: TableName, value: &Value<'_>) -> Option<PersonTable> {
    let fields = reader.table(&keys::PERSON_TABLE, value)?;
    let at = reader.place(&value.key_at);
    let (Some(by), Some(erase)) = (fields.find("by"), fields.find("erase")) else {
        let message = format!("`{}` needs `by` and `erase`", value.path);
        let hint = "such as by = \"email\" and erase = \"delete\"; \"keep\" where a law wants the rows kept";
        reader.report(Code::MissingKey, value.key_at.clone(), message, hint);
        return None;
    };
    let by = read_column(reader, &by)?;
    let erase = read_erase(reader, &erase)?;
    let through = match fields.find("through") {
        None => None,
        Some(value) => Some(read_through(reader, &value)?),
    };
    let export = match fields.find("export") {
        None => Vec::new(),
        Some(value) => read_columns(reader, &value)?,
    };
    Some(PersonTable { name, at, by, through, export, erase })
}

fn read_erase(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Erase> {
    if !value.is_text() {
        return read_columns(reader, value).map(Erase::Clear);
    }
    match reader.text(value, "text in quotes")? {
        "delete" => Some(Erase::Delete),
        "keep" => Some(Erase::Keep),
        other => {
            let message = format!("`{}`: `{}` is no way to erase", value.path, shown(other));
            let hint = "write \"delete\", \"keep\", or the columns that become NULL: [\"notes\", \"phone\"]";
            reader.report(Code::WrongValue, value.at(), message, hint);
            None
        }
    }
}

fn read_columns(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    for element in reader.list(value, "a list of columns such as [\"notes\", \"phone\"]")? {
        columns.push(read_column(reader, &element)?);
    }
    if columns.is_empty() {
        reader.report(Code::WrongValue, value.at(), format!("`{}` names no column", value.path), "");
        return None;
    }
    Some(columns)
}

fn read_through(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Through> {
    let fields = reader.table(&keys::THROUGH, value)?;
    let (Some(table), Some(column)) = (fields.find("table"), fields.find("column")) else {
        let message = format!("`{}` needs `table` and `column`", value.path);
        let hint = "such as { table = \"public.users\", column = \"id\" }";
        reader.report(Code::MissingKey, value.at(), message, hint);
        return None;
    };
    let at = reader.place(&table.at());
    let table = reader.parsed::<TableName>(&table, "a table in quotes, such as \"public.users\"")?;
    Some(Through { at, table, column: read_column(reader, &column)? })
}

/// One step only: the table in between says by itself whose its rows are.
fn check_through(reader: &mut Reader<'_>, tables: &[PersonTable]) {
    for table in tables {
        let Some(through) = &table.through else { continue };
        let target = tables.iter().find(|other| other.name == through.table);
        if target.is_some_and(|target| target.through.is_none()) {
            continue;
        }
        let message = format!("`{}` leads to no table of `person` that knows the key itself", through.table);
        let hint = format!("add [person.tables.\"{}\"] without `through`", through.table);
        reader.report_place(Code::WrongValue, &through.at, message, hint);
    }
}
