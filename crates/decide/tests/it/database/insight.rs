//! What servers said about themselves: `insight/` holds answers of real ones, to exactly what is asked of them.

use havre_core::database::spec::{DatabaseSpec, Kind};
use havre_core::time::Timestamp;
use havre_decide::database::insight::hint::hints;
use havre_decide::database::insight::redis::RedisFacts;
use havre_decide::database::insight::sql::{RelationKind, SqlFacts};
use havre_decide::database::insight::{Facts, LIST_MAX, Reading, question, read};
use proptest::prelude::*;
use serde_json::json;

const POSTGRES_15: &str = include_str!("insight/postgres-15.txt");
/// Without statements, archive and slots, and with an empty database.
const POSTGRES_17: &str = include_str!("insight/postgres-17.txt");
const MARIADB: &str = include_str!("insight/mariadb.txt");
/// Without `performance_schema`.
const MARIADB_PLAIN: &str = include_str!("insight/mariadb-plain.txt");
/// Full, with a slow log of everything.
const REDIS_7: &str = include_str!("insight/redis-7.txt");
const VALKEY_8: &str = include_str!("insight/valkey-8.txt");

const KINDS: [Kind; 4] = [Kind::Postgres, Kind::Mariadb, Kind::Redis, Kind::Valkey];

fn spec(engine: Kind) -> DatabaseSpec {
    let version = engine.versions()[0];
    let json = json!({"name": "my-db", "engine": engine, "version": version, "memory": "512MB", "cpus": "1"});
    serde_json::from_value(json).expect("is a specification")
}

/// All of the answer was understood.
fn whole(engine: Kind, answer: &str) -> Facts {
    let Reading { facts, missing } = read(engine, answer, "").expect("it says who it is");
    assert_eq!(missing, [""; 0]);
    facts
}

fn sql(engine: Kind, answer: &str) -> SqlFacts {
    match whole(engine, answer) {
        Facts::Sql(facts) => *facts,
        Facts::Redis(facts) => panic!("{facts:?}"),
    }
}

fn redis(engine: Kind, answer: &str) -> RedisFacts {
    match whole(engine, answer) {
        Facts::Redis(facts) => facts,
        Facts::Sql(facts) => panic!("{facts:?}"),
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("is an instant")
}

#[test]
fn a_postgres() {
    let facts = sql(Kind::Postgres, POSTGRES_15);
    assert_eq!(facts.version, "15.18 (Debian 15.18-0+deb12u1)");
    assert_eq!((facts.size_bytes, facts.connections_max, facts.connected()), (Some(23_215_463), 100, 1));
    assert_eq!((facts.hits, facts.reads, facts.deadlocks), (587_822, 2_212, Some(0)));
    let largest: Vec<_> = facts.largest.iter().map(|one| (one.kind, one.name.as_str(), one.bytes)).collect();
    assert_eq!(
        largest,
        [
            (RelationKind::Table, "orders", 9_486_336),
            (RelationKind::Index, "orders_email_key", 3_661_824),
            (RelationKind::Index, "orders_pkey", 1_589_248),
            (RelationKind::Table, "app.events", 761_856),
            (RelationKind::Table, "odd \"name", 0),
        ]
    );
    let open = facts.oldest_transaction.expect("one is open");
    assert_eq!((open.role.as_str(), open.state.as_str(), open.age_ms), ("postgres", "active", 851_010));
    let orders = &facts.tables[0];
    assert_eq!((orders.name.as_str(), orders.live, orders.dead), ("orders", 49_001, 999));
    assert_eq!((orders.dead_bytes, orders.vacuumed_at), (188_719, Some(at("2026-11-27T14:55:43.651Z"))));
    assert_eq!(facts.tables[2].vacuumed_at, None, "never");
    let archive = facts.archive.expect("it hands WAL out");
    assert_eq!((archive.files, archive.failures, archive.archived_at), (0, 45, None));
    assert_eq!((facts.slots[0].name.as_str(), facts.slots[0].is_active), ("gone", false));
    let statements = facts.statements.expect("it keeps account");
    assert_eq!(statements[1].text, "SELECT pg_sleep($1), $2");
    assert_eq!((statements[1].calls, statements[1].mean_us()), (1, 201_261));
    assert!(statements.is_sorted_by(|a, b| a.total_us >= b.total_us));
    assert!(POSTGRES_15.contains("ada@example.org"), "a comment that PostgreSQL leaves in");
    let shown = serde_json::to_string(&statements).expect("is JSON");
    assert!(!shown.contains("ada"), "{shown}");
}

#[test]
fn a_postgres_that_keeps_no_account() {
    let facts = sql(Kind::Postgres, POSTGRES_17);
    assert!(facts.version.starts_with("17."), "{}", facts.version);
    assert_eq!((facts.statements, facts.archive, facts.oldest_transaction), (None, None, None));
    assert_eq!((facts.largest, facts.tables, facts.slots), (Vec::new(), Vec::new(), Vec::new()));
}

#[test]
fn a_mariadb() {
    let facts = sql(Kind::Mariadb, MARIADB);
    assert!(facts.version.starts_with("10.11."), "{}", facts.version);
    assert_eq!((facts.size_bytes, facts.connections_max, facts.slow), (Some(3_178_496), 151, Some(0)));
    let names: Vec<&str> = facts.largest.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["notes", "notes.by_text"]);
    let statements = facts.statements.expect("it keeps account");
    let texts: Vec<&str> = statements.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "SELECT `SLEEP` (?) , ?, ...",
            "INSERT INTO `notes` ( TEXT ) SELECT `CONCAT` ( ? , `seq` ) FROM `seq_1_to_5000`",
            "SELECT COUNT ( * ) FROM `notes` WHERE TEXT = ?",
        ]
    );
    let plain = sql(Kind::Mariadb, MARIADB_PLAIN);
    assert_eq!(plain.statements, None);
    assert_eq!(plain.oldest_transaction.expect("one is open").role, "root");
}

