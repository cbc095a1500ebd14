//! `havre db person export`: a JSON object with table and row in each line, of one state of the database. What is not whole leaves no file.

use std::path::PathBuf;

use super::super::dump::Part;
use super::super::frames::{self, Ends};
use super::super::path;
use super::Who;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    who: Who,
    /// File it is written to; - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    to: PathBuf,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let request = options.who.request(false)?;
    let target = path(&scope, &options.who.database, "/person/export");
    let mut answer = frames::open(&client, &target, &request).await?;
    if options.to.as_os_str() == "-" {
        answer.copy(&mut output::bytes, Ends::Silently).await?;
        return Ok(Exit::Ok);
    }
    let mut file = Part::create(&options.to)?;
    let mut rows = 0;
    let mut write = |bytes: &[u8]| {
        rows += bytes.iter().filter(|byte| **byte == b'\n').count();
        file.write(bytes)
    };
    answer.copy(&mut write, Ends::Silently).await?;
    file.finish()?;
    output::say(&format!("{rows} rows written to {}", options.to.display()));
    Ok(Exit::Ok)
}
