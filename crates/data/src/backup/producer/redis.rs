//! Redis and Valkey: their client takes everything as a replica would, of one instant, into a file on the volume of the server; the file is
//! read, and goes. Its exit code says whether all of it came. Keys are counted a moment later.

use std::time::Duration;

use havre_core::backup::state::Exit;
use havre_reconcile::deployment::chain;
use havre_rescue::producer::{
    beginnings, parse_redis_info, reason, redis_ask, redis_dump, redis_read, redis_remove,
};

use super::{PATIENCE, Produced, Server};
use crate::backup::stream::{Sink, Unread, pipe};

/// Longest time the client may take: a server with little to do writes gigabytes in a minute.
const DUMP_PATIENCE: Duration = Duration::from_secs(6 * 3600);

pub(super) async fn produce(server: &Server<'_>, mut sink: Sink<'_>) -> Result<Produced, Unread> {
    if let Err(reason) = dump(server).await {
        remove(server).await;
        return Ok(Produced::failed(sink, reason));
    }
    let exit = match server.exec(redis_read(server.target)).await {
        Ok(session) => pipe(session, "cat", &mut sink, server.redactor).await,
        Err(error) => Ok(Exit::Failed { reason: chain(&error) }),
    };
    remove(server).await;
    let kind = server.database.spec.engine;
    let ended = Produced::ended(sink, exit?, beginnings(kind));
    let (version, rows) = match server.ask(redis_ask(kind), PATIENCE).await {
        Ok(answer) => parse_redis_info(kind, &answer.output),
        Err(_) => parse_redis_info(kind, ""),
    };
    Ok(Produced { version, rows, ..ended })
}

async fn dump(server: &Server<'_>) -> Result<(), String> {
    let words = redis_dump(server.database.spec.engine, server.target);
    let program = words.first().cloned().unwrap_or_default();
    let answer = server.ask(words, DUMP_PATIENCE).await.map_err(|error| chain(&error))?;
    if answer.code == 0 {
        return Ok(());
    }
    Err(reason(&program, answer.code, &answer.errors))
}

async fn remove(server: &Server<'_>) {
    if let Err(error) = clean_up(server).await {
        tracing::warn!(database = %server.database.id, %error, "could not remove the file of a backup; the next one does");
    }
}

/// Removes the file of an earlier run.
pub(super) async fn clean_up(server: &Server<'_>) -> Result<(), String> {
    let answer = server.ask(redis_remove(server.target), PATIENCE).await.map_err(|error| chain(&error))?;
    if answer.code == 0 { Ok(()) } else { Err(reason("rm", answer.code, &answer.errors)) }
}
