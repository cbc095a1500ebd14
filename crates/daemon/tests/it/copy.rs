//! A real PostgreSQL: a copy of production without its people becomes the database of staging, what no rule speaks of leaves staging as it
//! was, and control may die meanwhile. Dumps go out and in again, and what belongs to one person is exported and erased.

use havre_api::copy::{Copy, CopyResponse, PersonErased};
use havre_api::database::{ConsoleRequest, Database};
use havre_api::environment::ApplyResponse;
use havre_api::frame::{Decoder, Encoder, Frame};
use havre_core::copy::state::State;
use hyper::Method;
use serde_json::{Value, json};

use crate::world::docker::{docker, need};
use crate::world::{ENVIRONMENT, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const POSTGRES: &str = "postgres:15";
const STAGING: &str = "/v1/projects/e2e/environments/staging";

/// People, what they ordered, and the same address inside of JSON.
const PEOPLE: &str = "CREATE TABLE users (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text UNIQUE NOT NULL, \
    name text NOT NULL, profile jsonb NOT NULL);\n\
    CREATE TABLE orders (id integer PRIMARY KEY, user_id integer NOT NULL REFERENCES users (id), status text NOT NULL);\n\
    INSERT INTO users (email, name, profile) SELECT 'person' || n || '@production.example', 'Zoltan Xanthopoulos' || n, \
    jsonb_build_object('email', 'person' || n || '@production.example', 'city', 'Hometown' || n, 'plan', 'free') \
    FROM generate_series(1, 500) AS n;\n\
    INSERT INTO orders SELECT n, 1 + n % 500, 'paid' FROM generate_series(1, 2000) AS n;\n";
const RULES: &str = "[tables.\"public.users\".columns]\nemail = \"email\"\nname = \"name\"\n\
    profile = { json = { \"/email\" = \"email\", \"/city\" = \"hash\" } }\n";

/// Both environments with their database, the one of production with people in it.
async fn both() -> World {
    need(POSTGRES);
    let world = World::start_sealed().await;
    for environment in [ENVIRONMENT, STAGING] {
        let db = json!({ "name": "db", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1" });
        let request = json!({ "services": [], "databases": [db] });
        let _: ApplyResponse = world.api.send(Method::PUT, environment, &request).await;
    }
    for environment in [ENVIRONMENT, STAGING] {
        ready(&world, environment).await;
    }
    sql(&world, ENVIRONMENT, PEOPLE).await;
    sql(&world, STAGING, "CREATE TABLE marker (text text); INSERT INTO marker VALUES ('of staging');\n")
        .await;
    world
}

/// The database of an environment once it answers.
async fn ready(world: &World, environment: &str) -> Database {
    let path = format!("{environment}/databases/db");
    let look = async || {
        let found = world.api.find::<Database>(&path).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    until("the database answers", look).await
}

/// What SQL answers there, said as the superuser.
async fn sql(world: &World, environment: &str, text: &str) -> String {
    let args = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"].map(str::to_owned).to_vec();
    let request = ConsoleRequest { args, terminal: None };
    let path = format!("{environment}/databases/db/console");
    let (said, wrong) = world.api.session(&path, &request, text.as_bytes()).await.text();
    assert_eq!(wrong, "", "{text}");
    said
}

async fn ask(world: &World, keys: Value) -> Copy {
    let mut request = json!({ "from": "production", "policy": RULES });
    for (key, value) in keys.as_object().expect("is a table") {
        request[key] = value.clone();
    }
    let path = format!("{STAGING}/databases/db/copies");
    let answer: CopyResponse = world.api.send(Method::POST, &path, &request).await;
    answer.copy.expect("it is no dry run")
}

/// The copy once it has ended.
async fn ended(world: &World, copy: &Copy) -> Copy {
    let path = format!("/v1/copies/{}", copy.id);
    let look = async || world.api.find::<Copy>(&path).await.filter(|copy| copy.is_final);
    until("the copy ends", look).await
}

/// Everything the database of staging holds, as text.
fn dump(database: &Database) -> String {
    let container = format!("havre-{}-{}-db-staging-e2e", database.id, database.task);
    docker(&["exec", &container, "pg_dump", "-U", "postgres", "-d", "db"]).expect("it is dumped")
}

const DATABASES: &str = "SELECT datname FROM pg_database WHERE datname LIKE 'db%' ORDER BY 1;\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staging_becomes_production_without_its_people() {
    let world = both().await;
    let copy = ended(&world, &ask(&world, json!({})).await).await;
    let State::Succeeded { report, .. } = &copy.state else {
        panic!("{}: {}", copy.state.name(), copy.failure)
    };
    assert_eq!(report.tables.iter().map(|table| table.copied).collect::<Vec<_>>(), [2000, 500]);
    assert!(report.remembered >= 1000, "{report:?}");
    assert!(report.leaks.is_empty(), "{report:?}");

    let staging = ready(&world, STAGING).await;
    let text = dump(&staging);
    for original in ["production.example", "Xanthopoulos", "Hometown"] {
        assert!(!text.contains(original), "{original} stands in staging");
    }
    assert!(text.contains("@example.invalid"), "people are there, under other names");
    let whole = "SELECT count(*), count(DISTINCT u.id) FROM orders o JOIN users u ON u.id = o.user_id;\n";
    assert_eq!(sql(&world, STAGING, whole).await, "2000|500\n");
    let same = "SELECT count(*) FROM users WHERE profile->>'email' = email AND profile->>'plan' = 'free';\n";
    assert_eq!(sql(&world, STAGING, same).await, "500\n", "the same value became the same");
    let owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public';\n";
    assert_eq!(sql(&world, STAGING, owner).await, "app\n");
    let next = "INSERT INTO users (email, name, profile) VALUES ('a@b.example', 'a', '{}') RETURNING id;\n";
    assert_eq!(sql(&world, STAGING, next).await, "501\n", "sequences go on");

    let before = copy.before.clone().expect("it stays");
    assert_eq!(sql(&world, STAGING, DATABASES).await, format!("db\n{before}\n"));
    let marker = format!("\\connect {before}\nSELECT text FROM marker;\n");
    assert_eq!(sql(&world, STAGING, &marker).await, "of staging\n");
    let people = "SELECT count(*) FROM users WHERE email LIKE '%@production.example';\n";
    assert_eq!(sql(&world, ENVIRONMENT, people).await, "500\n", "production is as it was");

    // The same salt, the same masks; and this time nothing stays.
    let first = sql(&world, STAGING, "SELECT email FROM users WHERE id = 1;\n").await;
    let copy = ended(&world, &ask(&world, json!({ "drop_old": true })).await).await;
    assert_eq!(copy.state.name(), "succeeded", "{}", copy.failure);
    assert_eq!(sql(&world, STAGING, "SELECT email FROM users WHERE id = 1;\n").await, first);
    assert_eq!(sql(&world, STAGING, DATABASES).await, format!("db\n{before}\n"));
    assert_eq!(
        sql(&world, STAGING, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'havre_load';\n").await,
        "f\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_rule_speaks_of_leaves_staging_as_it_was() {
    let world = both().await;
    let add = "ALTER TABLE users ADD phone text; UPDATE users SET phone = '+33612345678';\n";
    sql(&world, ENVIRONMENT, add).await;
    let copy = ended(&world, &ask(&world, json!({})).await).await;
    assert_eq!(copy.state.name(), "failed");
    assert!(copy.failure.contains("phone = \"phone\""), "{}", copy.failure);
    assert_eq!(sql(&world, STAGING, "SELECT text FROM marker;\n").await, "of staging\n");
    assert_eq!(sql(&world, STAGING, DATABASES).await, "db\n");

    // What an address looks like is found by what stands in it as well, and it never got there.
    let add = "ALTER TABLE users DROP phone; ALTER TABLE orders ADD remark text; \
        UPDATE orders SET remark = 'person7@production.example' WHERE id = 1999;\n";
    sql(&world, ENVIRONMENT, add).await;
    let copy = ended(&world, &ask(&world, json!({})).await).await;
    assert!(copy.failure.contains("remark"), "{}", copy.failure);
    assert_eq!(sql(&world, STAGING, DATABASES).await, "db\n");
    assert!(!dump(&ready(&world, STAGING).await).contains("production.example"));

    // A kept column may still hold what was masked elsewhere: the leak test says so.
    let rules = format!("{RULES}\n[tables.\"public.orders\".columns]\nremark = \"keep\"\n");
    let copy = ended(&world, &ask(&world, json!({ "policy": rules })).await).await;
    assert!(copy.failure.contains("public.users.email: p*** (26 characters), 1 times"), "{}", copy.failure);
    assert_eq!(sql(&world, STAGING, DATABASES).await, "db\n", "nothing half is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_while_it_copies_finishes_it() {
    let mut world = both().await;
    let more = "INSERT INTO users (email, name, profile) SELECT 'more' || n || '@production.example', 'Zoltan Xanthopoulos', '{}' \
        FROM generate_series(1, 100000) AS n;\n";
    sql(&world, ENVIRONMENT, more).await;
    let asked = ask(&world, json!({})).await;
    let path = format!("/v1/copies/{}", asked.id);
    let begun = async || world.api.find::<Copy>(&path).await.filter(|copy| copy.attempt > 0);
    until("it has begun", begun).await;
    world.process("control").kill();
    world.start_control().await;
    let copy = ended(&world, &asked).await;
    assert_eq!(copy.state.name(), "succeeded", "{}", copy.failure);
    assert_eq!(sql(&world, STAGING, "SELECT count(*) FROM users;\n").await, "100500\n");
    let before = copy.before.expect("it stays");
    assert_eq!(sql(&world, STAGING, DATABASES).await, format!("db\n{before}\n"), "nothing half is left");
}

/// What a stream of frames holds, and whether it came to its end.
async fn stream(world: &World, path: &str, body: &Value) -> (Vec<u8>, bool) {
    let body = serde_json::to_vec(body).expect("JSON");
    let (status, answer) = world.api.call(Method::POST, path, body).await.expect("control answers");
    assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&answer));
    let mut decoder = Decoder::default();
    decoder.push(&answer);
    let (mut data, mut is_whole) = (Vec::new(), false);
    while let Some(frame) = decoder.next_frame().expect("frames") {
        match frame {
            Frame::Data(bytes) => data.extend_from_slice(&bytes),
            Frame::End => is_whole = true,
            Frame::Failed(error) => panic!("{path}: {}", error.message),
        }
    }
    (data, is_whole)
}

/// Sends a dump to staging; how it ended.
async fn import(world: &World, query: &str, dump: &[u8]) -> Copy {
    let mut encoder = Encoder::default();
    let mut body = encoder.data(dump);
    body.extend(encoder.end());
    let path = format!("{STAGING}/databases/db/imports{query}");
    let (status, answer) = world.api.call(Method::POST, &path, body).await.expect("control answers");
    assert!(status.is_success(), "{status} {}", String::from_utf8_lossy(&answer));
    let copy: Copy = serde_json::from_slice(&answer).expect("a copy");
    ended(world, &copy).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_dumped_is_taken_in_as_it_was_and_never_over_what_is_there() {
    let world = both().await;
    let sum = "SELECT count(*), md5(string_agg(u::text, ',' ORDER BY id)) FROM users u;\n";
    let original = sql(&world, ENVIRONMENT, sum).await;
    for (number, format) in ["plain", "custom"].into_iter().enumerate() {
        let path = format!("{ENVIRONMENT}/databases/db/dump");
        let (dump, is_whole) = stream(&world, &path, &json!({ "format": format })).await;
        assert!(is_whole, "{format}");

        let refused = import(&world, "", &dump).await;
        assert!(refused.failure.contains("is not empty"), "{format}: {}", refused.failure);
        assert_eq!(sql(&world, STAGING, "SELECT text FROM marker;\n").await, "of staging\n");

        let beside = import(&world, &format!("?as=db{number}"), &dump).await;
        assert_eq!(beside.state.name(), "succeeded", "{format}: {}", beside.failure);
        let there = format!("\\connect db{number}\n{sum}");
        assert_eq!(sql(&world, STAGING, &there).await, original, "{format}");

        let half = import(&world, "?as=half", &dump[..dump.len() / 2]).await;
        assert_eq!(half.state.name(), "failed", "{format}: half a dump is none");
    }
    assert_eq!(sql(&world, STAGING, DATABASES).await, "db\ndb0\ndb1\n", "nothing half is left");

    sql(&world, STAGING, "DROP TABLE marker;\n").await;
    let path = format!("{ENVIRONMENT}/databases/db/dump");
    let (dump, _) = stream(&world, &path, &json!({})).await;
    let newer = String::from_utf8(dump.clone()).expect("text").replacen(
        "database version 15",
        "database version 99",
        1,
    );
    let refused = import(&world, "", newer.as_bytes()).await;
    assert!(refused.failure.contains("of PostgreSQL 99, newer than 15"), "{}", refused.failure);
    let taken = import(&world, "", &dump).await;
    assert_eq!(taken.state.name(), "succeeded", "{}", taken.failure);
    assert_eq!(sql(&world, STAGING, sum).await, original);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_a_person_is_exported_and_erased_as_a_whole() {
    let world = both().await;
    let rules = "[person]\nkey = \"email\"\n[person.tables.\"public.users\"]\nby = \"email\"\nerase = \"delete\"\n\
        [person.tables.\"public.orders\"]\nby = \"user_id\"\nthrough = { table = \"public.users\", column = \"id\" }\n\
        erase = \"delete\"\n";
    let person = "person7@production.example";
    let request = |dry_run: bool| json!({ "policy": rules, "person": person, "dry_run": dry_run });
    let path = format!("{ENVIRONMENT}/databases/db/person");
    let (lines, is_whole) = stream(&world, &format!("{path}/export"), &request(false)).await;
    assert!(is_whole);
    let lines: Vec<Value> = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("an object"))
        .collect();
    assert_eq!(lines.len(), 5, "one person, four orders");
    assert_eq!((&lines[0]["table"], &lines[0]["row"]["email"]), (&json!("public.users"), &json!(person)));

    let count = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM orders);\n";
    for (dry_run, left) in [(true, "500|2000\n"), (false, "499|1996\n")] {
        let erased: PersonErased =
            world.api.send(Method::POST, &format!("{path}/erase"), &request(dry_run)).await;
        assert_eq!((erased.dry_run, erased.rows), (dry_run, 5));
        assert_eq!(sql(&world, ENVIRONMENT, count).await, left);
    }
    // What refers to somebody and no rule speaks of is refused by the server, and all of it is undone.
    let more =
        "CREATE TABLE letters (user_id integer REFERENCES users (id)); INSERT INTO letters VALUES (8);\n";
    sql(&world, ENVIRONMENT, more).await;
    let request = json!({ "policy": rules, "person": "person8@production.example" });
    let body = serde_json::to_vec(&request).expect("JSON");
    let (status, answer) =
        world.api.call(Method::POST, &format!("{path}/erase"), body).await.expect("control answers");
    assert_eq!(status, 503, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(sql(&world, ENVIRONMENT, count).await, "499|1996\n");
}
