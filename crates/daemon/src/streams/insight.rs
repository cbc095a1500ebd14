//! What the server of a database says about itself: one session of its own client inside of its task, as its superuser. What is asked and what the
//! answer means is decided in `havre_decide::database::insight`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use havre_api::database::DatabaseInsight;
use havre_core::database::Database;
use havre_core::database::task::database_container;
use havre_core::id::DatabaseId;
use havre_core::service::spec::Argv;
use havre_decide::database::insight::hint::hints;
use havre_decide::database::insight::{Question, question, read};
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_engine::exec::{ExecOutput, ExecSession, ExecSpec};
use havre_engine::log::LogSource;
use havre_web::task::streams::TaskStreamError;

use crate::streams::{EngineStreams, refuse, store_failed};

/// Sessions at once, of all databases together.
pub(crate) const SESSIONS_MAX: usize = 4;
/// Longest wait for a client: a server under load is not asked for long.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of an answer.
const ANSWER_MAX: usize = 256 * 1024;
/// Most bytes of what a client says about itself.
const ERRORS_MAX: usize = 8 * 1024;

/// What the client wrote, and how it ended where that was not well.
#[derive(Default)]
struct Said {
    answer: Vec<u8>,
    errors: Vec<u8>,
    end: Option<String>,
}

/// Asks, and makes of the answer what people are told.
pub(crate) async fn ask(streams: &EngineStreams, id: DatabaseId) -> Result<DatabaseInsight, TaskStreamError> {
    let database = streams.store.read(move |view| view.get_database(id)).await.map_err(store_failed)?;
    if !database.state.is_ready() {
        let message =
            format!("{} does not answer right now: it is {}", database.place(), database.shown_state());
        return Err(TaskStreamError::NotRunning(message));
    }
    let closed = |_| TaskStreamError::Unavailable("the server is stopping".to_owned());
    let _session = streams.sessions.acquire().await.map_err(closed)?;
    let said = talk(streams.engine.as_ref(), &database, question(&database.spec)).await.map_err(refuse)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut reading = match read(database.spec.engine, &text(&said.answer), &text(&said.errors)) {
        Ok(reading) => reading,
        Err(why) => {
            let why = said.end.unwrap_or(why);
            let message = format!("could not look into the database {}: {why}", database.place());
            return Err(TaskStreamError::Unavailable(message));
        }
    };
    reading.missing.extend(said.end);
    let at = streams.world.now();
    let hints = hints(&reading.facts, at);
    Ok(DatabaseInsight { at, hints, facts: reading.facts, missing: reading.missing })
}

/// Runs the client; of one that does not end in time, what it has written until then.
async fn talk(engine: &dyn Engine, database: &Database, question: Question) -> Result<Said, EngineError> {
    let Question { words, input: text } = question;
    let argv = Argv::try_from(words).expect("our own commands are commands");
    let exec = ExecSpec { argv, env: BTreeMap::new(), terminal: None };
    let container = database_container(&database.place(), database.id, database.task);
    let mut said = Said::default();
    let talk = async {
        let session = engine.exec(&container, &exec).await?;
        let ExecSession { input, mut output, exit_code, resize: _resize } = session;
        // One that has ended already reads nothing; what it wrote says why.
        let _ = input.send(Bytes::from(text)).await;
        drop(input);
        while let Some(piece) = output.next().await {
            let ExecOutput { stream, bytes } = piece?;
            match stream {
                LogSource::Stdout => keep(&mut said.answer, &bytes, ANSWER_MAX),
                LogSource::Stderr => keep(&mut said.errors, &bytes, ERRORS_MAX),
            }
        }
        exit_code.await
    };
    let ended = tokio::time::timeout(PATIENCE, talk).await;
    said.end = match ended {
        // Its own words say more than its code.
        Ok(Ok(code)) if code != 0 && said.errors.is_empty() => {
            Some(format!("its client ended with code {code}"))
        }
        Ok(Ok(_)) => None,
        Ok(Err(error)) => return Err(error),
        Err(_) => Some(format!("its client did not end within {} s", PATIENCE.as_secs())),
    };
    Ok(said)
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let room = most.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use havre_core::database::Image;
    use havre_core::database::task::{Superuser, derive_database};
    use havre_core::route::settings::auth::SecretDigest;
    use havre_core::secret::Secret;
    use havre_engine::fake::FakeEngine;
    use havre_engine::fake::script::{Program, Script};
    use havre_engine::network::{NetworkEnvironment, NetworkSpec};
    use serde_json::json;

    use super::*;

    /// A Redis whose client does this.
    async fn server(client: Program) -> (FakeEngine, Database) {
        let at = "2026-11-24T10:00:00.000Z";
        let database: Database = serde_json::from_value(json!({
            "id": "m3", "environment": "e1", "project": "shop", "environment_name": "production",
            "spec": {"name": "db", "engine": "redis", "version": 7, "memory": "64MB", "cpus": "1"},
            "revision": 1, "started_revision": 1, "task": 2, "image": null, "ready_at": at,
            "state": {"state": "ready", "since": at}, "created_at": at,
        }))
        .unwrap();
        let engine = FakeEngine::new();
        let image = Image { id: "d".repeat(64).parse().unwrap(), pull: None };
        let programs = vec![("redis-cli".to_owned(), client)];
        engine.add_image(&image.id, None, Script { programs, ..Script::runs() });
        let superuser = Superuser { password: Secret::from("s3cret"), digest: SecretDigest::new([1; 32]) };
        let command = Argv::try_from(vec!["redis-server".to_owned()]).unwrap();
        let mut task = derive_database(&database, &image, &superuser, command);
        task.volumes.clear();
        let network = NetworkSpec {
            name: task.private_network().unwrap(),
            subnet: "10.89.0.0/24".to_owned(),
            gateway: "10.89.0.1".parse().unwrap(),
            isolated: false,
            environment: Some(NetworkEnvironment {
                id: database.environment,
                project: database.project.clone(),
                name: database.environment_name.clone(),
            }),
        };
        engine.ensure_network(&network).await.unwrap();
        engine.ensure_task(&task).await.unwrap();
        (engine, database)
    }

    async fn said(client: Program) -> (FakeEngine, Said) {
        let (engine, database) = server(client).await;
        let said = talk(&engine, &database, question(&database.spec)).await.unwrap();
        (engine, said)
    }

    #[tokio::test]
    async fn a_client_reads_the_question_and_its_answer_is_bounded() {
        let (engine, said) = said(Program::reads(&"x".repeat(ANSWER_MAX + 9), 0)).await;
        assert_eq!((said.answer.len(), said.errors.len(), said.end), (ANSWER_MAX, 0, None));
        let read = engine.inputs().into_iter().map(|(_, input)| String::from_utf8(input).unwrap());
        assert!(read.collect::<String>().starts_with("INFO\nEVAL "));
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_told_by_its_code() {
        let (_, said) = said(Program { output: Vec::new(), ..Program::prints("", 137) }).await;
        assert_eq!(said.end.as_deref(), Some("its client ended with code 137"));
    }
}
