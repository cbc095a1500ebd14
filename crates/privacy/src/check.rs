//! Whether the rules fit a database: every table and column exists, every mask can stand where it should, keys stay keys, references keep
//! their rows, and nothing that looks personal is left out. Tests: `tests/it/refused.rs`.

use havre_core::suggest::nearest;
use havre_manifest::problem::Position;

use crate::dump::table::{Column, Foreign, Key, Tables};
use crate::error::Undeclared;
use crate::mask::Mask;
use crate::name::TableName;
use crate::person::{Erase, PersonTable};
use crate::personal;
use crate::policy::problem::{Code, Problem};
use crate::policy::{ColumnRule, Policy, Rows, TableRule};

/// What a copy does with a column: by the rule of its table, or of the one it is a partition of.
pub(crate) fn rule_of<'p>(
    policy: &'p Policy,
    tables: &Tables,
    table: &TableName,
    column: &str,
) -> Option<&'p ColumnRule> {
    tables.line(table).into_iter().find_map(|table| policy.tables.get(table)?.columns.get(column))
}

/// The nearest rule of a table or of those above it.
fn table_rule<'p>(policy: &'p Policy, tables: &Tables, table: &TableName) -> Option<&'p TableRule> {
    tables.line(table).into_iter().find_map(|table| policy.tables.get(table))
}

/// Which rows of a table are copied.
pub(crate) fn rows_of(policy: &Policy, tables: &Tables, table: &TableName) -> Rows {
    table_rule(policy, tables, table).map_or(Rows::All, |rule| rule.rows)
}

/// Where a column should be declared: at the table furthest up that has it.
pub(crate) fn owner<'t>(tables: &'t Tables, table: &'t TableName, column: &str) -> &'t TableName {
    let line = tables.line(table);
    let has = |table: &&&TableName| tables.get(table).is_some_and(|table| table.column(column).is_some());
    line.iter().rev().find(has).copied().unwrap_or(table)
}

/// Notes columns whose names look personal and that no rule names. Tables without rows need none.
pub(crate) fn find_undeclared(policy: &Policy, tables: &Tables, undeclared: &mut Undeclared) {
    for (name, table) in &tables.0 {
        if rows_of(policy, tables, name) == Rows::None {
            continue;
        }
        for column in table.columns.iter().filter(|column| !column.is_generated) {
            if rule_of(policy, tables, name, &column.name).is_some() {
                continue;
            }
            if let Some(proposal) = personal::by_name(&column.name, &column.kind) {
                undeclared.add_name(owner(tables, name, &column.name), &column.name, proposal);
            }
        }
    }
}

/// Lists what does not fit.
pub(crate) fn check(policy: &Policy, tables: &Tables) -> Vec<Problem> {
    let mut checker = Checker { policy, tables, problems: Vec::new() };
    for (name, rule) in &policy.tables {
        checker.table(name, rule);
    }
    for (name, table) in &tables.0 {
        for key in &table.keys {
            checker.key(name, key);
        }
        for foreign in &table.foreign {
            checker.foreign(name, foreign);
        }
    }
    for table in policy.person.iter().flat_map(|person| &person.tables) {
        checker.person(table);
    }
    checker.problems
}

struct Checker<'c> {
    policy: &'c Policy,
    tables: &'c Tables,
    problems: Vec<Problem>,
}

impl<'c> Checker<'c> {
    fn report(&mut self, code: Code, at: &Position, message: String, hint: String) {
        self.problems.push(Problem { code, at: Some(at.clone()), message, hint });
    }

    /// Whether a table is there; says so when it is not.
    fn is_table(&mut self, name: &TableName, at: &Position) -> bool {
        if self.tables.get(name).is_some() {
            return true;
        }
        let names: Vec<String> = self.tables.0.keys().map(TableName::to_string).collect();
        let message = format!("the database has no table `{name}`");
        self.report(Code::UnknownTable, at, message, near(&name.to_string(), &names));
        false
    }

