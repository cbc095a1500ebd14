//! How the programs inside a server's task are called: lists of words, no shell, no password. What they read or write goes over their
//! standard streams. Tests at the end of the file.

use crate::copy::sql::LOADER;
use havre_core::copy::DumpFormat;
use havre_core::database::role::SUPERUSER;

/// The variable by which a program says its name to the server.
pub const APPLICATION: &str = "PGAPPNAME";

/// Longest wait for a table that somebody has locked, in milliseconds.
const LOCK_WAIT_MS: u32 = 60_000;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Writes a dump of a database. Owners and rights are left out: whatever is read again belongs to who reads it. Subscriptions are left out
/// as well: a copy would begin to follow what its original follows.
pub fn dump(database: &str, format: DumpFormat, snapshot: Option<&str>) -> Vec<String> {
    let mut line = words(&[
        "pg_dump",
        "-U",
        SUPERUSER,
        "-d",
        database,
        "--no-password",
        "--encoding=UTF8",
        "--no-owner",
        "--no-privileges",
        "--no-tablespaces",
        "--no-security-labels",
        "--no-publications",
        "--no-subscriptions",
    ]);
    line.push(format!("--format={}", format.as_str()));
    line.push(format!("--lock-wait-timeout={LOCK_WAIT_MS}"));
    line.extend(snapshot.map(|snapshot| format!("--snapshot={snapshot}")));
    line
}

/// The same without rows: enough to say whether rules fit.
pub fn dump_schema(database: &str, snapshot: &str) -> Vec<String> {
    let mut line = dump(database, DumpFormat::Plain, Some(snapshot));
    line.push("--schema-only".to_owned());
    line
}

/// Reads a dump into a fresh database, as the role that may do no more than that. The first error ends it.
pub fn load(database: &str, format: DumpFormat) -> Vec<String> {
    match format {
        // Terse: an error never repeats a row.
        DumpFormat::Plain => words(&[
            "psql",
            "-X",
            "-q",
            "-o",
            "/dev/null",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=terse",
            "-v",
            "SHOW_CONTEXT=never",
            "-U",
            LOADER,
            "-d",
            database,
        ]),
        DumpFormat::Custom => words(&[
            "pg_restore",
            "--no-password",
            "--no-owner",
            "--no-privileges",
            "--no-tablespaces",
            "--no-security-labels",
            "--no-publications",
            "--no-subscriptions",
            "--exit-on-error",
            "-U",
            LOADER,
            "-d",
            database,
        ]),
    }
}

/// Says something to a database as its superuser; what is answered comes bare, one value in a line.
pub fn ask(database: &str) -> Vec<String> {
    words(&[
        "psql",
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        "VERBOSITY=terse",
        "-v",
        "SHOW_CONTEXT=never",
        "-U",
        SUPERUSER,
        "-d",
        database,
    ])
}

/// What a program said about a failure, for people: its first lines that are about one, without rows.
pub fn failure(said: &str, code: i64) -> String {
    let is_row = |line: &str| {
        ["DETAIL:", "CONTEXT:", "STATEMENT:", "COPY "].iter().any(|start| line.starts_with(start))
    };
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty() && !is_row(line));
    let shorten =
        |line: &str| line.chars().filter(|letter| !letter.is_control()).take(300).collect::<String>();
    let found: Vec<String> = lines.take(3).map(shorten).collect();
    if found.is_empty() { format!("it ended with code {code}") } else { found.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_says_nothing_about_owners_and_sees_one_state() {
        let line = dump("db", DumpFormat::Plain, Some("0-1")).join(" ");
        assert!(line.starts_with("pg_dump -U postgres -d db "), "{line}");
        assert!(line.ends_with("--format=plain --lock-wait-timeout=60000 --snapshot=0-1"), "{line}");
        assert!(line.contains("--no-owner --no-privileges"), "{line}");
        assert!(!dump("db", DumpFormat::Custom, None).join(" ").contains("snapshot"));
    }

    #[test]
    fn no_superuser_reads_a_dump() {
        for format in [DumpFormat::Plain, DumpFormat::Custom] {
            let line = load("db_copy_7", format).join(" ");
            assert!(line.ends_with("-U havre_load -d db_copy_7"), "{line}");
        }
    }

    #[test]
    fn a_failure_repeats_no_row() {
        let said = "pg_restore: error: COPY failed for table \"a\": ERROR:  duplicate key\nDETAIL:  Key (email)=(x@y.z)\n\
            CONTEXT:  COPY a, line 1\n";
        assert_eq!(failure(said, 1), "pg_restore: error: COPY failed for table \"a\": ERROR:  duplicate key");
        assert_eq!(failure(" \n", 3), "it ended with code 3");
    }
}
