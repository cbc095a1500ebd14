//! `havre remote set`: the token comes from standard input, never from an argument, where every process of the machine could see it.

use std::io::{IsTerminal as _, Read as _};

use havre_api::remote::{Remote, SetRemoteRequest};
use havre_core::source::RemoteUrl;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::remote::path;
use crate::task::terminal;

/// Longest token that is read.
const TOKEN_MAX: u64 = 4096;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Address of the repository, such as `https://github.com/acme/dropit.git`
    url: RemoteUrl,
    /// Read an access token of the forge from standard input; without it, none is used
    #[arg(long)]
    token_stdin: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let token = if options.token_stdin { Some(read_token()?) } else { None };
    let request = SetRemoteRequest { url: options.url, token };
    let set: Remote = invocation.client()?.call(Method::PUT, &path(&project), &request).await?;
    if invocation.global.json {
        output::json(&set)?;
        return Ok(Exit::Ok);
    }
    let how = if set.has_token { "with a token" } else { "without a token" };
    output::say(&format!("{} is fetched from {}, {how}", set.project, set.url));
    Ok(Exit::Ok)
}

fn read_token() -> Result<String, CliError> {
    let failed = |error: std::io::Error| CliError::io("read the token", &error);
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        output::say("access token of the forge (it is not shown):");
        let _silence = terminal::silence().map_err(failed)?;
        std::io::stdin().read_line(&mut text).map_err(failed)?;
    } else {
        std::io::stdin().lock().take(TOKEN_MAX).read_to_string(&mut text).map_err(failed)?;
    }
    match text.trim() {
        "" => Err(CliError::usage("no token was given").hint("pipe it to standard input")),
        token => Ok(token.to_owned()),
    }
}
