//! `havre context remove`: forgets a server and its token here. The token stays valid until it is revoked.

use super::{load, path, save, unknown};
use crate::exit::{CliError, Exit};
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name of the context
    name: String,
}

pub(crate) fn run(options: Options) -> Result<Exit, CliError> {
    let path = path()?;
    let mut contexts = load(&path)?;
    let Some(stored) = contexts.contexts.remove(&options.name) else {
        return Err(unknown(&contexts, &options.name));
    };
    if contexts.current.as_deref() == Some(&options.name) {
        contexts.current = None;
    }
    save(&path, &contexts)?;
    output::say(&format!("removed {} ({})", options.name, stored.address()));
    if stored.token.is_some() {
        output::say("its access token still works; `havre token revoke` on that server takes it back");
    }
    Ok(Exit::Ok)
}
