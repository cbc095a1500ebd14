//! The command line: which commands there are. What each one takes is in its own file.

use clap::{Parser, Subcommand};

use crate::exit::{CliError, Exit};
use crate::invocation::{Global, Invocation};
use crate::{
    access, backup, build, certificate, completions, context, database, deployment, dns_provider, dockerfile,
    edge, environment, event, issuer, job, pipeline, preview, project, registry, release, remote, repository,
    restore, secret, service, ssh_key, task, version, webhook,
};

/// Runs a team's production on servers they own.
#[derive(Debug, Parser)]
#[command(name = "havre", version, max_term_width = 100, after_help = crate::exit::help(), propagate_version = true)]
pub(crate) struct Args {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a first havre.toml from what is found here
    Init(project::init::Options),
    /// Show what havre.toml would change on the server
    Plan(environment::plan::Options),
    /// Make the server's configuration what havre.toml says
    Apply(environment::apply::Options),
    /// Show how services are built, and set the secrets their builds may mount
    Build(BuildArgs),
    /// Build and deploy, and follow until users get it
    Deploy(deployment::deploy::Options),
    /// Show what runs and what it waits for
    Status(environment::status::Options),
    /// List what can be gone back to
    Releases(release::list::Options),
    /// Show or follow the logs of services
    Logs(task::logs::Options),
    /// Make an earlier release live again, its configuration included
    Rollback(deployment::rollback::Options),
    /// Deploy in one environment what another one runs, by digest and without a build
    Promote(environment::promote::Options),
    /// Replace the tasks of the live release by fresh ones
    Restart(deployment::restart::Options),
    /// Change the number of tasks
    Scale(service::scale::Options),
    /// Give users a page instead of a service, or the service again
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// Passwords for `basic_auth` of havre.toml
    #[command(subcommand)]
    Password(PasswordCommand),
    /// Run a command inside a running task
    Exec(task::exec::Options),
    /// Run a command in a one-off task of its own, without standard input
    Run(task::run::Options),
    /// Show or follow what happened
    Events(event::list::Options),
    /// Print where users find a service, and open it
    Open(service::open::Options),
    /// Stop deployments or builds; what is live stays live
    Cancel(deployment::cancel::Options),
    /// Take a service or the whole environment away for ever
    Destroy(environment::destroy::Options),
    /// Pipelines: what follows from a push
    #[command(subcommand)]
    Ci(CiCommand),
    /// Previews: an environment for each pull request
    #[command(subcommand)]
    Preview(PreviewCommand),
    /// Jobs of services: when they run next, how they ended, and a run by hand
    #[command(subcommand)]
    Job(JobCommand),
    /// Databases: what runs, a client inside, copies of them, new passwords
    #[command(subcommand)]
    Db(database::command::DatabaseCommand),
    /// Backups: where they lie, what ran, and what is missing
    #[command(subcommand)]
    Backup(backup::Command),
    /// Bring a database back: as a new one beside it, or as the bytes of a snapshot
    Restore(restore::Args),
    /// The repository of the project: what is in it, and which branches are protected
    #[command(subcommand)]
    Repository(RepositoryCommand),
    /// Secrets of services: values that tasks get as variables and that nobody sees
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Where the repository of the project is fetched from when a webhook announces a push
    #[command(subcommand)]
    Remote(RemoteCommand),
    /// Which senders may announce a push to that repository
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// What goes through the front door, and how it is
    #[command(subcommand)]
    Edge(EdgeCommand),
    /// Certificates: what is served, what is on its way, and why it waits
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// Who is asked for certificates
    #[command(subcommand)]
    Issuer(IssuerCommand),
    /// At whom records of a zone are written, for wildcard certificates
    #[command(subcommand)]
    DnsProvider(DnsProviderCommand),
    /// Registries images are pulled from: who pulls, and how many pulls are left
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Dockerfiles on this machine, without a server
    #[command(subcommand)]
    Dockerfile(DockerfileCommand),
    /// Access tokens of the server; only on its own machine
    #[command(subcommand)]
    Token(TokenCommand),
    /// Keys by which people push over SSH; only on the server's own machine
    #[command(subcommand)]
    SshKey(SshKeyCommand),
    /// The servers you know
    #[command(subcommand)]
    Context(ContextCommand),
    /// Print a completion script for your shell
    Completions(completions::Options),
    /// Show the versions of client and server
    Version,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
struct BuildArgs {
    #[command(subcommand)]
    command: Option<BuildCommand>,
    #[command(flatten)]
    print: build::print::Options,
}

#[derive(Debug, Subcommand)]
enum BuildCommand {
    /// Secrets that steps of builds may mount
    #[command(subcommand)]
    Secret(BuildSecretCommand),
}

#[derive(Debug, Subcommand)]
enum BuildSecretCommand {
    /// Set the value of one; it comes from standard input
    Set(build::secret::set::Options),
    /// List them, without their values
    List,
    /// Forget one
    Remove(build::secret::remove::Options),
}

#[derive(Debug, Subcommand)]
enum CiCommand {
    /// List pipelines, or show one; `--wait` for its end
    Status(pipeline::status::Options),
    /// Show or follow what the builds of a pipeline say
    Logs(pipeline::logs::Options),
    /// Build and deploy the commit of a pipeline once more
    Rerun(pipeline::rerun::Options),
    /// Stop a pipeline; what is live stays live
    Cancel(pipeline::cancel::Options),
}

#[derive(Debug, Subcommand)]
enum PreviewCommand {
    /// List them, with their addresses
    List,
    /// Make one now of a branch of the remote repository
    Open(preview::open::Options),
    /// Take one down; the next push to the pull request makes it again
    Close(preview::close::Options),
}

#[derive(Debug, Subcommand)]
enum RepositoryCommand {
    /// Show its size, when it was pushed to, and its protected branches
    Show,
    /// Refuse pushes that remove or rewrite a branch
    Protect(repository::protect::Options),
    /// Take them again
    Unprotect(repository::protect::Options),
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Give one a value, from standard input; for every environment, or with --env for one
    Set(secret::set::Options),
    /// Set all variables of a file such as .env, or none
    Import(secret::import::Options),
    /// List them with their users, without values
    List,
    /// List the versions of one, without values
    History(secret::history::Options),
    /// Print the value of one; that somebody saw it is recorded
    Reveal(secret::reveal::Options),
    /// Forget one with its versions
    Remove(secret::remove::Options),
    /// Make a new data key for the project and seal every value with it
    RotateKeys,
    /// Who keeps values outside of Havre: Vault, 1Password, Bitwarden, files of the server
    #[command(subcommand)]
    Provider(secret::provider::Command),
}

#[derive(Debug, Subcommand)]
enum RemoteCommand {
    /// Set its address, and the token that opens it
    Set(remote::set::Options),
    /// Show its address, without the token
    Show,
    /// Show, replace and confirm the deploy key it is fetched with over SSH
    #[command(subcommand)]
    Key(remote::key::Command),
    /// Forget it; what was fetched stays
    Remove,
}

#[derive(Debug, Subcommand)]
enum WebhookCommand {
    /// Make one, or give it another secret; the secret is shown this one time
    Set(webhook::set::Options),
    /// List them, without their secrets
    List,
    /// Take one away
    Remove(webhook::remove::Options),
}

#[derive(Debug, Subcommand)]
enum EdgeCommand {
    /// Show requests, errors, durations and bytes by service and release, live
    Top(edge::top::Options),
    /// Show each edge: its table, its addresses, what it turned away
    Status,
}

#[derive(Debug, Subcommand)]
enum MaintenanceCommand {
    /// Start it, without a deployment; prints a secret that passes
    On(service::maintenance::Options),
    /// End it
    Off(service::maintenance::Options),
}

#[derive(Debug, Subcommand)]
enum PasswordCommand {
    /// Print the hash of a password read from standard input
    Hash,
}

#[derive(Debug, Subcommand)]
enum JobCommand {
    /// List them, with their next run and how the last one ended
    List,
    /// List the runs of one
    Runs(job::runs::Options),
    /// Run one now, and follow it
    Run(job::run::Options),
    /// Show or follow the log of a run
    Logs(job::logs::Options),
    /// Stop runs; no further attempt follows
    Cancel(job::cancel::Options),
}

#[derive(Debug, Subcommand)]
enum CertificateCommand {
    /// List them, with what each waits for
    List,
    /// Show one
    Show(certificate::show::Options),
    /// Bring one of your own
    Upload(certificate::upload::Options),
    /// Order a new one now
    Renew(certificate::renew::Options),
    /// Remove one with its key
    Remove(certificate::remove::Options),
}

#[derive(Debug, Subcommand)]
enum IssuerCommand {
    /// List them, the first that is asked first
    List,
    /// Set one: letsencrypt, google, zerossl, or one of your own
    Set(issuer::set::Options),
    /// Remove one
    Remove(issuer::remove::Options),
}

#[derive(Debug, Subcommand)]
enum RegistryCommand {
    /// Set user and password of one; the password comes from standard input
    Set(registry::set::Options),
    /// List them, with how many pulls are left where that is known, and without passwords
    List,
    /// Forget user and password of one
    Remove(registry::remove::Options),
}

#[derive(Debug, Subcommand)]
enum DnsProviderCommand {
    /// List zones and who has them, without credentials
    List,
    /// Set the provider of a zone; its credentials come from standard input
    Set(dns_provider::set::Options),
    /// Forget the provider of a zone
    Remove(dns_provider::remove::Options),
}

#[derive(Debug, Subcommand)]
enum DockerfileCommand {
    /// Say what should be mended in one, why, and how
    Check(dockerfile::check::Options),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make one; it is shown this one time
    Create(access::create::Options),
    /// List them, without their secrets
    List,
    /// Take one back; it stops to work at once
    Revoke(access::revoke::Options),
}

#[derive(Debug, Subcommand)]
enum SshKeyCommand {
    /// Add a public key; with --project for that one only, else for every project
    Add(ssh_key::add::Options),
    /// List them
    List,
    /// Remove one; it stops to work at once
    Remove(ssh_key::remove::Options),
}

#[derive(Debug, Subcommand)]
enum ContextCommand {
    /// Remember a server
    Add(context::add::Options),
    /// Use one from now on
    Use(context::select::Options),
    /// List them
    List,
    /// Forget one
    Remove(context::remove::Options),
}

/// Does what was asked.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let invocation = Invocation { global: args.global };
    match args.command {
        Command::Init(options) => project::init::run(&invocation.global, options),
        Command::Plan(options) => environment::plan::run(&invocation, options).await,
        Command::Apply(options) => environment::apply::run(&invocation, options).await,
        Command::Build(BuildArgs { command: None, print }) => build::print::run(&invocation, print),
        Command::Build(BuildArgs { command: Some(BuildCommand::Secret(command)), .. }) => {
            run_build_secret(&invocation, command).await
        }
        Command::Deploy(options) => deployment::deploy::run(&invocation, options).await,
        Command::Status(options) => environment::status::run(&invocation, options).await,
        Command::Releases(options) => release::list::run(&invocation, options).await,
        Command::Logs(options) => task::logs::run(&invocation, options).await,
        Command::Rollback(options) => deployment::rollback::run(&invocation, options).await,
        Command::Promote(options) => environment::promote::run(&invocation, options).await,
        Command::Restart(options) => deployment::restart::run(&invocation, options).await,
        Command::Scale(options) => service::scale::run(&invocation, options).await,
        Command::Maintenance(MaintenanceCommand::On(options)) => {
            service::maintenance::run(&invocation, options, true).await
        }
        Command::Maintenance(MaintenanceCommand::Off(options)) => {
            service::maintenance::run(&invocation, options, false).await
        }
        Command::Password(PasswordCommand::Hash) => access::password::run(invocation.global.json),
        Command::Exec(options) => task::exec::run(&invocation, options).await,
        Command::Run(options) => task::run::run(&invocation, options).await,
        Command::Events(options) => event::list::run(&invocation, options).await,
        Command::Open(options) => service::open::run(&invocation, options).await,
        Command::Cancel(options) => deployment::cancel::run(&invocation, options).await,
        Command::Destroy(options) => environment::destroy::run(&invocation, options).await,
        Command::Ci(command) => run_ci(&invocation, command).await,
        Command::Preview(command) => run_preview(&invocation, command).await,
        Command::Repository(command) => run_repository(&invocation, command).await,
        Command::Secret(command) => run_secret(&invocation, command).await,
        Command::Remote(command) => run_remote(&invocation, command).await,
        Command::Webhook(command) => run_webhook(&invocation, command).await,
        Command::Edge(EdgeCommand::Top(options)) => edge::top::run(&invocation, options).await,
        Command::Edge(EdgeCommand::Status) => edge::status::run(&invocation).await,
        Command::Job(command) => run_job(&invocation, command).await,
        Command::Db(command) => database::command::run(&invocation, command).await,
        Command::Backup(command) => backup::run(&invocation, command).await,
        Command::Restore(args) => restore::run(&invocation, args).await,
        Command::Certificate(command) => run_certificate(&invocation, command).await,
        Command::Issuer(command) => run_issuer(&invocation, command).await,
        Command::DnsProvider(command) => run_dns_provider(&invocation, command).await,
        Command::Registry(command) => run_registry(&invocation, command).await,
        Command::Dockerfile(DockerfileCommand::Check(options)) => {
            dockerfile::check::run(&invocation, options)
        }
        Command::Token(TokenCommand::Create(options)) => access::create::run(&invocation, options).await,
        Command::Token(TokenCommand::List) => access::list::run(&invocation).await,
        Command::Token(TokenCommand::Revoke(options)) => access::revoke::run(&invocation, options).await,
        Command::SshKey(command) => run_ssh_key(&invocation, command).await,
        Command::Context(ContextCommand::Add(options)) => {
            context::add::run(options, invocation.global.insecure)
        }
        Command::Context(ContextCommand::Use(options)) => context::select::run(options),
        Command::Context(ContextCommand::List) => context::list::run(invocation.global.json),
        Command::Context(ContextCommand::Remove(options)) => context::remove::run(options),
        Command::Completions(options) => completions::run(options),
        Command::Version => version::run(&invocation).await,
    }
}

