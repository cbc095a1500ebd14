//! `havred`, the server: one binary, separate processes for the roles `control`, `edge`, `guard` and `supervise`. Wiring and
//! signals only. Tests: `script/e2e` and at the end of files.

mod check;
mod config;
mod control;
mod entropy;
mod git;
mod guard;
mod intake;
mod key;
mod node;
mod recover;
mod repositories;
mod signals;
mod snapshots;
mod ssh;
mod streams;
mod supervise;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use havre_core::id::SshKeyId;
use havre_core::ssh_key::Fingerprint;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs a team's production on servers they own.
#[derive(Debug, Parser)]
#[command(name = "havred", version, arg_required_else_help = true)]
struct Arguments {
    /// Bootstrap configuration; every key has a default, so the file may be missing at the default place.
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Clone, Subcommand)]
enum Role {
    /// API, store, every decision; carries no user traffic.
    Control,
    /// Front door: routing, static sites, health probes; talks to control only.
    Edge,
    /// Keeps builds within their limits; runs as root, where control may not set them.
    Guard,
    /// Starts control and edge as child processes and keeps them running, for machines without systemd.
    Supervise,
    /// The key that seals secrets in the store.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Brings Havre back on an empty server, out of a repository of backups.
    Recover(Box<recover::Options>),
    /// For sshd's `AuthorizedKeysCommand`: the line about the key of a fingerprint, nothing when it is not one of ours.
    GitKeys {
        /// Fingerprint of the key somebody offers (`%f`).
        fingerprint: Fingerprint,
    },
    /// For sshd: takes the push of somebody with this key, and does nothing else.
    GitSsh {
        /// Id of the key.
        key: SshKeyId,
    },
    /// Reads the configuration, says whether it is usable, and ends.
    Check,
    /// Says what of backups somebody has to look at, one line for each, out of the store alone; ends with 6 when there is anything.
    BackupCheck {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum KeyCommand {
    /// Makes it where the configuration says (`master_key`); never replaces one.
    Create,
}

fn main() -> ExitCode {
    // Git starts this program in place of `ssh`, with arguments of its own.
    if let Some(error) = havre_source::git::ssh::stand_in() {
        eprintln!("havred: {error}");
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::parse();
    init_log();
    let result =
        config::load(&arguments.config).and_then(|config| run(arguments.role, config, &arguments.config));
    match result {
        Ok(code) => code,
        Err(error) => {
            // The whole chain in one line: the journal shows lines.
            eprintln!("havred: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role, config: config::Config, path: &Path) -> anyhow::Result<ExitCode> {
    match role {
        Role::Control => control::run(config, path)?,
        Role::Edge => run_edge(config)?,
        Role::Guard => guard::run(&config)?,
        Role::Supervise => supervise::run(&config, path)?,
        Role::Key(KeyCommand::Create) => key::create(&config.control.master_key)?,
        Role::Recover(options) => recover::run(&config.control, path, &options)?,
        Role::GitKeys { fingerprint } => ssh::print_key(&config.control, path, &fingerprint)?,
        Role::GitSsh { key } => ssh::serve(&config.control, key)?,
        Role::Check => println!("{} is usable", path.display()),
        Role::BackupCheck { json } => return check::run(&config.control, json),
    }
    Ok(ExitCode::SUCCESS)
}

fn run_edge(config: config::Config) -> anyhow::Result<()> {
    let orders = signals::watch_thread()?;
    Ok(havre_edge::role::run(config.edge, orders)?)
}

/// Logs to standard error, which the journal collects; `HAVRE_LOG` chooses levels.
fn init_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HAVRE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .with_target(false)
        .init();
}
