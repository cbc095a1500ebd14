//! Producers: what gives the bytes of each thing that is saved, and says honestly how it ended. A program's verdict is its exit code,
//! asked for after its last byte. What is said to servers of databases is made in `havre_rescue::producer`.

mod base;
mod mariadb;
mod platform;
mod postgres;
mod redis;
pub(crate) mod volume;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use havre_core::backup::run::BackupRun;
use havre_core::backup::state::Exit;
use havre_core::backup::{Content, What};
use havre_core::database::Database;
use havre_core::database::spec::Kind;
use havre_core::database::task::database_container;
use havre_core::id::DatabaseId;
use havre_core::name::{DatabaseName, EnvKey, TargetName};
use havre_core::service::Place;
use havre_core::service::spec::Argv;
use havre_decide::secret::redact::Redactor;
use havre_engine::error::EngineError;
use havre_engine::exec::{ExecSession, ExecSpec};
use havre_engine::log::LogSource;
use havre_rescue::line::BaseFacts;
use havre_rescue::producer::{application, file_name};
use havre_store::StoreError;

use super::stream::{Sink, Tail, Unread};
use crate::world::World;

pub(super) use platform::remove_leftovers;
use volume::Volume;

/// Longest answer of a program that only says something.
const ANSWER_MAX: usize = 64 * 1024;
/// Longest wait for one that tidies up or says something.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is saved, as far as it takes to do so.
pub(super) enum Subject {
    /// A database, by a dump or by its files, and what must not be told of it.
    Database { database: Box<Database>, redactor: Redactor, is_base: bool },
    /// A volume of a service.
    Volume(Box<Volume>),
    /// Havre itself.
    Platform,
}

/// How a producer ended.
pub(super) struct Produced {
    pub(super) exit: Exit,
    /// What it had written, counted where it was read.
    pub(super) content: Content,
    /// Of the program the bytes come from.
    pub(super) version: String,
    /// Rows of each table, keys of each database; nothing where nobody could count.
    pub(super) rows: BTreeMap<String, u64>,
    /// Of a base backup: of which server it is, and where it lies in the WAL.
    pub(super) base: Option<(DatabaseId, BaseFacts)>,
}

impl Produced {
    fn failed(sink: Sink<'_>, reason: String) -> Self {
        let (exit, content) = (Exit::Failed { reason }, sink.end().0);
        Self { exit, content, version: String::new(), rows: BTreeMap::new(), base: None }
    }

    /// What a program has written, whose stream must begin in one of these ways.
    fn ended(sink: Sink<'_>, exit: Exit, beginnings: &[&[u8]]) -> Self {
        let (content, head) = sink.end();
        let is_theirs = content.bytes == 0 || beginnings.iter().any(|one| head.starts_with(one));
        let exit = match exit {
            Exit::Succeeded if !is_theirs => {
                Exit::Failed { reason: "what came is not what such a producer writes".to_owned() }
            }
            exit => exit,
        };
        Self { exit, content, version: String::new(), rows: BTreeMap::new(), base: None }
    }
}

/// Finds what is to be saved; or why that cannot be, in words.
pub(super) async fn find(world: &World, run: &BackupRun) -> Result<Result<Subject, String>, StoreError> {
    let what = &run.what;
    let (project, environment, database, is_base) = match what {
        What::Platform => return Ok(Ok(Subject::Platform)),
        What::Volume { project, environment, service, volume } => {
            let (project, environment, service) = (project.clone(), environment.clone(), service.clone());
            let (place, volume, run) = (Place { project, environment, service }, volume.clone(), run.id);
            let found = world.store.read(move |view| volume::find(view, (&place, &volume), run)).await?;
            return Ok(found.map(|volume| Subject::Volume(Box::new(volume))));
        }
        What::Database { project, environment, database } => (project, environment, database, false),
        What::Base { project, environment, database } => (project, environment, database, true),
    };
    // Both kinds of names are labels.
    let Ok(name) = database.as_str().parse::<DatabaseName>() else {
        return Ok(Err(format!("{database} is no name of a database")));
    };
    let (project, environment) = (project.clone(), environment.clone());
    let found = world.store.read(move |view| {
        let Some(database) = view.find_database(&project, &environment, &name)? else { return Ok(None) };
        let password = view.get_database_superuser(&database)?.password;
        let is_lost = view.find_lost_database(database.environment, &name)?.is_some();
        Ok(Some((database, password, is_lost)))
    });
    let Some((database, password, is_lost)) = found.await? else {
        return Ok(Err(format!("there is no {what} any more")));
    };
    if is_lost {
        // What is empty, or half filled, must never be taken for what was saved before.
        return Ok(Err(format!("the data of {what} went with another server, and is not back yet")));
    }
    let mut redactor = Redactor::default();
    redactor.add(&key("DATABASE_PASSWORD"), &password);
    if is_base && database.spec.engine != Kind::Postgres {
        return Ok(Err(format!("{} has no base backups", database.spec.engine)));
    }
    Ok(Ok(Subject::Database { database: Box::new(database), redactor, is_base }))
}

