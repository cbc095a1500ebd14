//! `havre db dump`: what `pg_dump` writes inside the server's task. A dump that is not whole leaves no file, and ends with an error.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use havre_api::copy::DumpRequest;
use havre_core::copy::DumpFormat;
use havre_core::name::DatabaseName;

use super::frames::{self, Ends};
use super::path;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
    /// File it is written to; - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    to: PathBuf,
    /// Text, or the compressed archive of pg_dump
    #[arg(long, value_name = "FORMAT", default_value = "plain")]
    format: Format,
}

/// How a dump is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Plain,
    Custom,
}

impl From<Format> for DumpFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Plain => Self::Plain,
            Format::Custom => Self::Custom,
        }
    }
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let is_standard = options.to.as_os_str() == "-";
    if is_standard && options.format == Format::Custom && std::io::stdout().is_terminal() {
        return Err(CliError::usage("an archive is not for a terminal").hint("--to names a file"));
    }
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let request = DumpRequest { format: options.format.into() };
    let target = path(&scope, &options.database, "/dump");
    let dump = async {
        let mut answer = frames::open(&client, &target, &request).await?;
        if is_standard {
            return answer.copy(&mut output::bytes, Ends::Silently).await;
        }
        let mut file = Part::create(&options.to)?;
        let bytes = answer.copy(&mut |bytes: &[u8]| file.write(bytes), Ends::WithProgress).await?;
        file.finish()?;
        Ok(bytes)
    };
    tokio::select! {
        bytes = dump => {
            let bytes = bytes?;
            if !is_standard {
                output::say(&format!("{} written to {}", time::size(bytes), options.to.display()));
            }
            Ok(Exit::Ok)
        }
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

/// A file that has its name only once all of it is there.
pub(super) struct Part {
    /// Where it should be in the end.
    wanted: PathBuf,
    /// Where it is until then; it goes with this value.
    part: Option<PathBuf>,
    file: std::fs::File,
}

impl Part {
    /// Begins it beside the file it should become.
    pub(super) fn create(wanted: &Path) -> Result<Self, CliError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut name = wanted.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        // What is in it is nobody else's to read.
        let file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
        let file = file.map_err(|error| CliError::io(format!("write {}", part.display()), &error))?;
        Ok(Self { wanted: wanted.to_owned(), part: Some(part), file })
    }

    /// Adds to it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.file.write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// Gives it its name.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        self.file.sync_all().map_err(|error| self.failed(&error))?;
        if let Some(part) = &self.part {
            std::fs::rename(part, &self.wanted).map_err(|error| self.failed(&error))?;
        }
        self.part = None;
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> CliError {
        CliError::new(Exit::Failed, format!("could not write {}: {error}", self.wanted.display()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            // A file that is gone already is what is wanted.
            let _ = std::fs::remove_file(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_dump_leaves_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let wanted = folder.path().join("db.sql");
        let mut part = Part::create(&wanted).expect("is made");
        part.write(b"half").expect("is written");
        drop(part);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);

        std::fs::write(&wanted, "before").expect("is written");
        let mut part = Part::create(&wanted).expect("is made");
        part.write(b"whole").expect("is written");
        assert_eq!(std::fs::read(&wanted).expect("is there"), b"before");
        part.finish().expect("is named");
        assert_eq!(std::fs::read(&wanted).expect("is there"), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
