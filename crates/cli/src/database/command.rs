//! The commands below `havre db`. What each one takes is in its own file.

use clap::Subcommand;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;

#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// List them, with what each waits for
    List,
    /// Show one and what its server says about itself: size, connections, what is slow; never a password or a stored value
    Info(super::info::Options),
    /// Show or follow the log of one
    Logs(super::logs::Options),
    /// Talk to one as its superuser: psql, mariadb or redis-cli, inside its own task
    #[command(visible_alias = "psql")]
    Console(super::console::Options),
    /// Reach one from this machine, on a port of it, with a role of your own
    Connect(super::connect::Options),
    /// Write a dump of one, whole or not at all
    Dump(super::dump::Options),
    /// Take a dump into one that is empty, or under a new name beside it
    Import(super::import::Options),
    /// What belongs to one person: export it, or erase it
    #[command(subcommand)]
    Person(PersonCommand),
    /// Copy one out of another environment, masked by privacy.toml on the way
    Copy(super::copy::Options),
    /// List the copies into one
    Copies(super::copies::Options),
    /// Let another database take the name of one, such as a restored one; services are deployed again
    Swap(super::swap::Options),
    /// Make one a server of a newer major version; the old one stays under another name
    Upgrade(super::upgrade::Options),
    /// List the swaps and upgrades of one
    Swaps(super::swaps::Options),
    /// Stop copies that have not taken their place, and swaps before names are exchanged; everything is as it was
    Cancel(super::cancel::Options),
    /// Give every service that uses one a new password; they are deployed again
    Rotate(super::rotate::Options),
    /// Take one away with its data; refused while services use it
    Destroy(super::destroy::Options),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PersonCommand {
    /// Write what belongs to a person, a JSON object in each line
    Export(super::person::export::Options),
    /// Erase what belongs to a person, in one transaction
    Erase(super::person::erase::Options),
}

/// Does what was asked.
pub(crate) async fn run(invocation: &Invocation, command: DatabaseCommand) -> Result<Exit, CliError> {
    match command {
        DatabaseCommand::List => super::list::run(invocation).await,
        DatabaseCommand::Info(options) => super::info::run(invocation, options).await,
        DatabaseCommand::Logs(options) => super::logs::run(invocation, options).await,
        DatabaseCommand::Console(options) => super::console::run(invocation, options).await,
        DatabaseCommand::Connect(options) => super::connect::run(invocation, options).await,
        DatabaseCommand::Dump(options) => super::dump::run(invocation, options).await,
        DatabaseCommand::Import(options) => super::import::run(invocation, options).await,
        DatabaseCommand::Person(command) => run_person(invocation, command).await,
        DatabaseCommand::Copy(options) => super::copy::run(invocation, options).await,
        DatabaseCommand::Copies(options) => super::copies::run(invocation, options).await,
        DatabaseCommand::Swap(options) => super::swap::run(invocation, options).await,
        DatabaseCommand::Upgrade(options) => super::upgrade::run(invocation, options).await,
        DatabaseCommand::Swaps(options) => super::swaps::run(invocation, options).await,
        DatabaseCommand::Cancel(options) => super::cancel::run(invocation, options).await,
        DatabaseCommand::Rotate(options) => super::rotate::run(invocation, options).await,
        DatabaseCommand::Destroy(options) => super::destroy::run(invocation, options).await,
    }
}

async fn run_person(invocation: &Invocation, command: PersonCommand) -> Result<Exit, CliError> {
    match command {
        PersonCommand::Export(options) => super::person::export::run(invocation, options).await,
        PersonCommand::Erase(options) => super::person::erase::run(invocation, options).await,
    }
}
