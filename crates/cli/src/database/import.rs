//! `havre db import`: a dump of `pg_dump` into a database that is empty, or under a name of its own beside it. Followed to its end.

use std::io::Read;
use std::path::PathBuf;

use havre_api::copy::Copy;
use havre_core::name::DatabaseName;

use super::{copy, frames, path};
use crate::exit::{CliError, Exit};
use crate::http::path as http_path;
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database, which has to be empty
    database: DatabaseName,
    /// Dump, as text or in custom format; - for standard input
    #[arg(value_name = "FILE")]
    dump: PathBuf,
    /// Becomes a database of this name beside it, in place of becoming it
    #[arg(long = "as", value_name = "NAME")]
    beside: Option<DatabaseName>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let reader: Box<dyn Read + Send> = if options.dump.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        let file = std::fs::File::open(&options.dump);
        let failed = |error| CliError::io(format!("read {}", options.dump.display()), &error);
        Box::new(file.map_err(failed)?)
    };
    let imports = path(&scope, &options.database, "/imports");
    let target = match &options.beside {
        Some(name) => http_path::query(&imports, &[("as", Some(name))]),
        None => imports,
    };
    let taken = tokio::select! {
        taken = frames::send::<Copy>(&client, &target, reader) => taken?,
        _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
    };
    output::say(&format!("{} into {} was sent", taken.id, taken.place));
    copy::follow(&client, taken.id, invocation.global.json).await
}