impl Subject {
    fn kind(&self) -> Option<Kind> {
        match self {
            Self::Database { database, .. } => Some(database.spec.engine),
            Self::Volume(_) | Self::Platform => None,
        }
    }

    /// Name of the one file in its snapshots.
    pub(super) fn file_name(&self, what: &What) -> String {
        file_name(what, self.kind())
    }
}

/// Runs the producer to its end.
pub(super) async fn produce(
    world: &World,
    subject: &Subject,
    target: &TargetName,
    sink: Sink<'_>,
) -> Result<Produced, Unread> {
    match subject {
        Subject::Platform => platform::produce(world, target, sink).await,
        Subject::Volume(volume) => volume::produce(world, volume, sink).await,
        Subject::Database { database, redactor, is_base } => {
            let server = Server { world, database, target, redactor };
            match database.spec.engine {
                Kind::Postgres if *is_base => base::produce(&server, sink).await,
                Kind::Postgres => postgres::produce(&server, sink).await,
                Kind::Mariadb => mariadb::produce(&server, sink).await,
                Kind::Redis | Kind::Valkey => redis::produce(&server, sink).await,
            }
        }
    }
}

/// Ends what a producer that was given up has left. Best effort: the next run to the same target does it again.
pub(super) async fn clean_up(world: &World, subject: &Subject, target: &TargetName) {
    let (database, redactor) = match subject {
        Subject::Database { database, redactor, .. } => (database, redactor),
        Subject::Volume(volume) => return volume::clean_up(world, volume).await,
        Subject::Platform => return,
    };
    let server = Server { world, database, target, redactor };
    let done = match database.spec.engine {
        Kind::Postgres => postgres::clean_up(&server).await,
        Kind::Mariadb => mariadb::clean_up(&server).await,
        Kind::Redis | Kind::Valkey => redis::clean_up(&server).await,
    };
    if let Err(error) = done {
        tracing::warn!(database = %database.id, backup_target = %target, %error, "could not tidy up after a backup; the next one does");
    }
}

fn key(name: &str) -> EnvKey {
    name.parse().expect("our own names are valid")
}

/// A server of a database, and one run that reads it.
struct Server<'a> {
    world: &'a World,
    database: &'a Database,
    target: &'a TargetName,
    redactor: &'a Redactor,
}

/// What a program said.
struct Answer {
    code: i64,
    output: String,
    errors: String,
}

impl Server<'_> {
    /// Starts a program inside the present task.
    async fn exec(&self, words: Vec<String>) -> Result<ExecSession, EngineError> {
        let argv = Argv::try_from(words).expect("our own commands are commands");
        // So that what is left of a run can be told from everything else at the server.
        let env = BTreeMap::from([(key("PGAPPNAME"), application(self.target))]);
        let container = database_container(&self.database.place(), self.database.id, self.database.task);
        self.world.engine.exec(&container, &ExecSpec { argv, env, terminal: None }).await
    }

    /// Runs a program that says little, within `patience`.
    async fn ask(&self, words: Vec<String>, patience: Duration) -> Result<Answer, EngineError> {
        self.tell(words, String::new(), patience).await
    }

    /// Runs a program that is told something and says little, within `patience`.
    async fn tell(
        &self,
        words: Vec<String>,
        told: String,
        patience: Duration,
    ) -> Result<Answer, EngineError> {
        let program = words.first().cloned().unwrap_or_default();
        let talk = async {
            let ExecSession { input, mut output, exit_code, .. } = self.exec(words).await?;
            if !told.is_empty() {
                // One that has ended reads nothing; its exit code says why.
                let _ = input.send(Bytes::from(told)).await;
            }
            drop(input);
            let (mut said, mut errors) = (Vec::new(), Tail::new(self.redactor));
            while let Some(piece) = output.next().await {
                let piece = piece?;
                match piece.stream {
                    LogSource::Stderr => errors.add(&piece.bytes),
                    LogSource::Stdout => {
                        let room = ANSWER_MAX.saturating_sub(said.len()).min(piece.bytes.len());
                        said.extend_from_slice(&piece.bytes[..room]);
                    }
                }
            }
            let code = exit_code.await?;
            let output = String::from_utf8_lossy(&said).into_owned();
            Ok::<Answer, EngineError>(Answer { code, output, errors: errors.text() })
        };
        match tokio::time::timeout(patience, talk).await {
            Ok(said) => said,
            Err(_) => {
                let message = format!("it did not end within {} s", patience.as_secs());
                Err(EngineError::Failed { what: format!("run {program}"), message })
            }
        }
    }
}
