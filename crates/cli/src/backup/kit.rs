//! `havre backup kit`: the page to print. It goes to standard output, so that it can be piped to a printer and lies nowhere.

use havre_api::backup::BackupKit;
use havre_core::name::TargetName;

use super::target_path;
use crate::exit::{CliError, Exit};
use crate::http::path;
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The target
    target: TargetName,
    /// Although it was shown before; that is recorded as well
    #[arg(long)]
    again: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let path = path::query(&target_path(&options.target, "/kit"), &[("again", Some(&options.again))]);
    let kit: BackupKit = invocation.client()?.post(&path).await?;
    if invocation.global.json {
        output::json(&kit)?;
        return Ok(Exit::Ok);
    }
    output::data(&kit.page)?;
    output::say("whoever has this page reads every backup there: keep it on paper, away from the server");
    Ok(Exit::Ok)
}
