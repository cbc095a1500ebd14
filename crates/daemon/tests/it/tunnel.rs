//! A tunnel by the real client: a program on this machine gets into a real PostgreSQL and a real Redis through it, no port is open meanwhile, and
//! the role is gone afterwards, also where control was killed.

use std::process::Stdio;

use havre_api::database::Database;
use havre_api::environment::ApplyResponse;
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::world::docker::{docker, need};
use crate::world::process::beside;
use crate::world::{ENVIRONMENT, World, until};

/// Made by `script/lib/database-images.sh` where no registry gives them.
const POSTGRES: &str = "postgres:15";
const REDIS: &str = "redis:7";
/// Roles of tunnels in a server.
const ROLES: &str = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'havre\\_n%'";

/// Applies a database; its container, once it answers.
async fn container(world: &World, spec: Value) -> String {
    let name = spec["name"].as_str().expect("a name").to_owned();
    let request = json!({ "services": [], "databases": [spec] });
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;
    let path = format!("{ENVIRONMENT}/databases/{name}");
    let look = async || {
        let found = world.api.find::<Database>(&path).await?;
        assert_ne!(found.status, "failed", "{}", found.waiting);
        (found.status == "ready").then_some(found)
    };
    let found = until("the database answers", look).await;
    format!("havre-{}-{}-{name}-production-e2e", found.id, found.task)
}

fn sql(container: &str, text: &str) -> String {
    let words =
        ["exec", container, "psql", "-X", "-A", "-t", "-U", "postgres", "-d", "tunnelled", "-c", text];
    docker(&words).expect("the statement runs").trim().to_owned()
}

/// `havre db connect`, and the address it said.
struct Tunnel {
    child: Child,
    url: String,
    said: Lines<BufReader<ChildStderr>>,
}

impl Tunnel {
    async fn open(world: &World, database: &str) -> Self {
        let program = beside("havre");
        assert!(program.is_file(), "{} is not there; script/e2e makes it", program.display());
        let mut command = Command::new(program);
        command.args(["db", "connect", database, "--port", "0", "--project", "e2e", "--env", "production"]);
        command.env_clear().env("HOME", "/nonexistent").env("HAVRE_SOCKET", &world.api.socket);
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the client starts");
        let mut said = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let url = said.next_line().await.expect("it is text").expect("it says something");
        assert!(url.contains("@127.0.0.1:"), "{url}");
        Self { child, url, said }
    }

    /// Ctrl-C.
    async fn close(mut self) {
        let id = i32::try_from(self.child.id().expect("it runs")).expect("a process id");
        kill_process(Pid::from_raw(id).expect("not 0"), Signal::INT).expect("it is there");
        assert!(self.child.wait().await.expect("it ends").success());
        while let Ok(Some(_)) = self.said.next_line().await {}
    }
}

/// A client of this machine, in a container without a network of its own.
async fn client(image: &'static str, words: Vec<String>) -> Result<String, String> {
    let run = move || {
        let mut all = vec!["run", "--rm", "--network", "host", image];
        all.extend(words.iter().map(String::as_str));
        docker(&all).map(|text| text.trim().to_owned())
    };
    tokio::task::spawn_blocking(run).await.expect("it does not panic")
}

fn psql(url: &str, text: &str) -> Vec<String> {
    ["psql", url, "-X", "-q", "-A", "-t", "-c", text].map(str::to_owned).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_of_this_machine_gets_into_postgres_for_as_long_as_somebody_sits_there() {
    need(POSTGRES);
    let world = World::start_sealed().await;
    let spec =
        json!({ "name": "tunnelled", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1" });
    let server = container(&world, spec).await;
    let tunnel = Tunnel::open(&world, "tunnelled").await;
    let url = tunnel.url.clone();
    let who = "CREATE TABLE notes (text text); INSERT INTO notes VALUES ('kept'); SELECT current_user";
    assert_eq!(client(POSTGRES, psql(&url, who)).await.expect("it gets in"), "app");
    // More than any buffer holds, in one answer.
    let much = "SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 20000)";
    assert_eq!(client(POSTGRES, psql(&url, much)).await.expect("it gets in"), "20000000");
    let at = url.find("@127.0.0.1").expect("an address");
    let wrong = format!("postgresql://postgres:wrong{}", &url[at..]);
    let refused =
        client(POSTGRES, psql(&wrong, "SELECT 1")).await.expect_err("the superuser needs its password");
    assert!(refused.contains("password authentication failed"), "{refused}");
    let ports =
        docker(&["inspect", "--format", "{{json .NetworkSettings.Ports}}", &server]).expect("it runs");
    assert_eq!(ports.trim(), "{}");
    assert_eq!(sql(&server, ROLES), "1");

    tunnel.close().await;
    until("its role is gone", async || (sql(&server, ROLES) == "0").then_some(())).await;
    assert!(client(POSTGRES, psql(&url, "SELECT 1")).await.is_err(), "nobody listens there any more");
    assert_eq!(sql(&server, "SELECT tableowner FROM pg_tables WHERE tablename = 'notes'"), "app");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_under_a_tunnel_takes_its_role_away_when_it_starts() {
    need(POSTGRES);
    let mut world = World::start_sealed().await;
    let spec =
        json!({ "name": "tunnelled", "engine": "postgres", "version": 15, "memory": "256MB", "cpus": "1" });
    let server = container(&world, spec).await;
    let tunnel = Tunnel::open(&world, "tunnelled").await;
    assert_eq!(sql(&server, ROLES), "1");
    world.process("control").kill();
    assert_eq!(sql(&server, ROLES), "1", "nobody is there to take it away");
    world.start_control().await;
    until("its role is gone", async || (sql(&server, ROLES) == "0").then_some(())).await;
    drop(tunnel);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_of_this_machine_gets_into_redis() {
    need(REDIS);
    let world = World::start_sealed().await;
    let spec =
        json!({ "name": "tunnelled-cache", "engine": "redis", "version": 7, "memory": "64MB", "cpus": "1" });
    let server = container(&world, spec).await;
    let tunnel = Tunnel::open(&world, "tunnelled-cache").await;
    let words = |more: &[&str]| {
        let all = [["redis-cli", "-u", tunnel.url.as_str(), "--no-auth-warning"].as_slice(), more].concat();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(client(REDIS, words(&["SET", "note", "kept"])).await.expect("it gets in"), "OK");
    assert_eq!(client(REDIS, words(&["GET", "note"])).await.expect("it gets in"), "kept");
    let said = client(REDIS, words(&["CONFIG", "GET", "dir"])).await.unwrap_or_else(|error| error);
    assert!(said.contains("NOPERM"), "it runs no server: {said}");
    tunnel.close().await;
    let users = async || {
        let users = docker(&["exec", &server, "redis-cli", "ACL", "USERS"]).expect("it answers");
        (!users.contains("havre_n")).then_some(())
    };
    until("its user is gone", users).await;
}
