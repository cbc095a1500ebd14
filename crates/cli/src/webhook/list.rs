//! `havre webhook list`: senders and the paths they call; secrets are never shown.

use havre_api::webhook::WebhookList;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let list: WebhookList = invocation.client()?.get(&format!("/v1/projects/{project}/webhooks")).await?;
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let mut rows = vec![table::row(["SENDER", "PATH", "MADE"])];
    for webhook in &list.webhooks {
        rows.push(table::row([&webhook.provider, &webhook.path, &time::ago(webhook.created_at, now)]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
