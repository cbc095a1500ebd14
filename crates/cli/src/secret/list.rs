//! `havre secret list`: names, versions and users; values are never shown.

use havre_api::secret::SecretList;
use havre_core::name::EnvironmentName;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};
use crate::secret::path;

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let mut list: SecretList = invocation.client()?.get(&path(&project)).await?;
    if let Some(environment) = &invocation.global.environment {
        let applies = |of: Option<&EnvironmentName>| of.is_none_or(|of| of == environment);
        list.secrets.retain(|used| applies(used.secret.environment.as_ref()));
    }
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let mut rows = vec![table::row(["SECRET", "ENVIRONMENT", "VERSION", "SET", "BY", "USED BY"])];
    for used in &list.secrets {
        let secret = &used.secret;
        let environment = secret.environment.as_ref().map_or("(all)".to_owned(), ToString::to_string);
        let users: Vec<String> =
            used.used_by.iter().map(|place| format!("{}/{}", place.environment, place.service)).collect();
        rows.push(table::row([
            secret.name.as_str(),
            &environment,
            &secret.version.to_string(),
            &time::ago(secret.set_at, now),
            &secret.set_by.to_string(),
            &users.join(", "),
        ]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
