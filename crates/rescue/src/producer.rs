//! What is said to a server of a database so that it gives everything out, and what its answers mean. Texts and words only, of closed names;
//! who runs them is the loop, by clients inside the task of the server, as its superuser and without any password in an argument.
//! Tests at the end of the file; against real servers in `daemon/tests/it/backup.rs`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::mariadb;
use havre_core::backup::What;
use havre_core::database::role::SUPERUSER;
use havre_core::database::spec::Kind;
use havre_core::name::{DatabaseName, TargetName};

/// Tables that are counted; of a database with more of them none is: their names alone would fill the row.
pub const TABLES_MAX: usize = 1000;
/// Longest wait of a dump for a table that somebody else holds, in milliseconds: behind it would wait everybody.
const LOCK_WAIT_MS: u32 = 60_000;
/// Longest text of a reason, in characters.
const REASON_MAX: usize = 600;

/// How the programs of one run call themselves at the server, so that the next run to that target can end what is left of it.
pub fn application(target: &TargetName) -> String {
    format!("havre backup {target}")
}

/// Name of the one file in a snapshot: what a restore with restic leaves in its folder. Where names are long, less of them.
pub fn file_name(what: &What, kind: Option<Kind>) -> String {
    let (name, end) = match (what, kind) {
        (What::Database { project, environment, database }, kind) => {
            let end = match kind {
                Some(Kind::Postgres) => "dump",
                Some(Kind::Mariadb) => "sql",
                Some(Kind::Redis | Kind::Valkey) | None => "rdb",
            };
            (format!("{project}-{environment}-{database}"), end)
        }
        (What::Base { project, environment, database }, _) => {
            (format!("{project}-{environment}-{database}-base"), "tar")
        }
        (What::Volume { project, environment, service, volume }, _) => {
            (format!("{project}-{environment}-{service}-{volume}"), "tar")
        }
        (What::Platform, _) => ("platform".to_owned(), "tar"),
    };
    let name: String = name.chars().take(90).collect();
    format!("{name}.{end}")
}

/// The same for WAL of a database.
pub fn wal_file_name(what: &What) -> String {
    let base = file_name(what, Some(Kind::Postgres));
    format!("{}-wal.tar", base.trim_end_matches(".dump"))
}

/// Asks a session for the version of its server; answered by a line of its own.
pub fn postgres_ask_version() -> String {
    "SELECT pg_catalog.current_setting('server_version');\n".to_owned()
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A session with PostgreSQL that reads statements from its input and stops at the first one that fails. No password is asked for: inside
/// of the task the socket lets the superuser in.
pub fn postgres_session(database: &DatabaseName) -> Vec<String> {
    let stop = ["-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"];
    let mut all = words(&["psql", "-X", "-q", "-A", "-t", "-w"]);
    all.extend(words(&stop));
    all.extend(words(&["-U", SUPERUSER, "-d", database.as_str()]));
    all
}

/// Ends what a run before to that target has left: its dump may still run, since nobody ends a program inside of a task.
pub fn postgres_end(target: &TargetName) -> String {
    let application = application(target);
    format!(
        "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
         WHERE application_name = '{application}' AND pid <> pg_catalog.pg_backend_pid();\n"
    )
}

/// The first thing said in that session: ends what is left, and takes a snapshot that others may use as long as the session lasts.
/// Answered by [`Told::Opened`].
pub fn postgres_open(target: &TargetName) -> String {
    let end = postgres_end(target);
    format!(
        "{end}\
         SET idle_in_transaction_session_timeout = 0;\n\
         SET statement_timeout = 0;\n\
         BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;\n\
         SELECT pg_catalog.json_build_object('version', pg_catalog.current_setting('server_version'), \
         'snapshot', pg_catalog.pg_export_snapshot());\n"
    )
}

/// Then: counts the rows of each table that a dump holds, in the same snapshot. Tables of extensions are not in there. Answered by
/// [`Told::Rows`] for each, and [`Told::Counted`] in the end.
pub fn postgres_count() -> String {
    let most = TABLES_MAX + 1;
    format!(
        "SELECT pg_catalog.format('SELECT pg_catalog.json_build_object(''table'', %L::text, ''rows'', \
         (SELECT count(*) FROM ONLY %s))', name, name) FROM (\
         SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1 LIMIT {most}) tables \\gexec\n\
         SELECT pg_catalog.json_build_object('counted', true);\n"
    )
}

/// The dump itself, out of the snapshot of the session. Not compressed: the repository does that, and finds what did not change only in
/// what it can read. Owners and grants are in it; who restores says whether they count.
pub fn postgres_dump(database: &DatabaseName, snapshot: &str) -> Vec<String> {
    let mut all = words(&["pg_dump", "--format=custom", "--compress=0", "--no-password"]);
    all.push(format!("--lock-wait-timeout={LOCK_WAIT_MS}"));
    all.push(format!("--snapshot={snapshot}"));
    all.extend(words(&["-U", SUPERUSER, "-d", database.as_str()]));
    all
}

/// A line of what the session answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The snapshot is there.
    Opened {
        /// Version of the server, such as `PostgreSQL 16.14`.
        version: String,
        /// What the server calls the snapshot: digits, `A` to `F` and `-`.
        snapshot: String,
    },
    /// A table was counted.
    Rows {
        /// Its schema and its name, quoted where SQL wants it.
        table: String,
        /// Its rows.
        rows: u64,
    },
    /// All of them were.
    Counted,
}

