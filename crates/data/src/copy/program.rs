//! Programs inside the task of a database server: one that writes a dump, one that reads it, and one that takes SQL. No port is open for
//! them and no password leaves the task. What they are called with is made in `havre_core::copy`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use havre_core::copy::state::FailureReason;
use havre_core::database::Database;
use havre_core::database::task::database_container;
use havre_core::id::CopyId;
use havre_core::name::EnvKey;
use havre_core::secret::Secret;
use havre_core::service::spec::Argv;
use havre_decide::copy::command::{APPLICATION, ask, failure};
use havre_decide::copy::sql::{SNAPSHOT, application, read_snapshot};
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_engine::exec::{ExecOutput, ExecSession, ExecSpec};
use havre_engine::log::LogSource;
use havre_reconcile::deployment::chain;
use havre_store::StoreError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for SQL that makes, renames or drops a database.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest wait for a snapshot: the server only has to say its name.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes that are kept of what a program says about itself.
const SAID_MAX: usize = 8192;
/// Most bytes of an answer to SQL.
const ANSWER_MAX: usize = 256 * 1024;

/// How `pg_restore` ends where the server does not take something.
const REFUSED: i64 = 1;
/// How `psql` ends then; with 2 where the server went away.
const REFUSED_BY_PSQL: i64 = 3;

/// Why a copy does not go on.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It would be the same again.
    Never(FailureReason),
    /// Another attempt may do better; what went wrong, for people.
    Again(String),
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Again(chain(&error))
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Again(chain(&error))
    }
}

/// Starts a program inside the present task of a database.
async fn start(
    engine: &dyn Engine,
    database: &Database,
    words: Vec<String>,
    copy: Option<CopyId>,
) -> Result<ExecSession, EngineError> {
    let argv = Argv::try_from(words).expect("our own commands are commands");
    let name: EnvKey = APPLICATION.parse().expect("our own variables are variables");
    let env = copy.map(|id| (name, application(id))).into_iter().collect::<BTreeMap<_, _>>();
    let exec = ExecSpec { argv, env, terminal: None };
    engine.exec(&database_container(&database.place(), database.id, database.task), &exec).await
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let room = most.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Says SQL to a database as its superuser, and answers what it said.
///
/// # Errors
/// `Again` where the server does not take it.
pub(crate) async fn say(
    engine: &dyn Engine,
    database: &Database,
    on: &str,
    sql: &str,
) -> Result<String, Trouble> {
    let talk = async {
        let session = start(engine, database, ask(on), None).await?;
        let ExecSession { input, mut output, exit_code, resize: _resize } = session;
        // One that has ended already reads nothing; its exit code says why.
        let _ = input.send(Bytes::copy_from_slice(sql.as_bytes())).await;
        drop(input);
        let (mut answer, mut said) = (Vec::new(), Vec::new());
        while let Some(piece) = output.next().await {
            let ExecOutput { stream, bytes } = piece?;
            match stream {
                LogSource::Stdout => keep(&mut answer, &bytes, ANSWER_MAX),
                LogSource::Stderr => keep(&mut said, &bytes, SAID_MAX),
            }
        }
        Ok::<_, EngineError>((exit_code.await?, answer, said))
    };
    match tokio::time::timeout(PATIENCE, talk).await {
        Ok(Ok((0, answer, _))) => Ok(text(&answer)),
        Ok(Ok((code, _, said))) => Err(Trouble::Again(failure(&text(&said), code))),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Trouble::Again(format!("its client did not end within {} s", PATIENCE.as_secs()))),
    }
}

/// A state of a database that does not change while this is held.
pub(crate) struct Snapshot {
    /// What dumps are told.
    pub(crate) name: String,
    /// Its end is the end of the snapshot.
    _session: ExecSession,
}

/// Makes the present state of a database one that several dumps can be made of.
///
/// # Errors
/// `Again` where the server does not say one.
pub(crate) async fn snapshot(
    engine: &dyn Engine,
    database: &Database,
    copy: CopyId,
) -> Result<Snapshot, Trouble> {
    let talk = async {
        let mut session = start(engine, database, ask(database.spec.name.as_str()), Some(copy)).await?;
        let _ = session.input.send(Bytes::from_static(SNAPSHOT.as_bytes())).await;
        let mut said = Vec::new();
        while let Some(piece) = session.output.next().await {
            keep(&mut said, &piece?.bytes, SAID_MAX);
            let found = text(&said);
            if let (true, Some(name)) = (found.ends_with('\n'), read_snapshot(&found)) {
                return Ok(Snapshot { name: name.to_owned(), _session: session });
            }
        }
        Err(Trouble::Again(failure(&text(&said), 0)))
    };
    match tokio::time::timeout(SNAPSHOT_PATIENCE, talk).await {
        Ok(result) => result,
        Err(_) => Err(Trouble::Again("the server did not say a snapshot in time".to_owned())),
    }
}

