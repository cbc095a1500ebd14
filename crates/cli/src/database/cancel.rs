//! `havre db cancel`: stops copies that have not taken their place.

use havre_api::copy::Copy;
use havre_core::id::CopyId;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Copies, such as q3
    #[arg(required = true, value_name = "COPY")]
    copies: Vec<CopyId>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    for id in options.copies {
        let found: Copy = client.post(&format!("/v1/copies/{id}/cancel")).await?;
        if invocation.global.json {
            output::json_line(&found)?;
        } else {
            output::say(&format!("{id} into {} should stop", found.place));
        }
    }
    Ok(Exit::Ok)
}
