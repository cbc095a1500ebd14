//! Contents of objects: one `git cat-file --batch` that is asked for one after the other. No attributes apply and no filter
//! runs: what was committed is what comes. Tests in `tests/it/contract.rs` and `tests/it/git.rs`.

use std::path::Path;

use havre_core::name::ProjectName;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::command::{Git, Running, Unexpected, VERB_TIMEOUT, give, in_time};
use crate::archive::CHUNK;
use crate::error::{SourceError, show};
use crate::source::{READ_BYTES_MAX, check_count, check_size};
use crate::tree::ObjectId;

/// Longest line before a content.
const LINE_MAX: u64 = 256;

/// A git that answers with objects.
#[derive(Debug)]
pub(super) struct Objects {
    what: String,
    repository: ProjectName,
    running: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Objects {
    /// Starts it.
    pub(super) fn open(
        git: &Git,
        repository: &ProjectName,
        directory: &Path,
        what: &str,
    ) -> Result<Self, SourceError> {
        let mut command = git.reading(directory);
        command.args(["cat-file", "--batch"]);
        let (running, pipes) = Running::spawn(what, command)?;
        Ok(Self {
            what: what.to_owned(),
            repository: repository.clone(),
            running,
            input: pipes.input,
            output: BufReader::with_capacity(CHUNK, pipes.output),
        })
    }

    /// Asks for a blob and answers its size. So many bytes must be taken with [`Objects::next`] before [`Objects::end`].
    pub(super) async fn ask(&mut self, object: &ObjectId) -> Result<u64, SourceError> {
        // Where it no longer listens, it has ended, and its answer says so.
        give(&self.what, &mut self.input, format!("{object}\n").as_bytes()).await?;
        let mut line = Vec::new();
        let mut from = AsyncReadExt::take(&mut self.output, LINE_MAX);
        let read = from.read_until(b'\n', &mut line).await;
        read.map_err(|error| SourceError::failed(&self.what, error))?;
        match parse_line(&line) {
            Some(Line::Blob(size)) => Ok(size),
            Some(Line::Missing) => Err(SourceError::ObjectMissing {
                repository: self.repository.clone(),
                object: object.clone(),
            }),
            Some(Line::Other) | None => {
                let found = format!("{} about {object}, which should be a file", show(&line));
                // It says why only where it has ended.
                let words = if line.is_empty() { self.running.words().await } else { String::new() };
                Err(SourceError::failed(&self.what, Unexpected(format!("{found}; {words}"))))
            }
        }
    }

    /// The next bytes of the blob, of which `left` are left: at least one where that is not zero, at most [`CHUNK`].
    pub(super) async fn next(&mut self, left: u64) -> Result<Vec<u8>, SourceError> {
        let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut bytes = vec![0; wanted];
        let count = self.output.read(&mut bytes).await;
        let count = count.map_err(|error| SourceError::failed(&self.what, error))?;
        if count == 0 && wanted > 0 {
            return Err(self.broke_off());
        }
        bytes.truncate(count);
        Ok(bytes)
    }

    /// The whole blob.
    pub(super) async fn all(&mut self, size: u64) -> Result<Vec<u8>, SourceError> {
        let mut content = Vec::new();
        while (content.len() as u64) < size {
            let bytes = self.next(size - content.len() as u64).await?;
            content.extend_from_slice(&bytes);
        }
        self.end().await?;
        Ok(content)
    }

    /// Takes the line end behind a blob.
    pub(super) async fn end(&mut self) -> Result<(), SourceError> {
        match self.next(1).await?[..] {
            [b'\n'] => Ok(()),
            _ => Err(self.broke_off()),
        }
    }

    /// Ends it.
    pub(super) async fn finish(self) -> Result<(), SourceError> {
        let Self { what, running, input, output, .. } = self;
        drop(input);
        let ended = running.finish(&what).await;
        drop(output);
        ended
    }

    fn broke_off(&self) -> SourceError {
        SourceError::failed(&self.what, Unexpected("only a part of an object".to_owned()))
    }
}

/// What comes before a content.
enum Line {
    Blob(u64),
    Missing,
    Other,
}

/// `<object> blob <size>`, or `<object> missing`.
fn parse_line(line: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (_, rest) = text.split_once(' ')?;
    match rest.split_once(' ') {
        None if rest == "missing" => Some(Line::Missing),
        Some(("blob", size)) => size.parse().ok().map(Line::Blob),
        _ => Some(Line::Other),
    }
}

/// Contents of `objects` in their order.
pub(super) async fn read(
    git: &Git,
    repository: &ProjectName,
    directory: &Path,
    objects: &[ObjectId],
    limit: u64,
) -> Result<Vec<Vec<u8>>, SourceError> {
    let what = format!("read files of {repository}");
    check_count(objects)?;
    let work = async {
        let _place = git.verb().await;
        let mut source = Objects::open(git, repository, directory, &what)?;
        let mut contents = Vec::with_capacity(objects.len());
        let mut left = READ_BYTES_MAX;
        for object in objects {
            let size = source.ask(object).await?;
            check_size(object, size, limit, left)?;
            left -= size;
            contents.push(source.all(size).await?);
        }
        source.finish().await?;
        Ok(contents)
    };
    in_time(&what, VERB_TIMEOUT, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert!(matches!(parse_line(b"ab blob 12\n"), Some(Line::Blob(12))));
        assert!(matches!(parse_line(b"ab missing\n"), Some(Line::Missing)));
        for other in [&b"ab tree 12\n"[..], b"ab ambiguous\n", b"ab submodule\n"] {
            assert!(matches!(parse_line(other), Some(Line::Other)), "{}", other.escape_ascii());
        }
        for none in [&b""[..], b"ab blob 12", b"\n", b"ab blob -1\n", b"\xff blob 1\n"] {
            assert!(parse_line(none).is_none(), "{}", none.escape_ascii());
        }
    }
}
