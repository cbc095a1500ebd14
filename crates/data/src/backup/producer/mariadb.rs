//! MariaDB: `mariadb-dump` out of one transaction, which locks nothing. Rows are counted in what it writes, so that the numbers are those of the
//! dump; its last line must have come, since nothing else tells a dump that is whole from one that was cut.

use havre_core::backup::state::Exit;
use havre_decide::database::mariadb::{error, session};
use havre_reconcile::deployment::chain;
use havre_rescue::mariadb::{ASK_VERSION, BEGINNINGS, dump, end, parse_version};
use havre_rescue::producer::reason;

use super::{PATIENCE, Produced, Server};
use crate::backup::stream::{Sink, Unread, pipe};

pub(super) async fn produce(server: &Server<'_>, mut sink: Sink<'_>) -> Result<Produced, Unread> {
    let version = match open(server).await {
        Ok(version) => version,
        Err(reason) => return Ok(Produced::failed(sink, reason)),
    };
    let session = match server.exec(dump(&server.database.spec.name, server.target)).await {
        Ok(session) => session,
        Err(error) => return Ok(Produced::failed(sink, chain(&error))),
    };
    sink.count();
    let exit = pipe(session, "mariadb-dump", &mut sink, server.redactor).await?;
    let ledger = sink.take_ledger();
    let exit = match exit {
        Exit::Succeeded if !ledger.is_complete() => Exit::Failed {
            reason: "mariadb-dump ended with code 0, but its last line did not come".to_owned(),
        },
        exit => exit,
    };
    let ended = Produced::ended(sink, exit, BEGINNINGS);
    Ok(Produced { version, rows: ledger.rows(), ..ended })
}

/// Ends what an earlier run has left, and asks for the version.
async fn open(server: &Server<'_>) -> Result<String, String> {
    clean_up(server).await?;
    tell(server, ASK_VERSION.to_owned()).await.map(|said| parse_version(&said))
}

/// Ends programs of an earlier run that are still there.
pub(super) async fn clean_up(server: &Server<'_>) -> Result<(), String> {
    tell(server, end(server.target)).await.map(drop)
}

async fn tell(server: &Server<'_>, sql: String) -> Result<String, String> {
    let answer = server.tell(session(None), sql, PATIENCE).await.map_err(|error| chain(&error))?;
    if answer.code == 0 {
        return Ok(answer.output);
    }
    Err(reason("mariadb", answer.code, &error(&answer.errors)))
}
