//! `havre webhook set`: makes a secret, or takes one from standard input, and shows it this one time.

use std::io::Read as _;

use havre_api::webhook::{SetWebhookRequest, SetWebhookResponse};
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::webhook::ProviderName;

/// Longest secret that is read.
const SECRET_MAX: u64 = 4096;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Who sends: github, gitlab, gitea (also for Forgejo), bitbucket, generic
    provider: ProviderName,
    /// Read the secret from standard input, such as a signing token of GitLab, in place of a fresh one
    #[arg(long)]
    secret_stdin: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let secret = if options.secret_stdin { Some(read_secret()?) } else { None };
    let target = format!("/v1/projects/{project}/webhooks/{}", options.provider);
    let request = SetWebhookRequest { secret };
    let made: SetWebhookResponse = invocation.client()?.call(Method::PUT, &target, &request).await?;
    if invocation.global.json {
        output::json(&made)?;
        return Ok(Exit::Ok);
    }
    output::say(&format!(
        "enter both at {}: the path behind the address of this server's API, and the secret, shown this one time:",
        made.provider
    ));
    output::data(&format!("{}\n{}\n", made.path, made.secret))?;
    Ok(Exit::Ok)
}

fn read_secret() -> Result<String, CliError> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(SECRET_MAX).read_to_string(&mut text);
    read.map_err(|error| CliError::io("read the secret", &error))?;
    match text.trim() {
        "" => Err(CliError::usage("no secret was given").hint("pipe it to standard input")),
        secret => Ok(secret.to_owned()),
    }
}
