//! `[databases.<name>]` and `uses` of `havre.toml`: what is understood, and what is said of what is not.

use havre_core::backup::policy::BackupPolicy;
use havre_core::database::spec::{DatabaseSpec, Kind, Persistence};
use havre_manifest::{Manifest, parse};

const FILE: &str = r#"
project = "shop"
[services.api]
image = "api:1"
uses = ["db", "cache"]
[databases.db]
engine = "postgres"
version = 16
memory = "1GB"
settings = { max_connections = 200, jit = false, timezone = "Europe/Paris" }
[databases.cache]
engine = "valkey"
persistence = "none"
[environments.staging]
databases.db = { memory = "256MB" }
"#;

fn understood(text: &str) -> Manifest {
    parse(text).unwrap_or_else(|error| panic!("must be understood:\n{error}"))
}

fn databases(environment: &str) -> Vec<DatabaseSpec> {
    understood(FILE).databases(&environment.parse().expect("a name"))
}

/// What is wrong with these lines of a database.
fn refused(lines: &str) -> String {
    let text = format!("project = \"shop\"\n[services.api]\nimage = \"api:1\"\n[databases.db]\n{lines}\n");
    parse(&text).expect_err("must be refused").to_string()
}

#[test]
fn databases_are_complete() {
    let found = databases("production");
    let [cache, db] = found.as_slice() else { panic!("there are two: {found:?}") };
    assert_eq!((cache.engine, cache.version, cache.persistence), (Kind::Valkey, 8, Persistence::None));
    assert_eq!(cache.memory.to_string(), "128MB");
    assert_eq!((db.engine, db.version, db.memory.to_string().as_str()), (Kind::Postgres, 16, "1GB"));
    let settings: Vec<String> = db.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(settings, ["jit=off", "max_connections=200", "timezone=Europe/Paris"]);
    assert_eq!(db.problems(), Vec::<String>::new());
}

#[test]
fn an_environment_may_give_another_memory() {
    assert_eq!(databases("staging")[1].memory.to_string(), "256MB");
    assert_eq!(databases("staging")[0], databases("production")[0]);
}

/// The policy of a database with these lines.
fn policy(lines: &str) -> Option<BackupPolicy> {
    let text = format!("project = \"shop\"\n[services.api]\nimage = \"a\"\n[databases.db]\n{lines}\n");
    understood(&text).databases(&"production".parse().expect("a name"))[0].backup.clone()
}

#[test]
fn postgres_is_backed_up_when_nothing_is_said() {
    assert_eq!(policy("engine = \"postgres\""), Some(BackupPolicy::of_postgres()));
    assert_eq!(policy("engine = \"postgres\"\nbackup = true"), Some(BackupPolicy::of_postgres()));
    assert_eq!(policy("engine = \"postgres\"\nbackup = {}"), Some(BackupPolicy::of_postgres()));
    assert_eq!(policy("engine = \"postgres\"\nbackup = false"), None);
    assert_eq!(policy("engine = \"redis\""), None, "it is taken for a cache");
    assert_eq!(policy("engine = \"redis\"\nbackup = true"), Some(BackupPolicy::of_postgres()));
}

#[test]
fn a_policy_says_how_often_what_stays_and_where() {
    let found = policy(
        "engine = \"postgres\"\nbackup = { every = \"6h\", keep = { last = 3, daily = 7, timezone = \"Europe/Paris\" }, \
         drill = \"7d\", point_in_time = \"14d\", assert = [\"select true\"], targets = [\"disk-two\"] }",
    );
    let found = serde_json::to_value(found).expect("is JSON");
    let keep = serde_json::json!({
        "last": 3, "hourly": 0, "daily": 7, "weekly": 0, "monthly": 0, "yearly": 0, "zone": "Europe/Paris",
    });
    let expected = serde_json::json!({
        "every": "6h", "keep": keep, "drill": "7d", "point_in_time": "14d", "assert": ["select true"], "targets": ["disk-two"],
    });
    assert_eq!(found, expected);
}

#[test]
fn every_second_of_a_week_when_no_time_is_said() {
    let window = |said: &str| {
        let lines = format!("engine = \"postgres\"\nbackup = {{ point_in_time = {said} }}");
        policy(&lines).expect("is a policy").point_in_time.map(|window| window.to_string())
    };
    assert_eq!(
        (window("true").as_deref(), window("false"), window("\"2d\"").as_deref()),
        (Some("7d"), None, Some("2d"))
    );
}

#[test]
fn services_use_them_in_the_order_of_the_file() {
    let specs = understood(FILE).resolve(&"production".parse().expect("a name")).expect("is in the file");
    let uses: Vec<&str> = specs[0].uses().iter().map(|name| name.as_str()).collect();
    assert_eq!(uses, ["db", "cache"]);
}

#[test]
fn the_newest_version_is_taken_when_none_is_named() {
    let text = "project = \"shop\"\n[services.api]\nimage = \"a\"\n[databases.db]\nengine = \"postgres\"\n";
    let found = understood(text).databases(&"production".parse().expect("a name"));
    assert_eq!((found[0].version, found[0].reference().as_str()), (18, "postgres:18"));
}