#[derive(Deserialize)]
struct Line {
    version: Option<String>,
    snapshot: Option<String>,
    table: Option<String>,
    rows: Option<u64>,
    #[serde(default)]
    counted: bool,
}

/// Reads a line; nothing for one that says nothing to us.
pub fn parse_line(line: &str) -> Option<Told> {
    let line: Line = serde_json::from_str(line.trim()).ok()?;
    match line {
        Line { version: Some(version), snapshot: Some(snapshot), .. } => {
            let is_plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'A'..=b'F' | b'-');
            if snapshot.is_empty() || snapshot.len() > 64 || !snapshot.bytes().all(is_plain) {
                return None;
            }
            Some(Told::Opened { version: postgres_version(&version), snapshot })
        }
        Line { table: Some(table), rows: Some(rows), .. } => Some(Told::Rows { table, rows }),
        Line { counted: true, .. } => Some(Told::Counted),
        _ => None,
    }
}

/// Without what the packager of the server adds.
pub fn postgres_version(text: &str) -> String {
    let number: String = text.split_whitespace().next().unwrap_or("?").chars().take(32).collect();
    format!("PostgreSQL {number}")
}

pub(super) const fn redis_client(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres | Kind::Mariadb | Kind::Redis => "redis-cli",
        Kind::Valkey => "valkey-cli",
    }
}

/// Where the copy of a Redis or Valkey lies in its task while it is read: on its volume, since that has room for the data, and under a name
/// that the server does not look at.
pub fn redis_file(target: &TargetName) -> String {
    format!("/data/.havre-backup-{target}.rdb")
}

/// The client takes the data as a replica would, all of one instant, and ends with 0 only when all of it has come. To a file: on its output
/// it would leave the mark that ends the transfer.
pub fn redis_dump(kind: Kind, target: &TargetName) -> Vec<String> {
    words(&[redis_client(kind), "--rdb", &redis_file(target)])
}

/// Gives the file out.
pub fn redis_read(target: &TargetName) -> Vec<String> {
    words(&["cat", &redis_file(target)])
}

/// Takes the file away.
pub fn redis_remove(target: &TargetName) -> Vec<String> {
    words(&["rm", "-f", &redis_file(target)])
}

/// Asks the server for its version and the number of its keys.
pub fn redis_ask(kind: Kind) -> Vec<String> {
    words(&[redis_client(kind), "INFO"])
}

/// What that answer says: the version, and the keys of each of its databases.
pub fn parse_redis_info(kind: Kind, text: &str) -> (String, BTreeMap<String, u64>) {
    let (name, field) = match kind {
        Kind::Postgres | Kind::Mariadb | Kind::Redis => ("Redis", "redis_version"),
        Kind::Valkey => ("Valkey", "valkey_version"),
    };
    let mut version = "?".to_owned();
    let mut keys = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|line| line.trim().split_once(':')) {
        if key == field {
            version = value.chars().take(32).collect();
        }
        let is_database = key.strip_prefix("db").is_some_and(|number| number.parse::<u16>().is_ok());
        let count = value.strip_prefix("keys=").and_then(|rest| rest.split(',').next());
        if let (true, Some(Ok(count))) = (is_database, count.map(str::parse)) {
            keys.insert(key.to_owned(), count);
        }
    }
    (format!("{name} {version}"), keys)
}

/// What the output of a producer begins with, whoever it was: a stream that begins otherwise is none of theirs.
pub const fn beginnings(kind: Kind) -> &'static [&'static [u8]] {
    match kind {
        Kind::Postgres => &[b"PGDMP"],
        Kind::Mariadb => mariadb::BEGINNINGS,
        Kind::Redis => &[b"REDIS"],
        Kind::Valkey => &[b"REDIS", b"VALKEY"],
    }
}