async fn run_build_secret(invocation: &Invocation, command: BuildSecretCommand) -> Result<Exit, CliError> {
    match command {
        BuildSecretCommand::Set(options) => build::secret::set::run(invocation, options).await,
        BuildSecretCommand::List => build::secret::list::run(invocation).await,
        BuildSecretCommand::Remove(options) => build::secret::remove::run(invocation, options).await,
    }
}

async fn run_ci(invocation: &Invocation, command: CiCommand) -> Result<Exit, CliError> {
    match command {
        CiCommand::Status(options) => pipeline::status::run(invocation, options).await,
        CiCommand::Logs(options) => pipeline::logs::run(invocation, options).await,
        CiCommand::Rerun(options) => pipeline::rerun::run(invocation, options).await,
        CiCommand::Cancel(options) => pipeline::cancel::run(invocation, options).await,
    }
}

async fn run_job(invocation: &Invocation, command: JobCommand) -> Result<Exit, CliError> {
    match command {
        JobCommand::List => job::list::run(invocation).await,
        JobCommand::Runs(options) => job::runs::run(invocation, options).await,
        JobCommand::Run(options) => job::run::run(invocation, options).await,
        JobCommand::Logs(options) => job::logs::run(invocation, options).await,
        JobCommand::Cancel(options) => job::cancel::run(invocation, options).await,
    }
}

