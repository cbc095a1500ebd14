//! Programs inside a task of a database that load a snapshot and look at what came of it: their words, and the SQL they are told. No name
//! of a user stands in any SQL; tables are named by the server itself. Tests at the end of the file.

use std::collections::BTreeMap;

use crate::mariadb;
use crate::producer::{TABLES_MAX, Told, parse_line, postgres_session};
use crate::proof::{Assertion, Failure, Structure};
use havre_core::database::role::SUPERUSER;
use havre_core::database::spec::Kind;
use havre_core::name::DatabaseName;

/// Longest answer that is kept of one.
const ANSWER_MAX: usize = 200;
/// Milliseconds one may take.
const ASSERTION_TIMEOUT_MS: u64 = 600_000;

/// What the bytes of a snapshot are, by how they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What `pg_dump --format=custom` writes.
    PostgresArchive,
    /// What `mariadb-dump` writes.
    MariadbDump,
    /// A snapshot of Redis or Valkey.
    Rdb,
    /// Something else.
    Unknown,
}

/// Says what a snapshot is.
pub fn format(first: &[u8]) -> Format {
    let begins = |text: &str| first.starts_with(text.as_bytes());
    if begins("PGDMP") {
        return Format::PostgresArchive;
    }
    if mariadb::BEGINNINGS.iter().any(|one| first.starts_with(one)) {
        return Format::MariadbDump;
    }
    if begins("REDIS") || begins("VALKEY") {
        return Format::Rdb;
    }
    Format::Unknown
}

/// The command that reads a snapshot of this format from its standard input: of PostgreSQL in one transaction, so that all of it is there in the
/// end, or nothing; of MariaDB, which has no such transactions, up to the first statement that fails, and what was made of it is thrown away.
/// `None` for what this version cannot load, and for what this server does not read.
pub fn loader(format: Format, engine: Kind, database: &DatabaseName) -> Option<Vec<String>> {
    match (format, engine) {
        (Format::PostgresArchive, Kind::Postgres) => {
            // What lay in a tablespace goes where everything else goes: the new server has none.
            let words = ["pg_restore", "--exit-on-error", "--no-tablespaces", "--single-transaction"];
            let words = words.map(str::to_owned);
            Some(words.into_iter().chain(login(database)).collect())
        }
        (Format::MariadbDump, Kind::Mariadb) => Some(mariadb::loader(database)),
        (Format::PostgresArchive | Format::MariadbDump | Format::Rdb | Format::Unknown, _) => None,
    }
}

fn login(database: &DatabaseName) -> [String; 3] {
    ["--no-password".to_owned(), format!("--username={SUPERUSER}"), format!("--dbname={database}")]
}

/// Rows of each table, out of what a session was answered that was told [`postgres_count`](super::producer::postgres_count).
///
/// # Errors
/// The answer is not whole.
pub fn parse_rows(text: &str) -> Result<BTreeMap<String, u64>, Failure> {
    let mut rows = BTreeMap::new();
    for told in text.lines().filter_map(parse_line) {
        match told {
            Told::Rows { table, rows: count } => drop(rows.insert(table, count)),
            // As for a backup: of so many tables none is counted.
            Told::Counted if rows.len() > TABLES_MAX => return Ok(BTreeMap::new()),
            Told::Counted => return Ok(rows),
            Told::Opened { .. } => {}
        }
    }
    Err(Failure::Unreadable { reason: "the server did not count its rows to the end".to_owned() })
}

/// The command that checks the structure: that each index finds what its table holds. It makes an extension, so it is the last one, and
/// only for a copy that is thrown away.
pub fn structure(database: &DatabaseName) -> Vec<String> {
    let user = format!("--username={SUPERUSER}");
    ["pg_amcheck", "--install-missing", "--no-password", &user, database.as_str()].map(str::to_owned).into()
}

/// What the end of that program says. A runtime that finds no such program ends with 126 or 127.
pub fn judge_structure(code: i64, said: &str) -> Structure {
    match code {
        0 => Structure::Sound,
        126 | 127 => Structure::NotAvailable,
        _ => Structure::Damaged { reason: first_line(said, code) },
    }
}

/// The command that asks whether something is true. The statement is one word, and one that psql cannot take for a command of its own.
pub fn assertion(database: &DatabaseName, sql: &str) -> Vec<String> {
    let mut words = postgres_session(database);
    words.push(format!("--command= {sql}"));
    words
}

/// Settings for such a client: it may read only, and not for ever.
pub fn assertion_options() -> String {
    format!("-c default_transaction_read_only=on -c statement_timeout={ASSERTION_TIMEOUT_MS}")
}

