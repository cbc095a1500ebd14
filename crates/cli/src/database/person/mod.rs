//! What belongs to one person, by the rules of `privacy.toml`.

pub(crate) mod erase;
pub(crate) mod export;

use std::io::Read as _;
use std::path::PathBuf;

use havre_api::copy::PersonRequest;
use havre_core::name::DatabaseName;

use super::copy::read_policy;
use crate::exit::CliError;

/// Longest value a person is looked for by.
const VALUE_MAX: u64 = 1000;

/// Whose rows, in which database, by which rules.
#[derive(Debug, clap::Args)]
pub(crate) struct Who {
    /// Database
    pub(super) database: DatabaseName,
    /// Rules that say which rows belong to a person
    #[arg(long, value_name = "PRIVACY.TOML")]
    policy: PathBuf,
    /// What the person is known by; - to read it from standard input, so that it stands in no list of processes
    #[arg(long, value_name = "VALUE")]
    person: String,
}

impl Who {
    /// What the server is asked.
    pub(super) fn request(&self, dry_run: bool) -> Result<PersonRequest, CliError> {
        Ok(PersonRequest { policy: read_policy(&self.policy)?, person: self.value()?, dry_run })
    }

    fn value(&self) -> Result<String, CliError> {
        if self.person != "-" {
            return Ok(self.person.clone());
        }
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(VALUE_MAX + 2)
            .read_to_string(&mut text)
            .map_err(|error| CliError::io("read standard input", &error))?;
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}