async fn run_preview(invocation: &Invocation, command: PreviewCommand) -> Result<Exit, CliError> {
    match command {
        PreviewCommand::List => preview::list::run(invocation).await,
        PreviewCommand::Open(options) => preview::open::run(invocation, options).await,
        PreviewCommand::Close(options) => preview::close::run(invocation, options).await,
    }
}

async fn run_repository(invocation: &Invocation, command: RepositoryCommand) -> Result<Exit, CliError> {
    match command {
        RepositoryCommand::Show => repository::show::run(invocation).await,
        RepositoryCommand::Protect(options) => repository::protect::run(invocation, options, true).await,
        RepositoryCommand::Unprotect(options) => repository::protect::run(invocation, options, false).await,
    }
}

async fn run_secret(invocation: &Invocation, command: SecretCommand) -> Result<Exit, CliError> {
    match command {
        SecretCommand::Set(options) => secret::set::run(invocation, options).await,
        SecretCommand::Import(options) => secret::import::run(invocation, options).await,
        SecretCommand::List => secret::list::run(invocation).await,
        SecretCommand::History(options) => secret::history::run(invocation, options).await,
        SecretCommand::Reveal(options) => secret::reveal::run(invocation, options).await,
        SecretCommand::Remove(options) => secret::remove::run(invocation, options).await,
        SecretCommand::RotateKeys => secret::rotate::run(invocation).await,
        SecretCommand::Provider(command) => secret::provider::run(invocation, command).await,
    }
}

