//! `havre restore DATABASE --to FILE`, and the same of a volume: the bytes of a snapshot, in a file that is there only when all of them are, or on standard output.
//! Tests at the end of the file, and in `tests/it/restore.rs`.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{At, Options};
use crate::backup::saved::Saved;
use crate::exit::{CliError, Exit};
use crate::http::Client;
use crate::http::path::query;
use crate::invocation::Invocation;
use crate::output::{self, printable, time};

pub(super) async fn run(
    invocation: &Invocation,
    saved: &Saved,
    options: &Options,
    file: &Path,
) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let is_stdout = file.as_os_str() == "-";
    if is_stdout && std::io::stdout().is_terminal() {
        return Err(CliError::usage("a snapshot is no text for a terminal").hint("name a file, or a pipe"));
    }
    let at = match options.at {
        Some(At::Instant(at)) => Some(at),
        Some(At::Latest) | None => None,
    };
    let target = query(
        &saved.path(&scope, "/snapshot"),
        &[
            ("snapshot", options.snapshot.as_ref().map(|text| text as _)),
            ("at", at.as_ref().map(|at| at as _)),
        ],
    );
    tokio::select! {
        result = fetch(&client, &target, (!is_stdout).then_some(file)) => result,
        // What was written of the file goes with it.
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

async fn fetch(client: &Client, target: &str, file: Option<&Path>) -> Result<Exit, CliError> {
    let mut part = match file {
        Some(file) => Some(Partial::create(file)?),
        None => None,
    };
    let mut download = client.download(target).await?;
    let snapshot = printable(download.header("havre-snapshot").unwrap_or("unknown"));
    let sha256 = printable(download.header("havre-sha256").unwrap_or("unknown"));
    while let Some(bytes) = download.next().await? {
        match &mut part {
            Some(part) => part.write(&bytes)?,
            None => output::bytes(&bytes)?,
        }
    }
    if let Some(part) = part {
        part.finish()?;
    }
    let (size, short) = (time::size(download.length), snapshot.get(..8).unwrap_or(&snapshot));
    output::say(&format!("snapshot {short}: {size} with the SHA-256 {sha256}"));
    Ok(Exit::Ok)
}

/// A file that has another name until it is whole, and goes where it never is.
struct Partial {
    file: Option<fs::File>,
    partial: PathBuf,
    whole: PathBuf,
}

impl Partial {
    /// Nothing that is there is written over. Only who asks may read it: it holds everything that is in a database.
    fn create(whole: &Path) -> Result<Self, CliError> {
        if whole.symlink_metadata().is_ok() {
            return Err(CliError::usage(format!("{} is there already", whole.display()))
                .hint("name another file, or take it away first"));
        }
        let Some(name) = whole.file_name() else {
            return Err(CliError::usage(format!("{} is no name of a file", whole.display())));
        };
        let mut partial = name.to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = whole.with_file_name(partial);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.map_err(|error| CliError::io(format!("write {}", partial.display()), &error))?;
        Ok(Self { file: Some(file), partial, whole: whole.to_owned() })
    }

    fn failed(&self, error: &std::io::Error) -> CliError {
        CliError::new(Exit::Failed, format!("could not write {}: {error}", self.whole.display()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes));
        written.map_err(|error| self.failed(&error))
    }

    /// All of it is on the disk, under its own name.
    fn finish(mut self) -> Result<(), CliError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let kept = file.sync_all().and_then(|()| fs::rename(&self.partial, &self.whole));
        kept.map_err(|error| self.failed(&error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // One that is whole has its own name by now.
        let _ = fs::remove_file(&self.partial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("is a folder");
        entries.map(|entry| entry.expect("is one").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_there_only_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db.dump");
        let mut part = Partial::create(&path).expect("is made");
        part.write(b"PGD").expect("is written");
        assert!(!path.exists() && names(folder.path()).len() == 1);
        drop(part);
        assert_eq!(names(folder.path()), Vec::<String>::new(), "nothing is left of it");

        let mut part = Partial::create(&path).expect("is made");
        part.write(b"PGDMP").expect("is written");
        part.finish().expect("is whole");
        assert_eq!(names(folder.path()), ["db.dump"]);
        assert_eq!(fs::read(&path).expect("is there"), b"PGDMP");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("is there").permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            Partial::create(&path).err().map(|error| error.exit),
            Some(Exit::Usage),
            "nothing is written over"
        );
    }
}
