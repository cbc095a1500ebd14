//! `havre backup target remove`: forgets a target, its runs and its password; its repository is left as it is.

use havre_core::name::TargetName;

use crate::backup::target_path;
use crate::exit::{CliError, Exit};
use crate::http::path;
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The target
    name: TargetName,
    /// Although the newest backup of something lies there only, or nobody has its recovery kit
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let path = path::query(&target_path(&options.name, ""), &[("force", Some(&options.force))]);
    let () = invocation.client()?.delete(&path).await?;
    output::say(&format!(
        "{} is forgotten; its repository is left as it is, and its recovery kit opens it",
        options.name
    ));
    Ok(Exit::Ok)
}
