//! `havre backup`: where backups lie, what ran, and what is missing. Tests at the end of the files.

mod cancel;
mod check;
mod create;
mod drill;
mod kit;
mod list;
mod report;
pub(crate) mod saved;
mod status;
mod target;

use clap::Subcommand;
use havre_core::backup::What;
use havre_core::name::TargetName;

use self::saved::Saved;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Places where backups go; set and removed on the server's own machine only
    #[command(subcommand)]
    Target(Box<TargetCommand>),
    /// Print the recovery kit of a target: what restores without Havre; once, on the server's own machine
    Kit(kit::Options),
    /// Back something up now, and wait for its end
    Run(create::Options),
    /// List runs
    List(list::Options),
    /// Stop runs
    Cancel(cancel::Options),
    /// Try now whether a database comes back, and wait for its end
    Drill(drill::Options),
    /// List drills, or show what one found
    Report(report::Options),
    /// Show copies, their ages, and what is missing
    Status,
    /// Say what of backups somebody has to look at, one line for each; for probes
    Check,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// Set one; its credential comes from standard input
    Set(Box<target::set::Options>),
    /// List them, without credentials
    List,
    /// Forget one; its repository is left as it is
    Remove(target::remove::Options),
}

pub(crate) async fn run(invocation: &Invocation, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Target(command) => run_target(invocation, *command).await,
        Command::Kit(options) => kit::run(invocation, options).await,
        Command::Run(options) => create::run(invocation, options).await,
        Command::List(options) => list::run(invocation, options).await,
        Command::Cancel(options) => cancel::run(invocation, options).await,
        Command::Drill(options) => drill::run(invocation, options).await,
        Command::Report(options) => report::run(invocation, options).await,
        Command::Status => status::run(invocation).await,
        Command::Check => check::run(invocation).await,
    }
}

async fn run_target(invocation: &Invocation, command: TargetCommand) -> Result<Exit, CliError> {
    match command {
        TargetCommand::Set(options) => target::set::run(invocation, *options).await,
        TargetCommand::List => target::list::run(invocation).await,
        TargetCommand::Remove(options) => target::remove::run(invocation, options).await,
    }
}

/// What is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Database of the environment, or volume of a service such as api/uploads; left out, everything that is saved
    #[arg(value_name = "DATABASE or SERVICE/VOLUME")]
    database: Option<Saved>,
    /// The platform itself: what Havre needs to come back
    #[arg(long, conflicts_with = "database")]
    platform: bool,
    /// The files of the database, from which its WAL goes on
    #[arg(long, requires = "database")]
    base: bool,
}

impl Named {
    /// Nothing for everything.
    fn what(&self, invocation: &Invocation) -> Result<Option<What>, CliError> {
        if self.platform {
            return Ok(Some(What::Platform));
        }
        let Some(saved) = &self.database else { return Ok(None) };
        let what = saved.what(invocation.scope()?);
        if !self.base {
            return Ok(Some(what));
        }
        match what {
            What::Database { project, environment, database } => {
                Ok(Some(What::Base { project, environment, database }))
            }
            What::Base { .. } | What::Volume { .. } | What::Platform => {
                Err(CliError::usage(format!("{saved} has no WAL, so it has no base either"))
                    .hint("leave --base out: a volume is saved as it is"))
            }
        }
    }
}

/// Path of a target in the API; `rest` is empty or begins with a slash.
fn target_path(name: &TargetName, rest: &str) -> String {
    format!("/v1/backup-targets/{name}{rest}")
}
