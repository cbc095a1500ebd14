//! `havre secret import`: a file of variables, all of it or nothing. Tests: those of `havre_core::secret::dotenv`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use havre_core::name::EnvKey;
use havre_core::secret::dotenv;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::secret::{Then, set_all};

/// Longest file that is read.
const FILE_MAX: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The file, such as .env; - for standard input
    file: PathBuf,
    #[command(flatten)]
    then: Then,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let text = read(&options.file)?;
    let entries = dotenv::parse(&text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        CliError::usage(format!("{} cannot be imported:\n{}", options.file.display(), lines.join("\n")))
            .hint("nothing was set; a value of several lines stands in quotes")
    })?;
    if entries.is_empty() {
        return Err(CliError::usage(format!("{} has no variables", options.file.display())));
    }
    let text_of = |entry: dotenv::Entry| {
        let value = entry.value.expose_text().unwrap_or_default().to_owned();
        (entry.name, value)
    };
    let secrets: BTreeMap<EnvKey, String> = entries.into_iter().map(text_of).collect();
    set_all(invocation, secrets, options.then).await
}

fn read(path: &std::path::Path) -> Result<String, CliError> {
    let failed = |error: std::io::Error| CliError::io(format!("read {}", path.display()), &error);
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text))
    };
    read.map_err(failed)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(CliError::usage(format!("{} has more than 1 MB", path.display())));
    }
    Ok(text)
}
