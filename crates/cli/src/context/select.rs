//! `havre context use`: chooses the server for the next commands.

use super::{find, load, path, save};
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
    let address = find(&contexts, &options.name)?.address();
    contexts.current = Some(options.name.clone());
    save(&path, &contexts)?;
    output::say(&format!("{} ({address}) is used from now on", options.name));
    Ok(Exit::Ok)
}
