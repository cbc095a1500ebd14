//! What real servers say about themselves: what is large, what is slow, what has stayed behind, and never a value that somebody has stored.

use havre_api::database::{Database, DatabaseInsight};
use havre_api::environment::ApplyResponse;
use havre_decide::database::insight::Facts;
use havre_decide::database::insight::redis::RedisFacts;
use havre_decide::database::insight::sql::SqlFacts;
use hyper::Method;
use serde_json::{Value, json};

use crate::world::docker::{docker, need};
use crate::world::{ENVIRONMENT, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives them.
const POSTGRES: &str = "postgres:15";
const MARIADB: &str = "mariadb:10.11";
const REDIS: &str = "redis:7";
/// Three quarters of the rows are dead, and nobody takes them away; statements of a role that is no superuser. With the last one PostgreSQL keeps the
/// whole text, values of the others included.
const FILL_POSTGRES: &str = "CREATE ROLE reader LOGIN; GRANT CREATE ON SCHEMA public TO reader; SET SESSION AUTHORIZATION reader; \
    CREATE TABLE orders (id int PRIMARY KEY, email text) WITH (autovacuum_enabled = off); \
    INSERT INTO orders SELECT n, 'ada' || n || '@example.org' FROM generate_series(1, 20000) n; DELETE FROM orders WHERE id > 5000; \
    SELECT count(*) FROM orders WHERE email = 'ada1@example.org' /* ada1@example.org */; \
    EXPLAIN SELECT * FROM orders WHERE email = 'ada2@example.org'";
const FILL_MARIADB: &str = "CREATE TABLE notes (id INT PRIMARY KEY, email VARCHAR(99), KEY by_email (email)); \
    INSERT INTO notes SELECT seq, CONCAT('ada', seq, '@example.org') FROM seq_1_to_5000; \
    SELECT COUNT(*) FROM notes WHERE email = 'ada1@example.org'; ANALYZE TABLE notes";

/// Makes a database; its container, once it answers.
async fn make(world: &World, spec: Value) -> String {
    let name = spec["name"].as_str().expect("a name").to_owned();
    let _: ApplyResponse =
        world.api.send(Method::PUT, ENVIRONMENT, &json!({ "services": [], "databases": [spec] })).await;
    let look = async || {
        let found = world.api.find::<Database>(&format!("{ENVIRONMENT}/databases/{name}")).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    let found = until("the database answers", look).await;
    format!("havre-{}-{}-{name}-production-e2e", found.id, found.task)
}

/// What the server says; all of it was told, and nothing of what was stored is in it.
async fn told(world: &World, name: &str) -> DatabaseInsight {
    let insight: DatabaseInsight = world.api.get(&format!("{ENVIRONMENT}/databases/{name}/insight")).await;
    assert_eq!(insight.missing, [""; 0]);
    let text = serde_json::to_string(&insight).expect("is JSON");
    assert!(!text.contains("ada"), "{text}");
    insight
}

fn sql(insight: DatabaseInsight) -> SqlFacts {
    match insight.facts {
        Facts::Sql(facts) => *facts,
        Facts::Redis(facts) => panic!("{facts:?}"),
    }
}

fn redis(insight: DatabaseInsight) -> RedisFacts {
    match insight.facts {
        Facts::Redis(facts) => facts,
        Facts::Sql(facts) => panic!("{facts:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_says_what_is_wrong_with_it() {
    need(POSTGRES);
    let world = World::start_sealed().await;
    let spec =
        json!({ "name": "looked", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1" });
    let container = make(&world, spec).await;
    let psql = |words: &[&str]| {
        let start = ["exec", container.as_str(), "psql", "-X", "-U", "postgres", "-d", "looked"];
        docker(&[start.as_slice(), words].concat()).expect("psql runs")
    };
    psql(&["-v", "ON_ERROR_STOP=1", "-c", FILL_POSTGRES]);
    // Its counters are a little behind.
    let looked = until("the dead rows are counted", async || {
        let insight = told(&world, "looked").await;
        insight.hints.iter().any(|hint| hint.starts_with("table orders")).then_some(insight)
    });
    let insight = looked.await;
    let hint = &insight.hints[0];
    assert!(
        hint.starts_with("table orders has never been vacuumed, and 75 % of it are 15000 dead rows"),
        "{hint}"
    );
    let facts = sql(insight);
    assert!(facts.version.starts_with("15."), "{}", facts.version);
    assert!(facts.size_bytes.is_some_and(|bytes| bytes > 1 << 20), "{facts:?}");
    assert_eq!((facts.largest[0].name.as_str(), facts.connections_max), ("orders", 100));
    let statements = facts.statements.expect("Havre's own settings keep an account");
    let counted = "SELECT count(*) FROM orders WHERE email = $1";
    assert!(statements.iter().any(|one| one.text == counted && one.calls == 1), "{statements:?}");
    // The view of them is beside the database: a copy of the database does not hold it.
    let extensions =
        psql(&["-Atc", "SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements'"]);
    assert_eq!(extensions.trim(), "0");

    psql(&["-c", "VACUUM orders"]);
    until("it is vacuumed", async || told(&world, "looked").await.hints.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_says_what_is_large_and_slow() {
    need(MARIADB);
    let world = World::start_sealed().await;
    let settings = json!({ "performance_schema": "on" });
    let spec = json!({ "name": "marie-looked", "engine": "mariadb", "version": 10, "memory": "512MB", "cpus": "1",
        "settings": settings });
    let container = make(&world, spec).await;
    let start = ["exec", container.as_str(), "mariadb", "--no-defaults", "--protocol=socket", "--user=root"];
    docker(&[start.as_slice(), &["marie-looked", "-e", FILL_MARIADB]].concat()).expect("the statements run");
    let facts = sql(told(&world, "marie-looked").await);
    assert!(facts.size_bytes.is_some_and(|bytes| bytes > 1 << 16), "{facts:?}");
    let names: Vec<&str> = facts.largest.iter().map(|one| one.name.as_str()).collect();
    assert!(names.contains(&"notes"), "{names:?}");
    let statements = facts.statements.expect("it keeps an account");
    let counted = "SELECT COUNT ( * ) FROM `notes` WHERE";
    assert!(statements.iter().any(|one| one.text.starts_with(counted)), "{statements:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_says_names_of_commands_only() {
    need(REDIS);
    let world = World::start_sealed().await;
    let settings = json!({ "slowlog-log-slower-than": "0" });
    let spec = json!({ "name": "cache-looked", "engine": "redis", "version": 7, "memory": "64MB", "cpus": "1",
        "settings": settings });
    let container = make(&world, spec).await;
    docker(&["exec", &container, "redis-cli", "SET", "person", "ada@example.org"]).expect("the client runs");
    let facts = redis(told(&world, "cache-looked").await);
    assert_eq!((facts.keys, facts.limit_bytes, facts.policy.as_str()), (1, 48 << 20, "noeviction"));
    assert!(facts.slow.iter().any(|one| one.command == "SET"), "{:?}", facts.slow);
}
