//! `havre apply`: makes the server's configuration what `havre.toml` says. Users see most of it with the next
//! deployment.

use super::plan;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Destroy services havre.toml does not name, with their volumes; asks first
    #[arg(long)]
    prune: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    if options.prune && !options.yes && !options.dry_run {
        use havre_api::environment::Action;
        let plan = plan::request(invocation, true, true).await?;
        let gone: Vec<String> = plan
            .changes
            .iter()
            .filter(|change| change.action == Action::Destroyed)
            .map(|change| change.service.to_string())
            .collect();
        if !gone.is_empty() {
            output::say(super::change::render(&plan, output::style::Style::stderr()).trim_end());
            super::destroy::ask("yes", "these services are destroyed with their volumes and releases")?;
        }
    }
    let response = plan::request(invocation, options.dry_run, options.prune).await?;
    plan::show(&response, invocation.global.json)
}
