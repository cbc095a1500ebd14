//! The log of the present task of a database, the client of its server inside of it, dumps, and SQL with its answer.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use havre_api::database::{ConsoleRequest, DatabaseLogEntry};
use havre_core::copy::DumpFormat;
use havre_core::database::Database;
use havre_core::database::role::SUPERUSER;
use havre_core::database::spec::Kind;
use havre_core::database::task::database_container;
use havre_core::id::DatabaseId;
use havre_core::secret::Secret;
use havre_core::service::spec::Argv;
use havre_data::copy::transfer;
use havre_decide::database::mariadb;
use havre_engine::exec::ExecSpec;
use havre_engine::log::LogQuery;
use havre_web::task::streams::{ExecSession, TaskStreamError};

use crate::streams::{EngineStreams, Pieces, logs, refuse, session, size, store_failed};

type Entries = BoxStream<'static, Result<DatabaseLogEntry, TaskStreamError>>;

async fn read(streams: &EngineStreams, id: DatabaseId) -> Result<Database, TaskStreamError> {
    streams.store.read(move |view| view.get_database(id)).await.map_err(store_failed)
}

fn container(database: &Database) -> String {
    database_container(&database.place(), database.id, database.task)
}

/// Opens the stream of lines.
pub(crate) async fn open(
    streams: &EngineStreams,
    id: DatabaseId,
    tail: u32,
    follow: bool,
) -> Result<Entries, TaskStreamError> {
    let database = read(streams, id).await?;
    let task = database.task;
    let query = LogQuery { since: None, tail: Some(tail), follow };
    let lines = streams.engine.logs(&container(&database), query).await.map_err(refuse)?;
    let entry = move |line: havre_engine::log::LogLine| DatabaseLogEntry {
        at: line.at,
        task,
        stream: logs::source(line.stream),
        line: line.line,
    };
    Ok(lines.map(move |line| line.map(&entry).map_err(refuse)).boxed())
}

/// Starts the client. It gets in without a password: inside of the task the superuser is trusted, or finds its password there.
pub(crate) async fn console(
    streams: &EngineStreams,
    id: DatabaseId,
    request: ConsoleRequest,
) -> Result<ExecSession, TaskStreamError> {
    let database = read(streams, id).await?;
    let name = database.spec.name.to_string();
    let mut words: Vec<String> = match database.spec.engine {
        Kind::Postgres => ["psql", "-U", SUPERUSER, "-d", name.as_str()].map(str::to_owned).into(),
        Kind::Mariadb => [mariadb::client("mariadb"), vec![format!("--database={name}")]].concat(),
        Kind::Redis => vec!["redis-cli".to_owned()],
        Kind::Valkey => vec!["valkey-cli".to_owned()],
    };
    words.extend(request.args);
    let argv = Argv::try_from(words).map_err(|error| TaskStreamError::NotRunning(error.to_string()))?;
    let exec = ExecSpec { argv, env: BTreeMap::new(), terminal: request.terminal.map(size) };
    let running = streams.engine.exec(&container(&database), &exec).await.map_err(refuse)?;
    Ok(session::carry_exec(None, running))
}

/// A dump, as its program writes it.
pub(crate) async fn dump(
    streams: &EngineStreams,
    id: DatabaseId,
    format: DumpFormat,
) -> Result<Pieces, TaskStreamError> {
    let database = read(streams, id).await?;
    let pieces = transfer::dump(streams.engine.as_ref(), &database, format).await.map_err(refuse)?;
    Ok(pieces.map(|piece| piece.map_err(TaskStreamError::Unavailable)).boxed())
}

/// SQL and its answer.
pub(crate) async fn query(
    streams: &EngineStreams,
    id: DatabaseId,
    sql: Secret,
) -> Result<Pieces, TaskStreamError> {
    let database = read(streams, id).await?;
    let pieces = transfer::query(streams.engine.as_ref(), &database, &sql).await.map_err(refuse)?;
    Ok(pieces.map(|piece| piece.map_err(TaskStreamError::Unavailable)).boxed())
}