async fn run_remote(invocation: &Invocation, command: RemoteCommand) -> Result<Exit, CliError> {
    match command {
        RemoteCommand::Set(options) => remote::set::run(invocation, options).await,
        RemoteCommand::Show => remote::show::run(invocation).await,
        RemoteCommand::Key(command) => remote::key::run(invocation, command).await,
        RemoteCommand::Remove => remote::remove::run(invocation).await,
    }
}

async fn run_ssh_key(invocation: &Invocation, command: SshKeyCommand) -> Result<Exit, CliError> {
    match command {
        SshKeyCommand::Add(options) => ssh_key::add::run(invocation, options).await,
        SshKeyCommand::List => ssh_key::list::run(invocation).await,
        SshKeyCommand::Remove(options) => ssh_key::remove::run(invocation, options).await,
    }
}

async fn run_webhook(invocation: &Invocation, command: WebhookCommand) -> Result<Exit, CliError> {
    match command {
        WebhookCommand::Set(options) => webhook::set::run(invocation, options).await,
        WebhookCommand::List => webhook::list::run(invocation).await,
        WebhookCommand::Remove(options) => webhook::remove::run(invocation, options).await,
    }
}

async fn run_certificate(invocation: &Invocation, command: CertificateCommand) -> Result<Exit, CliError> {
    match command {
        CertificateCommand::List => certificate::list::run(invocation).await,
        CertificateCommand::Show(options) => certificate::show::run(invocation, options).await,
        CertificateCommand::Upload(options) => certificate::upload::run(invocation, options).await,
        CertificateCommand::Renew(options) => certificate::renew::run(invocation, options).await,
        CertificateCommand::Remove(options) => certificate::remove::run(invocation, options).await,
    }
}

