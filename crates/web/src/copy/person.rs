//! What belongs to one person: which rows that are says `[person]` of `privacy.toml`, the statements are made in `havre_privacy::person`. The
//! person is named in no event and in no log of ours, nor of the server.

use havre_api::copy::PersonRequest;
use havre_core::copy::check_postgres;
use havre_core::copy::event::PersonAct;
use havre_core::database::Database;
use havre_core::event::Actor;
use havre_core::secret::Secret;
use havre_privacy::person::{Person, PersonError, PersonStatement};
use havre_privacy::salt::Salt;

use crate::copy::create::check_policy;
use crate::copy::unfit;
use crate::error::{Code, Refusal};
use crate::extract::DatabasePath;
use crate::state::AppState;
use crate::{lookup, transaction};

/// What keeps a person's key out of the log of the server, whatever its settings say.
const UNSEEN: &str = "SET client_min_messages = warning;\nSET log_statement = 'none';\n\
    SET log_min_duration_statement = -1;\nSET log_min_error_statement = 'panic';\n";

/// The rules about persons.
pub(super) fn rules(request: &PersonRequest) -> Result<Person, Refusal> {
    let policy = check_policy(&request.policy)?;
    policy.person().cloned().ok_or_else(|| {
        Refusal::new(Code::PolicyInvalid, "privacy.toml does not say which rows belong to a person")
            .hint("add [person]; docs/privacy-toml.md says how")
    })
}

/// A value that nobody can be looked for by.
pub(super) fn refused(error: PersonError) -> Refusal {
    Refusal::new(Code::BodyInvalid, error.to_string())
}

/// One session that only reads, in one state of the database.
pub(super) fn reading(statements: &[PersonStatement]) -> Secret {
    session("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n", statements)
}

/// One transaction: all of it, or nothing.
pub(super) fn changing(statements: &[PersonStatement]) -> Secret {
    session("BEGIN;\n", statements)
}

fn session(begin: &str, statements: &[PersonStatement]) -> Secret {
    let mut text = format!("{UNSEEN}{begin}").into_bytes();
    for statement in statements {
        text.extend_from_slice(statement.sql.as_bytes());
        text.push(b'\n');
    }
    text.extend_from_slice(b"COMMIT;\n");
    Secret::new(text)
}

/// Records what is done about a person, who is named by a hash under the project's salt; answers the database.
pub(super) async fn tell(
    state: &AppState,
    actor: Actor,
    (path, person): (DatabasePath, String),
    (what, rows): (PersonAct, Option<u64>),
) -> Result<Database, Refusal> {
    let answer = transaction::write(state, actor, move |tx| {
        let database = lookup::database(tx, &path)?;
        check_postgres(&database).map_err(unfit)?;
        let secret = tx.ensure_salt(&database.project)?;
        let salt = Salt::new(&secret).map_err(|error| Refusal::internal("use a salt", &error))?;
        tx.tell_person(&database, what, salt.pseudonym(&person), rows)?;
        Ok(database)
    });
    answer.await
}
