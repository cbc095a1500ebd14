//! A real MariaDB: a service gets in by its variables and goes on while its password changes; rows go into a backup, come back beside what is
//! there, and a drill without a network finds a manifest that somebody has changed.

use std::time::Duration;

use havre_api::backup::{BackupRun, BackupRunList, BackupTarget};
use havre_api::database::Database;
use havre_api::environment::ApplyResponse;
use havre_api::restore::{CreateRestoreResponse, Drill, Restore, RestorePointList};
use havre_api::task::ExecRequest;
use havre_core::backup::run::RunState;
use havre_core::database::RoleState;
use havre_core::service::spec::{ImageSource, ServiceSpec};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::api::no_env;
use crate::world::docker::{docker, need};
use crate::world::spec::{argv, faults, with};
use crate::world::{ENVIRONMENT, SERVICE, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives it.
const MARIADB: &str = "mariadb:10.11";
/// The way in that a program would take.
const CLIENT: &str = "MYSQL_PWD=\"$MYSQL_PASSWORD\" mariadb --no-defaults -h \"$MYSQL_HOST\" -P \"$MYSQL_PORT\" -u \"$MYSQL_USER\" \
    --batch --skip-column-names \"$MYSQL_DATABASE\"";
/// Tables with what a dump has to carry: texts that look like SQL, bytes, a trigger, a view of a view by a role of a service, a sequence.
const FILL: &str = "CREATE USER 'api_a'@'%' IDENTIFIED BY 'unused'; GRANT ALL PRIVILEGES ON `marie-saved`.* TO 'api_a'@'%'; \
    CREATE TABLE notes (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200) NOT NULL UNIQUE, bytes BLOB); \
    INSERT INTO notes (text, bytes) SELECT CONCAT('a''(),;\\\\n', seq), UNHEX('00ff0a') FROM seq_1_to_5000; \
    CREATE TABLE empty (a INT); CREATE TABLE `odd ``(one) VALUES` (a TEXT); INSERT INTO `odd ``(one) VALUES` VALUES ('('), (');'); \
    CREATE TRIGGER counts BEFORE INSERT ON empty FOR EACH ROW INSERT INTO notes (text) VALUES (UUID()); \
    CREATE DEFINER='api_a'@'%' VIEW many AS SELECT COUNT(*) AS n FROM notes; \
    CREATE DEFINER='api_a'@'%' VIEW more AS SELECT n + 1 AS m FROM many; CREATE SEQUENCE numbers;";
/// The same of two databases only where they hold the same rows.
const SUM: &str = "SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('|', id, text, HEX(bytes)))) FROM notes";

fn database(name: &str) -> Value {
    json!({ "name": name, "engine": "mariadb", "version": 10, "memory": "256MB", "cpus": "1" })
}

/// A worker out of the image of the database, so that it has a client; its release command writes a note.
fn worker() -> ServiceSpec {
    let mut spec = with(faults("well-behaved", "1"), |work| {
        work.source = ImageSource::Image { reference: MARIADB.parse().expect("a reference") };
        work.port = None;
        work.command = Some(argv(&["sleep", "infinity"]));
        work.uses = vec!["marie".parse().expect("a name")];
        let write = "CREATE TABLE IF NOT EXISTS notes (text TEXT); INSERT INTO notes VALUES (\\\"kept\\\")";
        work.release_command = Some(argv(&["bash", "-c", &format!("{CLIENT} -e \"{write}\"")]));
    });
    spec.routes = Vec::new();
    spec
}

/// The database once it answers.
async fn ready(world: &World, name: &str) -> Database {
    let look = async || {
        let found = world.api.find::<Database>(&format!("{ENVIRONMENT}/databases/{name}")).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    until("the database answers", look).await
}

fn container(database: &Database) -> String {
    format!("havre-{}-{}-{}-production-e2e", database.id, database.task, database.name)
}

/// Runs SQL with the client in the task of the service; what came of it.
async fn asked(world: &World, sql: &str) -> (String, String) {
    let words = argv(&["bash", "-c", &format!("{CLIENT} -e \"{sql}\"")]);
    let request = ExecRequest { argv: words, task: None, terminal: None, env: no_env() };
    world.api.session(&format!("{SERVICE}/exec"), &request, b"").await.text()
}

/// Runs SQL as the superuser; what came of it.
fn sql(container: &str, database: &str, text: &str) -> String {
    let words =
        ["exec", container, "mariadb", "--no-defaults", "--protocol=socket", "--user=root", "--batch"];
    let words = [words.as_slice(), &["--skip-column-names", database, "-e", text]].concat();
    docker(&words).expect("the statement runs").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_gets_in_by_its_variables_and_stays_in_while_its_password_changes() {
    need(MARIADB);
    let world = World::start_sealed().await;
    let request = json!({ "services": [], "databases": [database("marie")] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    world.deploy_well(&worker()).await;
    let server = ready(&world, "marie").await;
    let who = "SELECT CURRENT_USER(), text FROM notes LIMIT 1";
    assert_eq!(asked(&world, who).await, ("app_a@%\tkept\n".to_owned(), String::new()));

    // A role has its one database and nothing of the server.
    for refused in [
        "SELECT * FROM mysql.user",
        "CREATE USER x",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SET GLOBAL max_connections = 1",
    ] {
        let (said, errors) = asked(&world, refused).await;
        assert!(said.is_empty() && errors.contains("denied"), "{refused}: {said}{errors}");
    }
    // No password in an argument or in the log, no port of the machine, no network but its own.
    let of = |format: &str| docker(&["inspect", "--format", format, &container(&server)]).expect("it runs");
    let environment = of("{{json .Config.Env}}");
    let password = environment.split("MARIADB_ROOT_PASSWORD=").nth(1).and_then(|rest| rest.split('"').next());
    let password = password.expect("the contract of the image");
    assert!(!of("{{json .Config.Cmd}} {{json .Args}}").contains(password));
    assert_eq!(
        (of("{{json .NetworkSettings.Ports}}").trim(), of("{{len .NetworkSettings.Networks}}").trim()),
        ("{}", "1")
    );
    let superusers = "SELECT GROUP_CONCAT(Host) FROM mysql.user WHERE User = 'root'";
    assert_eq!(sql(&container(&server), "mysql", superusers), "localhost");

    // Somebody logs every statement; passwords are told all the same, and are not in there.
    sql(&container(&server), "mysql", "SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = 1");
    let path = format!("{ENVIRONMENT}/databases/marie");
    let _: Database = world.api.send(Method::POST, &format!("{path}/rotate"), &()).await;
    let look = async || {
        let found = world.api.find::<Database>(&path).await?;
        let is_done = matches!(found.roles.as_slice(), [role] if role.name.to_string() == "app_b" && role.state == RoleState::Made);
        is_done.then_some(())
    };
    until("the other role has taken over", look).await;
    assert_eq!(asked(&world, who).await.0, "app_b@%\tkept\n");
    let locked = "SELECT JSON_VALUE(Priv, '$.account_locked') FROM mysql.global_priv WHERE User = 'app_a'";
    assert_eq!(sql(&container(&server), "mysql", locked), "1");
    let told = "SELECT COUNT(*) > 0, SUM(argument LIKE CONCAT('%IDENTI', 'FIED BY%')) FROM mysql.general_log";
    assert_eq!(sql(&container(&server), "mysql", told), "1\t0");
}

/// A database with rows, and a good backup of it; its container.
async fn saved(world: &World) -> String {
    let mut spec = database("marie-saved");
    let assertions = ["select count(*) = 5000 from notes", "select m = 5001 from more"];
    spec["backup"] = json!({ "every": "1d", "keep": { "daily": 7 }, "assert": assertions });
    let request = json!({ "services": [], "databases": [spec] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    let container = container(&ready(world, "marie-saved").await);
    sql(&container, "marie-saved", FILL);
    let place = world.folder.path().join("repository");
    let target = json!({ "location": { "kind": "folder", "path": place }, "medium": "two" });
    let _: BackupTarget = world.api.send(Method::PUT, "/v1/backup-targets/disk", &target).await;
    let look = async || {
        let path = "/v1/backup-runs?what=database/e2e/production/marie-saved";
        let runs: Vec<BackupRun> = world.api.find::<BackupRunList>(path).await?.runs;
        assert!(runs.iter().all(|run| run.status != RunState::Failed), "{runs:?}");
        runs.into_iter().find(|run| run.status == RunState::Good)
    };
    let manifest = until("a backup is good", look).await.manifest.expect("it is good");
    let rows: Vec<String> = manifest.rows.iter().map(|(table, count)| format!("{table}={count}")).collect();
    assert_eq!(rows, ["empty=0", "notes=5000", "odd `(one) VALUES=2"]);
    assert!(manifest.source_version.starts_with("MariaDB 10.11."), "{}", manifest.source_version);
    container
}

/// Asks for a drill and waits for its end.
async fn drill(world: &World) -> Drill {
    let path = format!("{ENVIRONMENT}/databases/marie-saved/drills");
    let asked: Drill = world.api.send(Method::POST, &path, &()).await;
    let path = format!("/v1/drills/{}", asked.id);
    until("the drill is over", async || world.api.find::<Drill>(&path).await.filter(|one| one.is_final)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_saved_comes_back_and_a_changed_manifest_is_found() {
    need(MARIADB);
    let mut world = World::start_sealed().await;
    let old = saved(&world).await;
    let before = sql(&old, "marie-saved", SUM);
    sql(&old, "marie-saved", "DELETE FROM notes WHERE id > 10");
    let database = format!("{ENVIRONMENT}/databases/marie-saved");
    let points: RestorePointList = world.api.get(&format!("{database}/points")).await;
    assert_eq!((points.points.len(), points.points[0].rows), (1, 5002));

    let asked: CreateRestoreResponse =
        world.api.send(Method::POST, &format!("{database}/restores"), &json!({})).await;
    assert_eq!(asked.server, "mariadb 10");
    let path = format!("/v1/restores/{}", asked.restore.expect("it is no dry run").id);
    let over = async || world.api.find::<Restore>(&path).await.filter(|restore| restore.is_final);
    let restore = until("the restore is over", over).await;
    assert_eq!(restore.status, "ready", "{}", restore.failure);
    let name = "marie-saved-restored-1";
    let new = container(&ready(&world, name).await);
    assert_eq!(sql(&new, name, SUM), before, "the same rows");
    assert_eq!(sql(&new, name, "SELECT m FROM more"), "5001", "as the role that made it, which is there");
    sql(&new, name, "INSERT INTO empty VALUES (1)");
    assert_eq!(sql(&new, name, "SELECT COUNT(*) FROM notes"), "5001", "the trigger came back");
    assert_eq!(sql(&old, "marie-saved", "SELECT COUNT(*) FROM notes"), "10", "the old one was not touched");
    let bytes = world.api.call(Method::GET, &format!("{database}/snapshot"), Vec::new()).await;
    let (status, bytes) = bytes.expect("all of it comes");
    assert_eq!((status, bytes.len() as u64), (StatusCode::OK, points.points[0].bytes));
    assert!(bytes.ends_with(b"-- Dump completed\n"));

    let passed = drill(&world).await;
    assert_eq!(passed.status, "passed", "{}", passed.failure);
    // Somebody says that more was saved.
    world.process("control").kill();
    {
        let store = world.config.with_file_name("data").join("store.sqlite");
        let store = rusqlite::Connection::open(store).expect("the store is there");
        store.busy_timeout(Duration::from_secs(5)).expect("a timeout");
        let more = "UPDATE backup_runs SET manifest = replace(manifest, '\"notes\":5000', '\"notes\":5001') \
            WHERE manifest IS NOT NULL";
        assert!(store.execute(more, []).expect("it is written") > 0);
    }
    world.start_control().await;
    let failed = drill(&world).await;
    assert_eq!(failed.status, "failed");
    assert!(failed.failure.contains("notes had 5001 rows and has 5000"), "{}", failed.failure);
}