async fn run_issuer(invocation: &Invocation, command: IssuerCommand) -> Result<Exit, CliError> {
    match command {
        IssuerCommand::List => issuer::list::run(invocation).await,
        IssuerCommand::Set(options) => issuer::set::run(invocation, options).await,
        IssuerCommand::Remove(options) => issuer::remove::run(invocation, options).await,
    }
}

async fn run_registry(invocation: &Invocation, command: RegistryCommand) -> Result<Exit, CliError> {
    match command {
        RegistryCommand::Set(options) => registry::set::run(invocation, options).await,
        RegistryCommand::List => registry::list::run(invocation).await,
        RegistryCommand::Remove(options) => registry::remove::run(invocation, options).await,
    }
}

async fn run_dns_provider(invocation: &Invocation, command: DnsProviderCommand) -> Result<Exit, CliError> {
    match command {
        DnsProviderCommand::List => dns_provider::list::run(invocation).await,
        DnsProviderCommand::Set(options) => dns_provider::set::run(invocation, options).await,
        DnsProviderCommand::Remove(options) => dns_provider::remove::run(invocation, options).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_is_documented() {
        let page = include_str!("../../../docs/cli.md");
        let root = Args::command();
        let mut missing = Vec::new();
        for command in root.get_subcommands().flat_map(|command| {
            let inner: Vec<&clap::Command> = command.get_subcommands().collect();
            if inner.is_empty() { vec![command] } else { inner }
        }) {
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                if !page.contains(&format!("--{option}")) {
                    missing.push(format!("--{option} of {}", command.get_name()));
                }
            }
            if !page.contains(&format!("{} ", command.get_name()))
                && !page.contains(&format!("{}`", command.get_name()))
            {
                missing.push(command.get_name().to_owned());
            }
        }
        assert_eq!(missing, Vec::<String>::new());
    }
}