#[test]
fn a_mariadb_is_named_by_its_series_and_is_backed_up() {
    for (version, image) in [
        ("", "mariadb:11.8"),
        ("10.11", "mariadb:10.11"),
        ("\"10\"", "mariadb:10.11"),
        ("11", "mariadb:11.8"),
    ] {
        let version = if version.is_empty() { String::new() } else { format!("version = {version}\n") };
        let text = format!(
            "project = \"shop\"\n[services.api]\nimage = \"a\"\n[databases.db]\nengine = \"mariadb\"\n{version}\
             settings = {{ innodb_buffer_pool_size = \"1G\", sql_mode = \"STRICT_TRANS_TABLES,NO_ZERO_DATE\" }}\n"
        );
        let found = understood(&text).databases(&"production".parse().expect("a name"));
        assert_eq!(found[0].reference().as_str(), image);
        assert_eq!(found[0].backup, Some(BackupPolicy::of_postgres()));
    }
}

#[test]
fn what_is_wrong_has_a_way_out() {
    for (lines, said) in [
        ("", "`databases.db` does not say which server it is"),
        ("engine = \"postgre\"", "did you mean \"postgres\"?"),
        ("engine = \"postgres\"\nversion = \"13\"", "Havre knows no postgres 13"),
        ("engine = \"postgres\"\nmemory = \"64MB\"", "the least of postgres is 128MB"),
        ("engine = \"postgres\"\npersistence = \"rdb\"", "postgres always keeps everything"),
        ("engine = \"postgres\"\nbackup = { wal = true }", "did you mean `point_in_time`?"),
        ("engine = \"postgres\"\nbackup = { point_in_time = \"1h\" }", "must be between 1d and 366d"),
        ("engine = \"redis\"\nbackup = { point_in_time = true }", "it is for postgres"),
        ("engine = \"postgres\"\nbackup = \"daily\"", "expected a table"),
        ("engine = \"postgres\"\nbackup = { every = \"1m\" }", "must be between 15m and 366d"),
        ("engine = \"postgres\"\nbackup = { retention = { daily = 1 } }", "did you mean `keep`?"),
        ("engine = \"postgres\"\nbackup = { keep = {} }", "keeps nothing"),
        ("engine = \"postgres\"\nbackup = { keep = { dayly = 7 } }", "did you mean `daily`?"),
        (
            "engine = \"postgres\"\nbackup = { keep = { daily = 1, timezone = \"Europe/Pariss\" } }",
            "Europe/Paris",
        ),
        ("engine = \"postgres\"\nbackup = { drill = \"1m\" }", "must be between 1h and 366d"),
        ("engine = \"postgres\"\nbackup = { assert = \"select true\" }", "expected a list of SQL statements"),
        ("engine = \"postgres\"\nbackup = { assert = [\" \"] }", "a statement is empty"),
        ("engine = \"postgres\"\nbackup = { targets = [] }", "names no target"),
        ("engine = \"postgres\"\nbackup = { targets = [\"a\", \"a\"] }", "a is named twice"),
        ("engine = \"postgres\"\nbackup = { targets = [\"A\"] }", "is not a valid backup target name"),
        ("engine = \"postgres\"\nsettings = { max_conections = 1 }", "did you mean `max_connections`?"),
        (
            "engine = \"postgres\"\nsettings = { archive_command = \"x\" }",
            "is not a setting of postgres that may be set",
        ),
        (
            "engine = \"postgres\"\nsettings = { work_mem = \"4MB; x\" }",
            "a setting is 1 to 100 of the characters",
        ),
        (
            "engine = \"redis\"\nsettings = { work_mem = \"4MB\" }",
            "is not a setting of redis that may be set",
        ),
        ("engine = \"mariadb\"\nversion = \"9\"", "major versions are: \"10.11\", \"11.8\""),
        ("engine = \"mariadb\"\npersistence = \"rdb\"", "mariadb always keeps everything"),
        ("engine = \"mariadb\"\nsettings = { event_scheduler = \"ON\" }", "is not a setting of mariadb"),
        ("engine = \"redis\"\n[databases.sys]\nengine = \"mariadb\"", "every MariaDB server has by itself"),
        ("engine = \"redis\"\nbackup = { assert = [\"select true\"] }", "is SQL, which redis does not speak"),
        ("engine = \"redis\"\n[databases.api]\nengine = \"redis\"", "each needs a name of its own"),
        ("engine = \"redis\"\n[databases.postgres]\nengine = \"postgres\"", "has by itself"),
        (
            "engine = \"redis\"\n[environments.staging]\ndatabases.bd = { memory = \"1GB\" }",
            "did you mean `db`?",
        ),
    ] {
        let text = refused(lines);
        assert!(text.contains(said), "{lines}:\n{text}");
    }
}

#[test]
fn a_service_uses_what_is_there() {
    let refused = |service: &str| {
        let text = format!(
            "project = \"shop\"\n[services.api]\nimage = \"api:1\"\n{service}\n[databases.db]\nengine = \"postgres\"\n"
        );
        parse(&text).expect_err("must be refused").to_string()
    };
    let text = refused("uses = [\"bd\"]");
    assert!(
        text.contains("`bd` is no database of this file") && text.contains("did you mean \"db\"?"),
        "{text}"
    );
    assert!(refused("uses = [\"db\", \"db\"]").contains("db is named twice"));
    let text = refused("uses = [\"db\"]\nenv = { DATABASE_URL = \"x\" }");
    assert!(text.contains("sets DATABASE_URL itself"), "{text}");
}
