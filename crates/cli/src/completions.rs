//! `havre completions`: a script for the user's shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::exit::{CliError, Exit};
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(options: Options) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Args::command(), "havre", &mut script);
    output::bytes(&script)?;
    Ok(Exit::Ok)
}
