//! Talks to a server through a client inside its own task: no port is open for it, and no password leaves the task. What is said is made in
//! `havre_core::database::role` and `havre_decide::database::mariadb`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use havre_core::database::Database;
use havre_core::database::role::{
    Login, RoleName, SUPERUSER, postgres_lock, postgres_make, redis_lock, redis_make,
};
use havre_core::database::spec::{DatabaseSpec, Kind};
use havre_core::database::task::database_container;
use havre_core::secret::Secret;
use havre_core::service::spec::Argv;
use havre_decide::database::mariadb;
use havre_decide::database::plan::Health;
use havre_engine::error::EngineError;
use havre_engine::exec::ExecSpec;

use crate::execute::Fault;
use crate::world::World;

/// Longest wait for a client; a server that answers does so in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const OUTPUT_MAX: usize = 4096;

/// A server, and the container it runs in.
#[derive(Debug)]
pub struct Server<'a> {
    /// Name of the container.
    pub container: String,
    /// What it is.
    pub spec: &'a DatabaseSpec,
}

impl<'a> Server<'a> {
    /// The server of a database: that of its present task.
    pub(crate) fn of(database: &'a Database) -> Self {
        let container = database_container(&database.place(), database.id, database.task);
        Self { container, spec: &database.spec }
    }

    /// What a client said that was not what was hoped for, in one line.
    fn what_went_wrong(&self, said: &Said) -> String {
        match self.spec.engine {
            // Its client may repeat a statement, in which a password stands.
            Kind::Mariadb => match mariadb::error(&said.text) {
                error if error.is_empty() => format!("its client ended with code {}", said.code),
                error => first_line(&error, said.code),
            },
            Kind::Postgres | Kind::Redis | Kind::Valkey => first_line(&said.text, said.code),
        }
    }
}

/// What a client said.
struct Said {
    code: i64,
    text: String,
}

/// Asks the server of a database whether it takes connections.
pub(super) async fn probe(world: &World, database: &Database) -> Health {
    ask(world, &Server::of(database)).await
}

/// Asks a server whether it takes connections.
pub async fn ask(world: &World, server: &Server<'_>) -> Health {
    let name = server.spec.name.as_str();
    let silent = |message: String| Health::Silent { message };
    let (words, input) = match server.spec.engine {
        // Over TCP: the first server of a new cluster, which only prepares it, listens on its socket alone.
        Kind::Postgres => (owned(&["pg_isready", "-h", "127.0.0.1", "-U", SUPERUSER, "-d", name]), None),
        Kind::Mariadb => (mariadb::session(None), Some(Secret::from(mariadb::ASK))),
        Kind::Redis => (owned(&["redis-cli", "ping"]), None),
        Kind::Valkey => (owned(&["valkey-cli", "ping"]), None),
    };
    let said = match run(world, server, words, input.as_ref()).await {
        Ok(said) => said,
        Err(error) => return silent(error.to_string()),
    };
    let answers = match server.spec.engine {
        Kind::Postgres => said.code == 0,
        // It lets others in: not yet, where it only prepares its data.
        Kind::Mariadb => said.code == 0 && said.text.lines().any(|line| line.trim() == "0"),
        Kind::Redis | Kind::Valkey => said.text.lines().any(|line| line == "PONG"),
    };
    if answers { Health::Answers } else { silent(server.what_went_wrong(&said)) }
}

/// Makes the server of a database know a role.
pub(super) async fn make_role(world: &World, database: &Database, login: &Login) -> Result<(), Fault> {
    let (id, role) = (database.id, login.role.clone());
    let password = world.store.read(move |view| view.get_role_password(id, &role)).await?;
    introduce(world, &Server::of(database), login, &password).await
}

/// Makes a server know a role with this password.
pub(crate) async fn introduce(
    world: &World,
    server: &Server<'_>,
    login: &Login,
    password: &Secret,
) -> Result<(), Fault> {
    let (name, role) = (&server.spec.name, &login.role);
    let input = match server.spec.engine {
        Kind::Postgres => postgres_make(name, role, password),
        Kind::Mariadb => mariadb::make(name, role, password),
        Kind::Redis | Kind::Valkey => Some(Secret::from(redis_make(login))),
    };
    let input = input.ok_or_else(|| Fault::Impossible(format!("the password of {role} is not ours")))?;
    tell(world, server, &input).await
}

/// Makes the server let a role in no more.
pub(super) async fn lock_role(world: &World, database: &Database, role: &RoleName) -> Result<(), Fault> {
    let input = match database.spec.engine {
        Kind::Postgres => postgres_lock(role),
        Kind::Mariadb => mariadb::lock(role),
        Kind::Redis | Kind::Valkey => redis_lock(role),
    };
    tell(world, &Server::of(database), &Secret::from(input)).await
}

/// Says something to the server as its superuser.
pub(crate) async fn tell(world: &World, server: &Server<'_>, input: &Secret) -> Result<(), Fault> {
    let name = server.spec.name.as_str();
    let words = match server.spec.engine {
        // Terse: an error never repeats the statement, in which a password may stand.
        Kind::Postgres => {
            let quiet = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"];
            owned(&[quiet.as_slice(), &["-U", SUPERUSER, "-d", name]].concat())
        }
        Kind::Mariadb => mariadb::session(None),
        Kind::Redis => owned(&["redis-cli"]),
        Kind::Valkey => owned(&["valkey-cli"]),
    };
    let said = run(world, server, words, Some(input)).await?;
    let is_done = match server.spec.engine {
        Kind::Postgres | Kind::Mariadb => said.code == 0,
        // Its client ends with 0 whatever was answered: `OK`, or the number of users that were taken away.
        Kind::Redis | Kind::Valkey => matches!(said.text.trim(), "OK" | "0" | "1"),
    };
    if is_done {
        return Ok(());
    }
    Err(Fault::Engine(EngineError::Failed {
        what: format!("tell the database {} about a role", server.spec.name),
        message: server.what_went_wrong(&said),
    }))
}

/// Runs a client inside the container.
async fn run(
    world: &World,
    server: &Server<'_>,
    words: Vec<String>,
    input: Option<&Secret>,
) -> Result<Said, EngineError> {
    let what = || format!("ask the database {}", server.spec.name);
    let argv = Argv::try_from(words).expect("our own commands are commands");
    let exec = ExecSpec { argv, env: BTreeMap::new(), terminal: None };
    let talk = async {
        let mut session = world.engine.exec(&server.container, &exec).await?;
        if let Some(input) = input {
            // One that has ended already reads nothing; its exit code says why.
            let _ = session.input.send(Bytes::copy_from_slice(input.expose())).await;
        }
        drop(session.input);
        let mut text = Vec::new();
        while let Some(piece) = session.output.next().await {
            let piece = piece?;
            let room = OUTPUT_MAX.saturating_sub(text.len());
            text.extend_from_slice(&piece.bytes[..piece.bytes.len().min(room)]);
        }
        let code = session.exit_code.await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok::<Said, EngineError>(Said { code, text })
    };
    match tokio::time::timeout(PATIENCE, talk).await {
        Ok(said) => said,
        Err(_) => {
            let message = format!("its client did not end within {} s", PATIENCE.as_secs());
            Err(EngineError::Failed { what: what(), message })
        }
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The first line that says something, shortened.
fn first_line(text: &str, code: i64) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    match line {
        Some(line) => line.chars().filter(|c| !c.is_control()).take(200).collect(),
        None => format!("its client ended with code {code}"),
    }
}
