//! Base backups of PostgreSQL: `pg_basebackup` inside the task gives all files of the server as one tar, and what is first and last in it says
//! which WAL they need. Without that nobody could bring them back, so it is part of the verdict.

use havre_core::backup::state::Exit;
use havre_reconcile::deployment::chain;
use havre_rescue::base::{ask_tablespaces, base_backup, tablespaces};
use havre_rescue::producer::{postgres_ask_version, postgres_session, postgres_version, reason};

use super::{PATIENCE, Produced, Server};
use crate::backup::stream::{Sink, Unread, pipe};

pub(super) async fn produce(server: &Server<'_>, mut sink: Sink<'_>) -> Result<Produced, Unread> {
    let version = match look(server).await {
        Ok(version) => version,
        Err(reason) => return Ok(Produced::failed(sink, reason)),
    };
    let session = match server.exec(base_backup()).await {
        Ok(session) => session,
        Err(error) => return Ok(Produced::failed(sink, chain(&error))),
    };
    sink.base = Some(Default::default());
    let exit = pipe(session, "pg_basebackup", &mut sink, server.redactor).await?;
    let watch = sink.base.take().unwrap_or_default();
    let mut ended = Produced { version, ..Produced::ended(sink, exit, &[b"backup_label"]) };
    if ended.exit == Exit::Succeeded {
        match watch.finish() {
            Ok(facts) => ended.base = Some((server.database.id, facts)),
            Err(reason) => ended.exit = Exit::Failed { reason },
        }
    }
    Ok(ended)
}

/// The version of a server of which a base backup can be made; why none can, in words.
async fn look(server: &Server<'_>) -> Result<String, String> {
    match tablespaces(&ask(server, &ask_tablespaces()).await?) {
        Some(reason) => Err(reason),
        None => Ok(postgres_version(&ask(server, &postgres_ask_version()).await?)),
    }
}

async fn ask(server: &Server<'_>, sql: &str) -> Result<String, String> {
    let mut words = postgres_session(&server.database.spec.name);
    words.push(format!("--command= {sql}"));
    let answer = server.ask(words, PATIENCE).await.map_err(|error| chain(&error))?;
    if answer.code == 0 {
        return Ok(answer.output);
    }
    Err(reason("psql", answer.code, &answer.errors))
}