/// What the answer says: only one row with one value that is `true` holds, which MariaDB writes as 1.
pub fn judge_assertion(engine: Kind, sql: &str, code: i64, said: &str) -> Assertion {
    let is_true = match engine {
        Kind::Postgres => "t",
        Kind::Mariadb | Kind::Redis | Kind::Valkey => "1",
    };
    let holds = code == 0 && said.trim_end_matches('\n') == is_true;
    let answer = if code == 0 { said.trim().to_owned() } else { first_line(said, code) };
    Assertion {
        sql: sql.to_owned(),
        holds,
        answer: if answer.is_empty() { "nothing".to_owned() } else { shorten(&answer) },
    }
}

/// The first line that says something, shortened.
pub fn first_line(text: &str, code: i64) -> String {
    match text.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => shorten(line),
        None => format!("it ended with code {code} and said nothing"),
    }
}

fn shorten(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ANSWER_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> DatabaseName {
        "db".parse().expect("is a name")
    }

    #[test]
    fn formats_are_known_by_how_they_begin() {
        assert_eq!(format(b"PGDMP\x01\x0e"), Format::PostgresArchive);
        assert_eq!(format(b"REDIS0011"), Format::Rdb);
        assert_eq!(format(b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB"), Format::MariadbDump);
        assert_eq!(format(b"-- MariaDB dump 10.19  Distrib 10.6"), Format::MariadbDump);
        for unknown in [b"".as_slice(), b"PG", b"SELECT 1;", b"\x28\xb5\x2f\xfd"] {
            assert_eq!(format(unknown), Format::Unknown);
            assert_eq!(loader(format(unknown), Kind::Postgres, &database()), None);
        }
    }

    #[test]
    fn a_loader_loads_everything_or_nothing() {
        let words = loader(Format::PostgresArchive, Kind::Postgres, &database()).expect("is known");
        assert_eq!(
            words.join(" "),
            "pg_restore --exit-on-error --no-tablespaces --single-transaction --no-password --username=postgres --dbname=db"
        );
        assert_eq!(loader(Format::Rdb, Kind::Redis, &database()), None);
        let words = loader(Format::MariadbDump, Kind::Mariadb, &database()).expect("is known");
        assert_eq!(
            (words[0].as_str(), words.last().expect("has words").as_str()),
            ("mariadb", "--max-allowed-packet=1G")
        );
        assert_eq!(loader(Format::MariadbDump, Kind::Postgres, &database()), None, "of another server");
        assert_eq!(loader(Format::PostgresArchive, Kind::Mariadb, &database()), None);
    }

    #[test]
    fn rows_are_read_when_all_of_them_are_there() {
        let two = "{\"table\": \"public.users\", \"rows\": 2}\n{\"table\": \"public.a\", \"rows\": 0}\n";
        let rows = parse_rows(&format!("{two}{{\"counted\": true}}\n")).expect("are all");
        assert_eq!((rows["public.users"], rows["public.a"], rows.len()), (2, 0, 2));
        assert!(matches!(parse_rows(two), Err(Failure::Unreadable { .. })));
        assert!(matches!(parse_rows(""), Err(Failure::Unreadable { .. })));
        let many: String =
            (0..=TABLES_MAX).map(|n| format!("{{\"table\": \"t{n}\", \"rows\": 1}}\n")).collect();
        assert_eq!(parse_rows(&format!("{many}{{\"counted\": true}}\n")), Ok(BTreeMap::new()));
    }

    #[test]
    fn only_one_true_is_true() {
        let judge_assertion = |sql, code, said| judge_assertion(Kind::Postgres, sql, code, said);
        assert!(judge_assertion("select true", 0, "t\n").holds);
        assert!(super::judge_assertion(Kind::Mariadb, "select true", 0, "1\n").holds);
        for said in ["0\n", "t\n", "1\n1\n", "11\n", "1\t1\n", ""] {
            assert!(!super::judge_assertion(Kind::Mariadb, "select 1", 0, said).holds, "{said:?}");
        }
        for (code, said) in
            [(0, "f\n"), (0, ""), (0, "t\nt\n"), (0, "t|t\n"), (0, "true\n"), (1, "t\n"), (3, "")]
        {
            assert!(!judge_assertion("select 1", code, said).holds, "{code} {said:?}");
        }
        assert_eq!(judge_assertion("select 1", 0, "").answer, "nothing");
        assert_eq!(judge_assertion("x", 3, "ERROR:  syntax error\n").answer, "ERROR:  syntax error");
    }

    #[test]
    fn a_statement_is_never_a_command_of_the_client() {
        let words = assertion(&database(), "\\! touch /tmp/x");
        assert_eq!(words.last().expect("has words"), "--command= \\! touch /tmp/x");
    }

    #[test]
    fn the_structure_is_judged_by_the_end_of_its_program() {
        assert_eq!(judge_structure(0, ""), Structure::Sound);
        assert_eq!(judge_structure(127, "OCI runtime exec failed"), Structure::NotAvailable);
        let damaged = Structure::Damaged { reason: "btree index \"db.public.i\":".to_owned() };
        assert_eq!(judge_structure(2, "btree index \"db.public.i\":\n    ERROR: ..."), damaged);
    }
}
