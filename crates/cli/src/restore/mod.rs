//! `havre restore`: what can be brought back, a new database or volume out of a snapshot, and the bytes of one. Tests at the end of the files.

mod create;
mod dump;
mod list;
mod volume;

use clap::Subcommand;
use havre_api::restore::{RestoreInterval, RestorePointList};
use havre_core::name::DatabaseName;
use havre_core::time::{Timestamp, TimestampError};

use crate::backup::saved::Saved;
use crate::database::path;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

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
    /// Show the points in time to which a database or a volume can be brought back, and restores of before
    List(list::Options),
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Database that was saved, or volume of a service such as api/uploads; it may be gone
    #[arg(value_name = "DATABASE or SERVICE/VOLUME")]
    database: Option<Saved>,
    /// This snapshot, by at least eight of its digits; else the newest one
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,
    /// This second where its WAL is kept, such as 2026-11-24T10:00:00Z, or the last one there is (latest); else the newest snapshot that is
    /// not younger
    #[arg(long, value_name = "TIME", value_parser = instant, conflicts_with = "snapshot")]
    at: Option<At>,
    /// Name of the new database or volume; else the first free one, such as db-restored-1
    #[arg(long = "as", value_name = "NAME")]
    name: Option<DatabaseName>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Only ask for it, do not wait for its end
    #[arg(long)]
    detach: bool,
    /// Write the bytes of the snapshot to this file, or to standard output (-), and make nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "dry_run", "detach"])]
    to: Option<std::path::PathBuf>,
}

/// Shows what was asked for; the restore to follow, unless that was all. `begun` is its id, and it, where one was begun.
fn show<A: serde::Serialize, R>(
    json: bool,
    asked: &A,
    plan: &str,
    begun: Option<(String, R)>,
    detach: bool,
) -> Result<Option<R>, CliError> {
    let (text, follow) = match begun {
        None => (plan.to_owned(), None),
        Some((id, restore)) => {
            output::say(plan.trim_end());
            (format!("{id}\n"), Some(restore).filter(|_| !detach))
        }
    };
    if follow.is_none() {
        if json {
            output::json(asked)?;
        } else {
            output::data(&text)?;
        }
    }
    Ok(follow)
}

/// What somebody wants to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The last second there is.
    Latest,
    /// This one.
    Instant(Timestamp),
}

fn instant(text: &str) -> Result<At, TimestampError> {
    if text == "latest" { Ok(At::Latest) } else { Timestamp::parse(text).map(At::Instant) }
}

/// The instant that is meant. The last one is asked of the server: WAL of the last minute may not be there yet.
async fn meant(
    invocation: &Invocation,
    database: &DatabaseName,
    at: Option<At>,
) -> Result<Option<Timestamp>, CliError> {
    match at {
        None => return Ok(None),
        Some(At::Instant(at)) => return Ok(Some(at)),
        Some(At::Latest) => {}
    }
    let points = path(&invocation.scope()?, database, "/points");
    let list: RestorePointList = invocation.client()?.get(&points).await?;
    last(&list.line).map(Some).ok_or_else(|| {
        CliError::usage(format!(
            "no second of {database} can be brought back: its WAL is not kept, or not there yet"
        ))
        .hint("leave --at out for the newest snapshot; `backup = { point_in_time = true }` keeps WAL")
    })
}

/// The last millisecond of a line.
fn last(line: &[RestoreInterval]) -> Option<Timestamp> {
    line.last().map(|interval| Timestamp::from_millis(interval.until.as_millis() - 1))
}

pub(crate) async fn run(invocation: &Invocation, args: Args) -> Result<Exit, CliError> {
    if let Some(Command::List(options)) = args.command {
        return list::run(invocation, options).await;
    }
    let options = args.options;
    let Some(saved) = options.database.clone() else {
        return Err(CliError::usage("say which database or volume should come back")
            .hint("`havre restore DATABASE`; `havre restore list DATABASE` shows what there is"));
    };
    match (options.to.clone(), &saved) {
        (Some(file), _) => dump::run(invocation, &saved, &options, &file).await,
        (None, Saved::Database(database)) => create::run(invocation, database, options).await,
        (None, Saved::Volume { .. }) => volume::run(invocation, &saved, options).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_an_instant_or_the_last_one() {
        let at = Timestamp::parse("2026-11-24T10:00:00Z").expect("an instant");
        assert_eq!(instant("2026-11-24T10:00:00Z"), Ok(At::Instant(at)));
        assert_eq!(instant("latest"), Ok(At::Latest));
        assert!(instant("Latest").is_err() && instant("now").is_err());
        let until = |until| RestoreInterval { from: at, until };
        let later = at.after(std::time::Duration::from_secs(60));
        let line = [until(at), until(later)];
        assert_eq!(last(&line).map(|at| at.to_string()).as_deref(), Some("2026-11-24T10:00:59.999Z"));
        assert_eq!(last(&[]), None);
    }
}
