//! `havre db logs`: what the present task of a database wrote, and with `-f` what it writes until it ends.

use havre_api::database::DatabaseLogEntry;
use havre_core::name::DatabaseName;

use super::path;
use crate::exit::{CliError, Exit};
use crate::http::{Client, Line, path as http_path};
use crate::invocation::Invocation;
use crate::output::style::Style;
use crate::output::{self, printable};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
    /// Stay and show what is written
    #[arg(long, short)]
    follow: bool,
    /// Only the last lines [default: 100]
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let tail = options.tail.unwrap_or(100);
    let logs = path(&scope, &options.database, "/logs");
    let target = http_path::query(&logs, &[("follow", Some(&options.follow)), ("tail", Some(&tail))]);
    tokio::select! {
        result = show(&client, &target, invocation.global.json) => result.map(|()| Exit::Ok),
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

async fn show(client: &Client, target: &str, json: bool) -> Result<(), CliError> {
    let style = Style::stdout();
    let mut lines = client.lines(target).await?;
    loop {
        match lines.next().await {
            Line::Object(value) => {
                let Ok(entry) = serde_json::from_value::<DatabaseLogEntry>(value) else { continue };
                if json {
                    output::json_line(&entry)?;
                } else {
                    let at = style.dim(&entry.at.to_string());
                    output::data(&format!("{at} {}\n", printable(&entry.line)))?;
                }
            }
            Line::End => return Ok(()),
            Line::Lost(why) => return Err(CliError::new(Exit::Unreachable, why)),
            Line::Refused(error) => return Err(error),
        }
    }
}