/// A program that writes a dump, or an answer.
pub(crate) struct Dump {
    session: ExecSession,
    said: Vec<u8>,
}

impl Dump {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) async fn start(
        engine: &dyn Engine,
        database: &Database,
        words: Vec<String>,
        copy: Option<CopyId>,
    ) -> Result<Self, EngineError> {
        Ok(Self { session: start(engine, database, words, copy).await?, said: Vec::new() })
    }

    /// Starts one whose answer to SQL, said to a database as its superuser, is read like a dump.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) async fn ask(
        engine: &dyn Engine,
        database: &Database,
        sql: &Secret,
    ) -> Result<Self, EngineError> {
        let words = ask(database.spec.name.as_str());
        let mut session = start(engine, database, words, None).await?;
        // One that has ended already reads nothing; its exit code says why.
        let _ = session.input.send(Bytes::copy_from_slice(sql.expose())).await;
        // In its place one that nobody reads: what it had is over.
        session.input = mpsc::channel(1).0;
        Ok(Self { session, said: Vec::new() })
    }

    /// The next piece; `None` once it has ended well. Not to be asked again after that.
    ///
    /// # Errors
    /// `Again` where it ended otherwise: what came before is no whole dump.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        while let Some(piece) = self.session.output.next().await {
            let ExecOutput { stream, bytes } = piece?;
            match stream {
                LogSource::Stdout => return Ok(Some(bytes)),
                LogSource::Stderr => keep(&mut self.said, &bytes, SAID_MAX),
            }
        }
        match (&mut self.session.exit_code).await? {
            0 => Ok(None),
            code => Err(Trouble::Again(failure(&text(&self.said), code))),
        }
    }
}

/// A program that reads a dump.
pub(crate) struct Loader {
    input: mpsc::Sender<Bytes>,
    ended: CancellationToken,
    rest: JoinHandle<Result<(i64, Vec<u8>), EngineError>>,
}

impl Loader {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) async fn start(
        engine: &dyn Engine,
        database: &Database,
        words: Vec<String>,
        copy: CopyId,
    ) -> Result<Self, EngineError> {
        let session = start(engine, database, words, Some(copy)).await?;
        let ExecSession { input, output, exit_code, resize: _resize } = session;
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let rest = tokio::spawn(async move {
            let said = drain(output).await;
            let code = exit_code.await;
            drop(guard);
            Ok((code?, said?))
        });
        Ok(Self { input, ended, rest })
    }

    /// Gives it more; whether it still takes something.
    pub(crate) async fn send(&self, bytes: Bytes) -> bool {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => false,
            sent = self.input.send(bytes) => sent.is_ok(),
        }
    }

    /// Closes its input and waits for its end. `is_whole` says whether it was given everything.
    ///
    /// # Errors
    /// `Never` where the server did not take what was sent; `Again` where it, or the reader, went away.
    pub(crate) async fn finish(self, is_whole: bool) -> Result<(), Trouble> {
        let Self { input, rest, .. } = self;
        drop(input);
        let ended = rest.await.map_err(|error| Trouble::Again(error.to_string()))?;
        match ended? {
            (0, _) if is_whole => Ok(()),
            (0, _) => Err(Trouble::Again("its reader ended before the dump did".to_owned())),
            (code, said) => {
                let message = failure(&text(&said), code);
                match code {
                    REFUSED | REFUSED_BY_PSQL => Err(Trouble::Never(FailureReason::NotTaken { message })),
                    _ => Err(Trouble::Again(message)),
                }
            }
        }
    }
}

/// Everything a program says but its answers; it stops where nobody reads.
async fn drain(
    mut output: BoxStream<'static, Result<ExecOutput, EngineError>>,
) -> Result<Vec<u8>, EngineError> {
    let mut said = Vec::new();
    while let Some(piece) = output.next().await {
        let ExecOutput { stream, bytes } = piece?;
        if stream == LogSource::Stderr {
            keep(&mut said, &bytes, SAID_MAX);
        }
    }
    Ok(said)
}
