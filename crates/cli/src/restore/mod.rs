//! `havre restore`: what can be brought back, a new database out of a snapshot, and the bytes of one. Tests at the end of the files.

mod create;
mod dump;
mod list;

use clap::Subcommand;
use havre_core::name::DatabaseName;
use havre_core::time::{Timestamp, TimestampError};

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;

/// `havre restore DATABASE`, or one of its commands.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the points in time to which a database can be brought back, and restores of before
    List(list::Options),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Database that was saved; it may be gone
    database: Option<DatabaseName>,
    /// This snapshot, by at least eight of its digits; else the newest one
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,
    /// The newest snapshot that is not younger than this, such as 2026-11-24T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = instant, conflicts_with = "snapshot")]
    at: Option<Timestamp>,
    /// Name of the new database; else the first free one, such as db-restored-1
    #[arg(long = "as", value_name = "NAME")]
    name: Option<DatabaseName>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Only ask for it, do not wait for its end
    #[arg(long)]
    detach: bool,
    /// Write the bytes of the snapshot to this file, or to standard output (-), and make no database
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "dry_run", "detach"])]
    to: Option<std::path::PathBuf>,
}

fn instant(text: &str) -> Result<Timestamp, TimestampError> {
    Timestamp::parse(text)
}

pub(crate) async fn run(invocation: &Invocation, args: Args) -> Result<Exit, CliError> {
    if let Some(Command::List(options)) = args.command {
        return list::run(invocation, options).await;
    }
    let options = args.options;
    let Some(database) = options.database.clone() else {
        return Err(CliError::usage("say which database should come back")
            .hint("`havre restore DATABASE`; `havre restore list DATABASE` shows what there is"));
    };
    match options.to.clone() {
        Some(file) => dump::run(invocation, &database, &options, &file).await,
        None => create::run(invocation, &database, options).await,
    }
}
