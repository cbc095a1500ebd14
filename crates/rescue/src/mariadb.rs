//! What is said to a MariaDB server so that it gives everything out, and to one into which that goes back; and what the answers mean. Rows are
//! counted by `ledger`, in the dump itself. Tests at the end of the file; against a real server in `daemon/tests/it/mariadb.rs`.

use crate::producer::{TABLES_MAX, application};
use crate::proof::Structure;
use havre_core::name::{DatabaseName, TargetName};
use havre_decide::database::mariadb::{client, session};

/// Seconds a statement of the user may take.
const ASSERTION_TIMEOUT: u64 = 600;
/// Longest text that is kept of an answer.
const ANSWER_MAX: usize = 200;

/// How the statements of one dump are known at the server, so that the next run to that target can end what is left of it: the client has no
/// name there, but what it asks for every table ends in these words.
fn mark(target: &TargetName) -> String {
    format!("1 /* {} */", application(target))
}

/// The dump: one snapshot of every table of InnoDB, which locks nothing. Texts that are no text are written in hex, times in UTC, and nothing
/// in it says when it was made, so that what did not change is the same once more.
pub fn dump(database: &DatabaseName, target: &TargetName) -> Vec<String> {
    let mut words = client("mariadb-dump");
    let what = ["--single-transaction", "--quick", "--routines", "--events", "--triggers", "--hex-blob"];
    words.extend(what.map(str::to_owned));
    words.extend(
        ["--skip-dump-date", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"].map(str::to_owned),
    );
    words.extend([format!("--where={}", mark(target)), database.to_string()]);
    words
}

/// Ends what a run before to that target has left: its dump may still run, since nobody ends a program inside of a task.
pub fn end(target: &TargetName) -> String {
    let mark = mark(target);
    format!(
        "SET SESSION sql_mode = '';\n\
         DELIMITER //\n\
         BEGIN NOT ATOMIC\n\
         -- One that has ended meanwhile.\n\
         DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;\n\
         FOR one IN (SELECT ID AS id FROM information_schema.PROCESSLIST WHERE INFO LIKE '%WHERE {mark}%' \
         AND ID <> CONNECTION_ID()) DO\n\
         EXECUTE IMMEDIATE CONCAT('KILL CONNECTION ', one.id);\n\
         END FOR;\n\
         END\n\
         //\n"
    )
}

/// Asks for the version.
pub const ASK_VERSION: &str = "SELECT VERSION();\n";

/// `MariaDB 10.11.19`, out of `10.11.19-MariaDB-0+deb12u1`.
pub fn parse_version(said: &str) -> String {
    let number: String = said.trim().split('-').next().unwrap_or_default().chars().take(32).collect();
    let is_plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    format!("MariaDB {}", if is_plain { number.as_str() } else { "?" })
}

/// What a dump begins with: newer programs first tell the client to obey nothing in it that is no SQL.
pub const BEGINNINGS: &[&[u8]] = &[b"/*M!999999\\- ", b"/*!999999\\- ", b"-- MariaDB dump "];

/// The command that reads a dump from its standard input and stops at the first statement that fails.
pub fn loader(database: &DatabaseName) -> Vec<String> {
    let mut words = session(Some(database));
    words.push("--max-allowed-packet=1G".to_owned());
    words
}

/// SQL that counts the rows of each table that a dump holds. Answered as PostgreSQL's is. Sequences have no rows, and views none of their own.
pub fn count(database: &DatabaseName) -> String {
    let most = TABLES_MAX + 1;
    format!(
        "SET SESSION sql_mode = '';\n\
         DELIMITER //\n\
         BEGIN NOT ATOMIC\n\
         FOR one IN (SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{database}' \
         AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME LIMIT {most}) DO\n\
         EXECUTE IMMEDIATE CONCAT('SELECT JSON_OBJECT(''table'', ', QUOTE(one.name), ', ''rows'', (SELECT COUNT(*) FROM `{database}`.`', \
         REPLACE(one.name, '`', '``'), '`))');\n\
         END FOR;\n\
         SELECT '{{\"counted\": true}}';\n\
         END\n\
         //\n"
    )
}

/// What a session is told to say whether something is true: it may read only, and not for ever.
pub fn assertion(sql: &str) -> String {
    format!(
        "SET SESSION TRANSACTION READ ONLY;\nSET SESSION max_statement_time = {ASSERTION_TIMEOUT};\n{sql}\n;\n"
    )
}

/// The command that checks the structure: that each index finds what its table holds.
pub fn structure(database: &DatabaseName) -> Vec<String> {
    let mut words = client("mariadb-check");
    words.extend(["--check", "--extended", "--databases"].map(str::to_owned));
    words.push(database.to_string());
    words
}

/// What that program said. It ends with 0 also where something is damaged; then a line behind the table's own says so. A runtime that finds no
/// such program ends with 126 or 127.
pub fn judge_structure(code: i64, said: &str) -> Structure {
    let kind = |line: &str| line.split_once(':').map(|(kind, _)| kind.trim().to_ascii_lowercase());
    let is_note =
        |line: &str| matches!(kind(line).as_deref(), Some("error" | "warning" | "note" | "info" | "status"));
    let damaged = |reason: String| Structure::Damaged { reason: reason.chars().take(ANSWER_MAX).collect() };
    if matches!(code, 126 | 127) {
        return Structure::NotAvailable;
    }
    let mut table = "";
    for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if kind(line).as_deref() == Some("error") {
            let words: Vec<&str> = line.split_whitespace().collect();
            return damaged(format!("{table}: {}", words.join(" ")));
        }
        if !is_note(line) {
            table = line;
        }
    }
    if code == 0 { Structure::Sound } else { damaged(format!("it ended with code {code}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> DatabaseName {
        "my-db".parse().expect("a name")
    }

    fn target() -> TargetName {
        "disk-two".parse().expect("a name")
    }

    #[test]
    fn a_dump_is_of_one_instant_and_can_be_found_at_the_server() {
        assert_eq!(
            dump(&database(), &target()).join(" "),
            "mariadb-dump --no-defaults --protocol=socket --socket=/run/mysqld/mysqld.sock --user=root --single-transaction \
             --quick --routines --events --triggers --hex-blob --skip-dump-date --default-character-set=utf8mb4 \
             --max-allowed-packet=1G --where=1 /* havre backup disk-two */ my-db"
        );
        assert!(end(&target()).contains("INFO LIKE '%WHERE 1 /* havre backup disk-two */%'"));
    }

    #[test]
    fn versions() {
        assert_eq!(parse_version("10.11.19-MariaDB-0+deb12u1-log\n"), "MariaDB 10.11.19");
        assert_eq!(parse_version("11.8.2-MariaDB-ubu2404"), "MariaDB 11.8.2");
        assert_eq!(parse_version(""), "MariaDB ?");
        assert_eq!(parse_version("ERROR 2002"), "MariaDB ?");
    }

    #[test]
    fn what_is_loaded_holds_no_commands_of_the_client() {
        let words = loader(&database());
        assert!(words.iter().any(|word| word == "--binary-mode"), "{words:?}");
        assert!(!words.iter().any(|word| word == "--force"), "it stops at what fails");
    }

    #[test]
    fn rows_are_asked_for_table_by_table() {
        insta::assert_snapshot!(count(&database()), @r#"
        SET SESSION sql_mode = '';
        DELIMITER //
        BEGIN NOT ATOMIC
        FOR one IN (SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'my-db' AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME LIMIT 1001) DO
        EXECUTE IMMEDIATE CONCAT('SELECT JSON_OBJECT(''table'', ', QUOTE(one.name), ', ''rows'', (SELECT COUNT(*) FROM `my-db`.`', REPLACE(one.name, '`', '``'), '`))');
        END FOR;
        SELECT '{"counted": true}';
        END
        //
        "#);
    }

    #[test]
    fn damage_is_found_although_the_program_ends_with_0() {
        let sound = "db.csv                OK\ndb.mem\nnote     : The storage engine for the table doesn't support check\n\
            db.notes\nWarning  : 1 client is using or hasn't closed the table properly\nstatus   : OK\n";
        assert_eq!(judge_structure(0, sound), Structure::Sound);
        let damaged = "db.csv      OK\ndb.notes\nWarning  : InnoDB: Index 'v' contains 0 entries, should be 5000.\n\
            error    : Corrupt\ndb.plain    OK\n";
        assert_eq!(
            judge_structure(0, damaged),
            Structure::Damaged { reason: "db.notes: error : Corrupt".to_owned() }
        );
        assert_eq!(judge_structure(127, ""), Structure::NotAvailable);
        assert!(matches!(judge_structure(1, ""), Structure::Damaged { .. }));
        // A table may have any name.
        assert_eq!(judge_structure(0, "db.error : x        OK\n"), Structure::Sound);
    }
}
