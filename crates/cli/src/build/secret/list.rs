//! `havre build secret list`: names and dates; values are never shown.

use havre_api::build::BuildSecretList;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let path = format!("/v1/projects/{project}/build-secrets");
    let list: BuildSecretList = invocation.client()?.get(&path).await?;
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let mut rows = vec![table::row(["NAME", "SET"])];
    for secret in &list.secrets {
        rows.push(table::row([secret.name.as_str(), &time::ago(secret.set_at, now)]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
