//! `havre context add`: remembers a server. A token is read from standard input, never from an argument, where every
//! process of the machine could see it. Tests: `tests/it/context.rs`.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use havre_core::name::TokenName;

use super::{Stored, load, path, save};
use crate::exit::{CliError, Exit};
use crate::http::{Client, Endpoint};
use crate::output;
use crate::task::terminal;

/// Longest token that is read.
const TOKEN_MAX: u64 = 4096;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("where").required(true).args(["url", "socket"])))]
pub(crate) struct Options {
    /// Name to know it by: 1 to 32 of a-z, 0-9 and -
    name: TokenName,
    /// Address of its API, such as http://127.0.0.1:7080; the token is then read from standard input
    #[arg(long)]
    url: Option<String>,
    /// Path of its control socket, such as one forwarded by SSH
    #[arg(long)]
    socket: Option<PathBuf>,
    /// Use it from now on
    #[arg(long = "use")]
    is_used: bool,
}

pub(crate) fn run(options: Options, insecure: bool) -> Result<Exit, CliError> {
    let token = match &options.url {
        Some(url) => {
            let endpoint = Endpoint::parse(url)?;
            let token = read_token()?;
            Client::new(endpoint, Some(token.clone()), insecure)?;
            Some(token)
        }
        None => None,
    };
    let socket = match &options.socket {
        Some(socket) => Some(
            std::path::absolute(socket)
                .map_err(|error| CliError::io(format!("find {}", socket.display()), &error))?,
        ),
        None => None,
    };
    let path = path()?;
    let mut contexts = load(&path)?;
    let name = options.name.to_string();
    let stored = Stored { url: options.url, socket, token };
    let address = stored.address();
    let is_new = contexts.contexts.insert(name.clone(), stored).is_none();
    if options.is_used || contexts.current.is_none() {
        contexts.current = Some(name.clone());
    }
    save(&path, &contexts)?;
    let verb = if is_new { "added" } else { "replaced" };
    let current = if contexts.current.as_deref() == Some(&name) { ", in use from now on" } else { "" };
    output::say(&format!("{verb} {name} ({address}){current}"));
    Ok(Exit::Ok)
}

fn read_token() -> Result<String, CliError> {
    let failed = |error: std::io::Error| CliError::io("read the access token", &error);
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        output::say("access token (it is not shown; `havre token create` on the server makes one):");
        let _silence = terminal::silence().map_err(failed)?;
        std::io::stdin().read_line(&mut text).map_err(failed)?;
    } else {
        std::io::stdin().lock().take(TOKEN_MAX).read_to_string(&mut text).map_err(failed)?;
    }
    match text.trim() {
        "" => Err(CliError::usage("no access token was given").hint("pipe it to standard input")),
        token => Ok(token.to_owned()),
    }
}