#[test]
fn a_redis_that_is_full() {
    let facts = redis(Kind::Redis, REDIS_7);
    assert_eq!((facts.version.as_str(), facts.policy.as_str()), ("7.0.15", "noeviction"));
    assert_eq!((facts.used_bytes, facts.limit_bytes, facts.evicted), (27_896_616, 20_000_000, 0));
    assert_eq!((facts.keys, facts.keys_expiring, facts.clients_max), (100_001, 100_000, 10_000));
    assert!(facts.is_saved);
    assert_eq!(facts.slow.len(), LIST_MAX);
    let slowest = facts.slow.iter().max_by_key(|one| one.took_us).expect("some");
    assert_eq!((slowest.command.as_str(), slowest.took_us), ("EVAL", 775_994));
    assert_eq!(slowest.at, at("2026-11-27T14:58:54Z"));
    let said = hints(&Facts::Redis(facts), at("2026-11-27T15:00:00Z"));
    assert_eq!(said, ["memory at 139 %: 26.6 MB of 19.0 MB; beyond it, writes are refused"]);
}

#[test]
fn a_valkey() {
    let facts = redis(Kind::Valkey, VALKEY_8);
    assert_eq!((facts.version.as_str(), facts.keys), ("8.1.1", 1));
    let commands: Vec<&str> = facts.slow.iter().map(|one| one.command.as_str()).collect();
    assert_eq!(commands, ["SLOWLOG", "INFO", "SET"]);
}

#[test]
fn what_is_wrong_with_the_postgres() {
    let facts = whole(Kind::Postgres, POSTGRES_15);
    let now = at("2026-11-27T15:20:00Z");
    assert_eq!(
        hints(&facts, now),
        [
            "finished WAL cannot be handed out, last tried 11 minutes ago: it stays on the volume until it can, see `havre db logs`"
        ]
    );
}

#[test]
fn what_could_not_be_told_is_said_beside_what_could() {
    let errors = "ERROR:  canceling statement due to lock timeout\n";
    let reading = read(Kind::Postgres, POSTGRES_15, errors).expect("most of it");
    assert_eq!(reading.missing, ["ERROR:  canceling statement due to lock timeout"]);
    // Its output is cut off at some length.
    let reading = read(Kind::Postgres, &POSTGRES_15[..POSTGRES_15.len() - 20], "").expect("most of it");
    assert_eq!(reading.missing, ["1 lines of its answer"]);
    let refused = "LOADING Redis is loading the dataset in memory\n";
    assert_eq!(
        read(Kind::Redis, refused, "").expect_err("nothing"),
        "LOADING Redis is loading the dataset in memory"
    );
    assert_eq!(read(Kind::Mariadb, "", "").expect_err("nothing"), "its client said nothing");
    let gone = "psql: error: connection to server on socket failed: No such file or directory\n";
    assert!(read(Kind::Postgres, "", gone).expect_err("nothing").contains("No such file"));
}

#[test]
fn nothing_is_asked_that_changes_a_database() {
    for kind in KINDS {
        let question = question(&spec(kind));
        for word in ["INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "GRANT", "CONFIG", "FLUSH"] {
            assert!(!question.input.contains(word), "{kind}: {word}");
        }
    }
    let postgres = question(&spec(Kind::Postgres));
    assert_eq!(postgres.input.matches("CREATE").count(), 1);
    let (own, maintenance) = postgres.input.split_once("\\connect postgres\n").expect("it changes over");
    assert!(own.contains("SET default_transaction_read_only = on;"));
    assert!(maintenance.contains("CREATE EXTENSION IF NOT EXISTS pg_stat_statements"));
    // Whatever stands in a database cannot take the place of what is meant.
    for part in [own, maintenance] {
        assert!(part.contains("SET search_path = pg_catalog, pg_temp;"));
    }
    let mariadb = question(&spec(Kind::Mariadb));
    assert!(mariadb.input.contains("TABLE_SCHEMA = 'my-db'") && !mariadb.input.contains(":database"));
}

proptest! {
    #[test]
    fn whatever_is_said_is_read_and_stays_short(lines in proptest::collection::vec(".{0,60}", 0..40), cut in 0_usize..3000) {
        let mut answer = lines.join("\n");
        let cut = (0..=cut.min(POSTGRES_15.len())).rev().find(|at| POSTGRES_15.is_char_boundary(*at)).unwrap_or(0);
        answer.push_str(&POSTGRES_15[..cut]);
        answer.push_str(REDIS_7);
        for kind in KINDS {
            if let Ok(reading) = read(kind, &answer, "") {
                prop_assert!(reading.missing.len() <= LIST_MAX + 1);
                prop_assert!(serde_json::to_string(&reading.facts).expect("is JSON").len() < 20_000);
            }
        }
    }
}