    /// A column; says so when it is not there.
    fn column(&mut self, table: &TableName, name: &str, at: &Position) -> Option<&'c Column> {
        let tables = self.tables;
        let found = tables.column(table, name);
        let own = tables.get(table).map_or(&[][..], |table| table.columns.as_slice());
        // A table of a type has columns that only COPY names.
        if found.is_none() && !own.is_empty() {
            let names: Vec<String> = own.iter().map(|column| column.name.clone()).collect();
            let message = format!("`{table}` has no column `{name}`");
            self.report(Code::UnknownColumn, at, message, near(name, &names));
        }
        found
    }

    fn table(&mut self, name: &TableName, rule: &TableRule) {
        if !self.is_table(name, &rule.at) {
            return;
        }
        for (column, rule) in &rule.columns {
            let Some(found) = self.column(name, column, &rule.at) else { continue };
            if !rule.mask.fits(&found.kind) {
                let limit = found
                    .kind
                    .limit()
                    .map_or_else(String::new, |most| format!(" of at most {most} characters"));
                let kind = found.kind.as_str();
                let message = format!(
                    "`{column}` of `{name}` holds {kind}{limit}, which \"{}\" cannot make",
                    rule.mask.name()
                );
                let hint = personal::by_name("password", &found.kind).unwrap_or("null");
                self.report(Code::Unfit, &rule.at, message, format!("such as \"{hint}\", or \"keep\""));
            }
            if rule.mask == Mask::Null && found.is_not_null {
                let message = format!("`{column}` of `{name}` refuses NULL");
                let hint = "such as { constant = \"\" }, or \"hash\"".to_owned();
                self.report(Code::Unfit, &rule.at, message, hint);
            }
            if let Mask::DatesShifted { by: Some(by), .. } = &rule.mask {
                self.column(name, by, &rule.at);
            }
        }
    }

    /// What is there once must stay there once.
    fn key(&mut self, table: &TableName, key: &Key) {
        for column in &key.columns {
            let Some(rule) = rule_of(self.policy, self.tables, table, column) else { continue };
            let Some(found) = self.tables.column(table, column) else { continue };
            if rule.mask.may_collide(&found.kind) {
                let what = if key.is_primary { "part of the primary key" } else { "unique" };
                let mask = rule.mask.name();
                let message =
                    format!("`{column}` of `{table}` is {what}, and \"{mask}\" may make two values equal");
                let hint = "use \"hash\", \"email\", \"phone\" or \"digits\", which do not".to_owned();
                self.report(Code::Conflict, &rule.at, message, hint);
            }
        }
    }

    /// Who refers to a row must find it again.
    fn foreign(&mut self, table: &TableName, foreign: &Foreign) {
        let (policy, tables) = (self.policy, self.tables);
        let target = &foreign.target;
        let rows = table_rule(policy, tables, target).filter(|rule| rule.rows != Rows::All);
        if let (Some(rule), true) = (rows, rows_of(policy, tables, table) != Rows::None) {
            let message = format!("`{table}` refers to rows of `{target}`, which would not all be there");
            let hint = format!("copy all rows of `{target}`, or none of `{table}`");
            self.report(Code::Conflict, &rule.rows_at, message, hint);
        }
        for (column, other) in foreign.columns.iter().zip(&foreign.target_columns) {
            let own = rule_of(policy, tables, table, column);
            let theirs = rule_of(policy, tables, target, other);
            let mask = |rule: Option<&ColumnRule>| rule.map_or(Mask::Keep, |rule| rule.mask.clone());
            let (Some(place), false) = (own.or(theirs), mask(own) == mask(theirs) || mask(own) == Mask::Null)
            else {
                continue;
            };
            let message =
                format!("`{column}` of `{table}` refers to `{other}` of `{target}`, but their masks differ");
            let hint = "give both the same mask, so that the same value stays the same".to_owned();
            self.report(Code::Conflict, &place.at, message, hint);
        }
    }

    fn person(&mut self, table: &PersonTable) {
        if !self.is_table(&table.name, &table.at) {
            return;
        }
        self.column(&table.name, &table.by, &table.at);
        for column in &table.export {
            self.column(&table.name, column, &table.at);
        }
        if let Erase::Clear(columns) = &table.erase {
            for column in columns {
                let found = self.column(&table.name, column, &table.at);
                if found.is_some_and(|found| found.is_not_null) {
                    let message =
                        format!("`{column}` of `{}` refuses NULL, so it cannot be cleared", table.name);
                    self.report(Code::Unfit, &table.at, message, "erase = \"delete\"".to_owned());
                }
            }
        }
        if let Some(through) = &table.through {
            self.column(&through.table, &through.column, &through.at);
        }
    }
}

fn near(text: &str, names: &[String]) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    nearest(text, &names).map_or_else(String::new, |near| format!("did you mean `{near}`?"))
}
