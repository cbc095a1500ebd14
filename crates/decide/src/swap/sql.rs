//! What PostgreSQL is told of a swap, made of closed names only. It goes to the standard input of `psql` inside the server's own task, on the
//! database `postgres`. Redis and Valkey are told nothing: they have no names inside. Tests at the end of the file.

use havre_core::database::role::GROUP;
use havre_core::name::DatabaseName;

pub use crate::copy::sql::{LIST, MAINTENANCE};

/// No message about what is there already.
const QUIET: &str = "SET client_min_messages = warning;\n";

fn with_group(statement: &str) -> String {
    format!(
        "DO $havre$\nBEGIN\n\
         IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{GROUP}') THEN {statement}; END IF;\n\
         END\n$havre$;\n"
    )
}

fn end_connections(name: &DatabaseName) -> String {
    format!(
        "SELECT count(pg_catalog.pg_terminate_backend(pid, 5000)) FROM pg_catalog.pg_stat_activity \
         WHERE datname = '{name}' AND pid <> pg_catalog.pg_backend_pid();\n"
    )
}

/// Lets nobody but the superuser in, whoever was told otherwise by hand, and ends the connections there are: what is in it does not change any
/// more. Services are told `permission denied for database`.
pub fn close(name: &DatabaseName) -> String {
    let revoke = with_group(&format!("REVOKE CONNECT ON DATABASE \"{name}\" FROM \"{GROUP}\""));
    let end = end_connections(name);
    format!("{QUIET}{revoke}ALTER DATABASE \"{name}\" WITH CONNECTION LIMIT 0;\n{end}")
}

/// Lets services in again.
pub fn open(name: &DatabaseName) -> String {
    let grant = with_group(&format!("GRANT CONNECT ON DATABASE \"{name}\" TO \"{GROUP}\""));
    format!("{QUIET}{grant}ALTER DATABASE \"{name}\" WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1;\n")
}

/// Gives a database another name. Who may connect to it stays as it is, but for the limit of [`close`]: services are let in, or not, by what
/// makes their roles.
pub fn rename(from: &DatabaseName, to: &DatabaseName) -> String {
    let end = end_connections(from);
    format!(
        "{QUIET}ALTER DATABASE \"{from}\" WITH ALLOW_CONNECTIONS false;\n\
         {end}\
         BEGIN;\n\
         ALTER DATABASE \"{from}\" RENAME TO \"{to}\";\n\
         ALTER DATABASE \"{to}\" WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1;\n\
         COMMIT;\n"
    )
}

/// What the names in a server ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// It has the old name.
    Rename,
    /// It has the new name.
    Done,
    /// Both are there: neither is touched.
    Taken,
    /// Neither is there.
    Missing,
}

/// Reads what [`LIST`] answered.
pub fn naming(there: &str, from: &DatabaseName, to: &DatabaseName) -> Naming {
    let has = |name: &DatabaseName| there.lines().any(|line| line == name.as_str());
    match (has(from), has(to)) {
        (true, false) => Naming::Rename,
        (false, true) => Naming::Done,
        (true, true) => Naming::Taken,
        (false, false) => Naming::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DatabaseName {
        text.parse().expect("a name")
    }

    #[test]
    fn nobody_is_left_inside_of_what_is_closed() {
        let text = close(&name("my-db"));
        let (limit, end) = (text.find("CONNECTION LIMIT 0"), text.find("pg_terminate_backend"));
        assert!(limit.is_some() && limit < end, "{text}");
        assert!(text.contains("REVOKE CONNECT ON DATABASE \"my-db\" FROM \"app\""), "{text}");
        let text = open(&name("my-db"));
        assert!(text.contains("GRANT CONNECT ON DATABASE \"my-db\" TO \"app\""), "{text}");
        assert!(text.contains("ALLOW_CONNECTIONS true CONNECTION LIMIT -1"), "{text}");
    }

    #[test]
    fn a_name_changes_in_one_transaction() {
        insta::assert_snapshot!(rename(&name("db"), &name("db-before-20261127")), @r#"
        SET client_min_messages = warning;
        ALTER DATABASE "db" WITH ALLOW_CONNECTIONS false;
        SELECT count(pg_catalog.pg_terminate_backend(pid, 5000)) FROM pg_catalog.pg_stat_activity WHERE datname = 'db' AND pid <> pg_catalog.pg_backend_pid();
        BEGIN;
        ALTER DATABASE "db" RENAME TO "db-before-20261127";
        ALTER DATABASE "db-before-20261127" WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1;
        COMMIT;
        "#);
    }

    #[test]
    fn names_say_how_far_it_was() {
        let naming = |there: &str| naming(there, &name("db"), &name("new"));
        assert_eq!(naming("db\npostgres\n"), Naming::Rename);
        assert_eq!(naming("new\npostgres\n"), Naming::Done);
        assert_eq!(naming("db\nnew\n"), Naming::Taken);
        assert_eq!(naming("db2\npostgres\n"), Naming::Missing);
    }
}
