//! Packs a repository anew: pushes leave small packs and loose objects behind, and every later push and fetch has to look through them.
//! Nothing that a branch or tag leads to is ever removed; what none has led to for two weeks is. Only while nobody pushes: a push that
//! begins ends it at once, and loses nothing by that. Tests in `tests/it/contract.rs` and `tests/it/git_repack.rs`.

use std::path::Path;

use havre_core::name::ProjectName;
use havre_core::quantity::{ByteSize, Span};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::GitSource;
use super::command::{Pipes, Running, timed_out};
use super::repository::Alone;
use super::serve;
use crate::error::SourceError;
use crate::source::Repacked;

/// Longest time for one repository.
const TIMEOUT: Span = Span::seconds(30 * 60);
/// Up to this size everything is packed into one pack, which takes as much room again meanwhile. Above it only packs that are small
/// beside the others are joined, and objects that nothing leads to stay.
const WHOLE_MAX: ByteSize = ByteSize::mebibytes(512);
/// How long what nothing leads to is kept: somebody may want a branch back that was rewritten, or run its pipeline again.
const KEPT: &str = "2.weeks.ago";
/// Most bytes a quiet verb says.
const WORDS_MAX: u64 = 64 * 1024;

/// Packs the repository anew, unless somebody pushes.
pub(super) async fn repack(
    source: &GitSource,
    repository: &ProjectName,
    cancel: &CancellationToken,
) -> Result<Repacked, SourceError> {
    let what = format!("pack the repository of {repository} anew");
    let directory = source.repositories.get(repository).await?;
    if cancel.is_cancelled() {
        return Err(SourceError::Cancelled);
    }
    let Some(alone) = source.repositories.begin_repack(repository, &directory).await? else {
        return Ok(Repacked::Busy);
    };
    let bytes = serve::used(&source.git, repository, &directory).await?;
    let deadline = Instant::now() + TIMEOUT.duration();
    for arguments in verbs(bytes) {
        let stop = stop(cancel, &alone, deadline);
        match run(source, &what, &directory, arguments, stop).await? {
            None => {}
            Some(Stop::Cancelled) => return Err(SourceError::Cancelled),
            Some(Stop::MakeWay) => return Ok(Repacked::Busy),
            Some(Stop::Late) => return Err(timed_out(&what, TIMEOUT)),
        }
    }
    Ok(Repacked::Done)
}

/// Why it ends before its time. What a killed git leaves is removed before the next push.
enum Stop {
    Cancelled,
    MakeWay,
    Late,
}

async fn stop(cancel: &CancellationToken, alone: &Alone, deadline: Instant) -> Stop {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Stop::Cancelled,
        () = alone.make_way() => Stop::MakeWay,
        () = tokio::time::sleep_until(deadline) => Stop::Late,
    }
}

/// What is done to a repository of so many bytes, in this order.
fn verbs(bytes: u64) -> [Vec<String>; 3] {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let mut pack: Vec<String> = words(&["repack", "-d", "-l", "--quiet"]);
    if bytes <= WHOLE_MAX.as_bytes() {
        pack.push("--cruft".to_owned());
        pack.push(format!("--cruft-expiration={KEPT}"));
    } else {
        pack.push("--geometric=2".to_owned());
    }
    [
        // First: what is packed together with the rest would look young again.
        words(&["prune", "--expire", KEPT]),
        pack,
        words(&["pack-refs", "--all", "--prune"]),
    ]
}

/// Runs one verb to its end, behind everybody else who wants the processor; or until `stop` ends, and why then.
async fn run(
    source: &GitSource,
    what: &str,
    directory: &Path,
    arguments: Vec<String>,
    stop: impl Future<Output = Stop>,
) -> Result<Option<Stop>, SourceError> {
    let mut command = source.git.command(&["repack.writeBitmaps=false".to_owned()]);
    command.arg("--git-dir").arg(directory).args(arguments);
    let (running, Pipes { input, output }) = Running::spawn(what, command)?;
    running.step_back();
    drop(input);
    let mut output = output.take(WORDS_MAX);
    let mut said = Vec::new();
    tokio::select! {
        biased;
        ended = output.read_to_end(&mut said) => {
            ended.map_err(|error| SourceError::failed(what, error))?;
        }
        why = stop => {
            running.kill().await;
            return Ok(Some(why));
        }
    }
    running.finish(what).await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_repositories_are_not_packed_as_a_whole() {
        let pack = |bytes: u64| verbs(bytes)[1].join(" ");
        assert_eq!(pack(WHOLE_MAX.as_bytes()), "repack -d -l --quiet --cruft --cruft-expiration=2.weeks.ago");
        assert_eq!(pack(WHOLE_MAX.as_bytes() + 1), "repack -d -l --quiet --geometric=2");
        for bytes in [0, u64::MAX] {
            let [first, _, last] = verbs(bytes).map(|words| words.join(" "));
            assert_eq!(
                (first.as_str(), last.as_str()),
                ("prune --expire 2.weeks.ago", "pack-refs --all --prune")
            );
        }
    }
}
