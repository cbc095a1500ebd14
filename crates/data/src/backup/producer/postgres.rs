//! PostgreSQL: `pg_dump` out of a snapshot that a session beside it holds, in which the rows of each table are counted meanwhile. Both see
//! the same instant, so that the numbers are those of the dump and not of a moment later.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use havre_core::backup::state::Exit;
use havre_core::database::spec::Kind;
use havre_engine::error::EngineError;
use havre_engine::exec::{ExecOutput, ExecSession};
use havre_engine::log::LogSource;
use havre_reconcile::deployment::chain;
use havre_rescue::producer::{
    TABLES_MAX, Told, beginnings, parse_line, postgres_count, postgres_dump, postgres_end, postgres_open,
    postgres_session, reason,
};
use tokio::sync::mpsc;

use super::{PATIENCE, Produced, Server};
use crate::backup::stream::{Sink, Tail, Unread, pipe};

/// Longest wait for the numbers once the dump is there: a backup without them is one.
const COUNT_PATIENCE: Duration = Duration::from_secs(600);
/// Longest line of a session; names of tables are far shorter.
const LINE_MAX: usize = 64 * 1024;

pub(super) async fn produce(server: &Server<'_>, mut sink: Sink<'_>) -> Result<Produced, Unread> {
    let (mut session, version, snapshot) = match open(server).await {
        Ok(opened) => opened,
        Err(reason) => return Ok(Produced::failed(sink, reason)),
    };
    let dump = match server.exec(postgres_dump(&server.database.spec.name, &snapshot)).await {
        Ok(dump) => dump,
        Err(error) => return Ok(Produced::failed(sink, chain(&error))),
    };
    let mut rows = None;
    let (exit, rows) = {
        let counting = session.count();
        tokio::pin!(counting);
        let dumping = pipe(dump, "pg_dump", &mut sink, server.redactor);
        tokio::pin!(dumping);
        let exit = loop {
            tokio::select! {
                exit = &mut dumping => break exit?,
                counted = &mut counting, if rows.is_none() => rows = Some(counted),
            }
        };
        let rows = match rows {
            Some(rows) => rows,
            None if exit == Exit::Succeeded => {
                tokio::time::timeout(COUNT_PATIENCE, counting).await.unwrap_or_default()
            }
            None => BTreeMap::new(),
        };
        (exit, rows)
    };
    // With its input the session ends.
    drop(session);
    let ended = Produced::ended(sink, exit, beginnings(Kind::Postgres));
    Ok(Produced { version, rows, ..ended })
}

/// Ends programs of an earlier run that are still there.
pub(super) async fn clean_up(server: &Server<'_>) -> Result<(), String> {
    let talk = async {
        let mut session = Session::start(server).await?;
        session.say(postgres_end(server.target)).await;
        session.rest().await.map(drop)
    };
    tokio::time::timeout(PATIENCE, talk).await.unwrap_or_else(|_| Err("psql did not end".to_owned()))
}

/// A session that holds a snapshot, the version of the server, and the name of the snapshot.
async fn open(server: &Server<'_>) -> Result<(Session, String, String), String> {
    let talk = async {
        let mut session = Session::start(server).await?;
        session.say(postgres_open(server.target)).await;
        while let Some(told) = session.next().await? {
            if let Told::Opened { version, snapshot } = told {
                return Ok((session, version, snapshot));
            }
        }
        let (code, errors) = session.rest().await?;
        Err(reason("psql", code, &errors))
    };
    tokio::time::timeout(PATIENCE, talk)
        .await
        .unwrap_or_else(|_| Err("the server gave no snapshot in time".to_owned()))
}

struct Session {
    input: mpsc::Sender<Bytes>,
    output: BoxStream<'static, Result<ExecOutput, EngineError>>,
    exit_code: BoxFuture<'static, Result<i64, EngineError>>,
    /// The beginning of a line that is not whole.
    part: Vec<u8>,
    lines: VecDeque<String>,
    errors: Tail,
}

impl Session {
    async fn start(server: &Server<'_>) -> Result<Self, String> {
        let started = server.exec(postgres_session(&server.database.spec.name)).await;
        let ExecSession { input, output, exit_code, .. } = started.map_err(|error| chain(&error))?;
        let errors = Tail::new(server.redactor);
        Ok(Self { input, output, exit_code, part: Vec::new(), lines: VecDeque::new(), errors })
    }

    /// One that has ended reads nothing; its exit code says why.
    async fn say(&mut self, text: String) {
        let _ = self.input.send(Bytes::from(text)).await;
    }

    /// The next thing it tells; nothing once it has ended.
    async fn next(&mut self) -> Result<Option<Told>, String> {
        loop {
            while let Some(line) = self.lines.pop_front() {
                if let Some(told) = parse_line(&line) {
                    return Ok(Some(told));
                }
            }
            let Some(piece) = self.output.next().await else { return Ok(None) };
            let piece = piece.map_err(|error| chain(&error))?;
            match piece.stream {
                LogSource::Stdout => self.read(&piece.bytes),
                LogSource::Stderr => self.errors.add(&piece.bytes),
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.lines.push_back(String::from_utf8_lossy(&self.part).into_owned());
                self.part.clear();
            } else if self.part.len() < LINE_MAX {
                self.part.push(*byte);
            }
        }
    }

    /// Counts the rows of each table; nothing where that does not come to its end.
    async fn count(&mut self) -> BTreeMap<String, u64> {
        self.say(postgres_count()).await;
        let mut counted = BTreeMap::new();
        loop {
            match self.next().await {
                Ok(Some(Told::Rows { table, rows })) => {
                    counted.insert(table, rows);
                    if counted.len() > TABLES_MAX {
                        return BTreeMap::new();
                    }
                }
                Ok(Some(Told::Counted)) => return counted,
                Ok(Some(Told::Opened { .. })) => {}
                Ok(None) | Err(_) => {
                    tracing::warn!("the rows of a database could not be counted; its backup goes on without");
                    return BTreeMap::new();
                }
            }
        }
    }

    /// Closes its input and waits for its end: its exit code, and what it said on standard error.
    async fn rest(mut self) -> Result<(i64, String), String> {
        let (closed, _) = mpsc::channel(1);
        self.input = closed;
        while self.next().await?.is_some() {}
        let code = self.exit_code.await.map_err(|error| chain(&error))?;
        Ok((code, self.errors.text()))
    }
}
