//! `havre secret provider list`: names, kinds and addresses; credentials are never shown.

use havre_api::secret_provider::SecretProviderList;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};
use crate::secret::provider::path;

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let list: SecretProviderList = invocation.client()?.get(&path(&project)).await?;
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let mut rows = vec![table::row(["PROVIDER", "ENVIRONMENT", "KIND", "URL", "SET", "BY"])];
    for provider in &list.providers {
        let environment = provider.environment.as_ref().map_or("(all)".to_owned(), ToString::to_string);
        let url = provider.settings.url().map_or("-".to_owned(), ToString::to_string);
        rows.push(table::row([
            provider.name.as_str(),
            &environment,
            provider.settings.kind(),
            &url,
            &time::ago(provider.set_at, now),
            &provider.set_by.to_string(),
        ]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