/// Why a program did not end well, from the end of what it wrote to standard error; a few lines without control characters.
pub fn reason(program: &str, code: i64, errors: &str) -> String {
    let lines: Vec<&str> = errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join("; ");
    let said: String = last.chars().filter(|c| !c.is_control()).take(REASON_MAX).collect();
    if said.is_empty() {
        return format!("{program} ended with code {code} and said nothing");
    }
    format!("{program} ended with code {code}: {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> TargetName {
        "disk-two".parse().expect("a name")
    }

    #[test]
    fn lines_of_a_session() {
        let opened = r#"{"version" : "15.18 (Debian 15.18-0+deb12u1)", "snapshot" : "00000003-00000008-1"}"#;
        assert_eq!(
            parse_line(opened),
            Some(Told::Opened {
                version: "PostgreSQL 15.18".to_owned(),
                snapshot: "00000003-00000008-1".to_owned()
            })
        );
        let rows = "{\"table\" : \"public.\\\"We ird\\\"\", \"rows\" : 7}\n";
        assert_eq!(parse_line(rows), Some(Told::Rows { table: "public.\"We ird\"".to_owned(), rows: 7 }));
        assert_eq!(parse_line(r#"{"counted" : true}"#), Some(Told::Counted));
        for other in
            ["", "0", "{}", "{\"rows\": 1}", "{\"version\": \"1\", \"snapshot\": \"1; DROP\"}", "BEGIN"]
        {
            assert_eq!(parse_line(other), None, "{other}");
        }
    }

    #[test]
    fn no_command_holds_more_than_names() {
        let dump = postgres_dump(&"db".parse().expect("a name"), "00000003-1").join(" ");
        assert_eq!(
            dump,
            "pg_dump --format=custom --compress=0 --no-password --lock-wait-timeout=60000 --snapshot=00000003-1 -U postgres -d db"
        );
        assert!(postgres_open(&target()).contains("application_name = 'havre backup disk-two'"));
        assert_eq!(
            redis_dump(Kind::Valkey, &target()).join(" "),
            "valkey-cli --rdb /data/.havre-backup-disk-two.rdb"
        );
    }

    #[test]
    fn files_are_named_after_what_is_in_them() {
        let what = |project: &str| What::Database {
            project: project.parse().expect("a name"),
            environment: "production".parse().expect("a name"),
            database: "db".parse().expect("a name"),
        };
        assert_eq!(file_name(&what("shop"), Some(Kind::Postgres)), "shop-production-db.dump");
        assert_eq!(file_name(&what("shop"), Some(Kind::Valkey)), "shop-production-db.rdb");
        assert_eq!(file_name(&what("shop"), Some(Kind::Mariadb)), "shop-production-db.sql");
        assert_eq!(file_name(&What::Platform, None), "platform.tar");
        assert_eq!(wal_file_name(&what("shop")), "shop-production-db-wal.tar");
        let base = crate::line::saved_in(&"base/shop/production/db".parse().expect("is one"));
        assert_eq!(base, what("shop"));
        let base: What = "base/shop/production/db".parse().expect("is one");
        assert_eq!(file_name(&base, Some(Kind::Postgres)), "shop-production-db-base.tar");
    }

    #[test]
    fn what_a_redis_says_of_itself() {
        let text = "# Server\r\nredis_version:7.0.15\r\n# Keyspace\r\ndb0:keys=12,expires=0,avg_ttl=0\r\ndb3:keys=1,expires=1\r\n";
        let (version, keys) = parse_redis_info(Kind::Redis, text);
        assert_eq!(version, "Redis 7.0.15");
        assert_eq!(keys, BTreeMap::from([("db0".to_owned(), 12), ("db3".to_owned(), 1)]));
        let text = "redis_version:7.2.4\r\nvalkey_version:8.0.1\r\ndbfilename:keys=9\r\n";
        assert_eq!(parse_redis_info(Kind::Valkey, text), ("Valkey 8.0.1".to_owned(), BTreeMap::new()));
    }

    #[test]
    fn the_last_lines_are_the_reason() {
        assert_eq!(reason("pg_dump", 1, "\n"), "pg_dump ended with code 1 and said nothing");
        let errors = "pg_dump: a\npg_dump: b\n\npg_dump: c\u{7}\npg_dump: d\npg_dump: error: e\n";
        assert_eq!(
            reason("pg_dump", 1, errors),
            "pg_dump ended with code 1: pg_dump: b; pg_dump: c; pg_dump: d; pg_dump: error: e"
        );
        assert!(reason("x", 2, &"y".repeat(10_000)).len() < 700);
    }
}
