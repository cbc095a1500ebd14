//! The two conversations with git clients, as stateless requests: what they are told first, a fetch, a push. A push is read up to
//! its pack and checked before git starts. Speaks no HTTP. Tests in `tests/it/contract.rs` and `tests/it/git.rs`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use havre_core::name::ProjectName;
use havre_core::quantity::{ByteSize, Span};
use tokio::io::AsyncReadExt as _;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::GitSource;
use super::command::{Git, Pipes, Running, Unexpected, give, in_time, timed_out};
use crate::archive::CHUNK;
use crate::error::SourceError;
use crate::pkt::{self, FLUSH};
use crate::push::{self, Head, HeadReader};
use crate::source::{ADVERTISEMENT_MAX, Exchange, Exchanged, Protocol, Service};

/// Longest time of one fetch or push.
const EXCHANGE_TIMEOUT: Span = Span::seconds(60 * 60);
/// Longest wait for the head of a push.
const HEAD_TIMEOUT: Span = Span::seconds(60);
/// Longest time for which the rest of a push that was refused is read and thrown away.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of the request of a fetch, which names commits.
const FETCH_MAX: u64 = 16 * 1024 * 1024;
/// Most bytes of `git count-objects`.
const COUNT_MAX: u64 = 64 * 1024;

/// Adds a service to a command.
fn serve(command: &mut Command, service: Service, protocol: Option<Protocol>) {
    match service {
        Service::UploadPack => command.args(["upload-pack", "--strict", "--stateless-rpc"]),
        Service::ReceivePack => command.args(["receive-pack", "--stateless-rpc"]),
    };
    // Version 2 is about fetching only; receive-pack answers as if it had not been asked for.
    if let (Service::UploadPack, Some(Protocol::V2)) = (service, protocol) {
        command.env("GIT_PROTOCOL", "version=2");
    }
}

/// What a client is told first.
pub(super) async fn advertise(
    git: &Git,
    repository: &ProjectName,
    directory: &Path,
    service: Service,
    protocol: Option<Protocol>,
) -> Result<Bytes, SourceError> {
    let what = format!("list what {repository} offers to {}", service.name());
    let mut command = git.command(&[]);
    serve(&mut command, service, protocol);
    command.args(["--http-backend-info-refs", "--"]).arg(directory);
    let advertised = git.run(&what, command, b"", ADVERTISEMENT_MAX).await?;
    let mut answer = Vec::new();
    if (service, protocol) != (Service::UploadPack, Some(Protocol::V2)) {
        pkt::encode(&mut answer, format!("# service={}\n", service.name()).as_bytes());
        answer.extend_from_slice(FLUSH);
    }
    answer.extend_from_slice(&advertised);
    Ok(answer.into())
}

/// One request of a fetch.
pub(super) async fn fetch(
    source: &GitSource,
    repository: &ProjectName,
    exchange: Exchange,
    cancel: &CancellationToken,
) -> Result<Exchanged, SourceError> {
    let what = format!("serve a fetch from {repository}");
    let directory = source.repositories.get(repository).await?;
    let _place = cancel.run_until_cancelled(source.git.exchange()).await.ok_or(SourceError::Cancelled)?;
    let mut command = source.git.command(&[]);
    serve(&mut command, exchange.service, exchange.protocol);
    command.arg("--").arg(directory);
    let (running, Pipes { input: to, output: mut from }) = Running::spawn(&what, command)?;
    let mut request = Request { input: exchange.input, left: FETCH_MAX };
    let work = pump(request.give_to(&what, to, Vec::new()), answer(&what, &mut from, exchange.output, false));
    // Dropped, it kills git: a fetch writes nothing.
    bounded(&what, cancel, work).await?;
    running.finish(&what).await?;
    Ok(Exchanged::default())
}

/// One request of a push.
pub(super) async fn push(
    source: &GitSource,
    repository: &ProjectName,
    exchange: Exchange,
    cancel: &CancellationToken,
) -> Result<Exchanged, SourceError> {
    let what = format!("take a push to {repository}");
    let mut request = Request { input: exchange.input, left: u64::MAX };
    let prepared = prepare(source, repository, &exchange.rules, &mut request);
    let prepared = cancel.run_until_cancelled(prepared).await.ok_or(SourceError::Cancelled)??;
    let ready = match prepared {
        Prepared::Ready(ready) => ready,
        Prepared::Refused { answer, reason } => {
            // A client that is gone needs no answer.
            let _ = exchange.output.send(answer.into()).await;
            drop(exchange.output);
            request.discard(source.max_push);
            return Ok(Exchanged { refused: Some(reason), ..Exchanged::default() });
        }
    };
    let _pushing = source.repositories.begin_push(repository, &ready.directory).await?;
    let _place = cancel.run_until_cancelled(source.git.exchange()).await.ok_or(SourceError::Cancelled)?;
    let mut command = source.git.command(&ready.settings);
    serve(&mut command, exchange.service, exchange.protocol);
    command.arg("--").arg(&ready.directory);
    let (running, Pipes { input: to, output: mut from }) = Running::spawn(&what, command)?;
    let work = pump(request.give_to(&what, to, ready.bytes), answer(&what, &mut from, exchange.output, true));
    let ended = bounded(&what, cancel, work).await;
    if let Err(error) = ended {
        running.stop(from).await;
        return Err(error);
    }
    running.finish(&what).await?;
    // Git may have ended before the client has: a pack that is too large. Only a client that could send all of it hears why.
    request.discard(source.max_push);
    Ok(ready.exchanged)
}

/// A push before git starts.
enum Prepared {
    Ready(Ready),
    Refused { answer: Vec<u8>, reason: String },
}

struct Ready {
    directory: PathBuf,
    settings: Vec<String>,
    /// What was read so far.
    bytes: Vec<u8>,
    exchanged: Exchanged,
}

/// Reads the head of a push and judges it.
async fn prepare(
    source: &GitSource,
    repository: &ProjectName,
    rules: &push::PushRules,
    request: &mut Request,
) -> Result<Prepared, SourceError> {
    let directory = source.repositories.get(repository).await?;
    let (head, bytes) = in_time("read the head of the push", HEAD_TIMEOUT, request.read_head()).await?;
    let refused = |reason: String| {
        let answer = push::refuse(&head.updates, head.capabilities, &reason);
        Ok(Prepared::Refused { answer, reason })
    };
    let commands = match push::check(&head, rules) {
        Ok(commands) => commands,
        Err(error) => return refused(error.to_string()),
    };
    let mut settings = Vec::new();
    if commands.iter().any(|command| command.new.is_some()) {
        let used = used(&source.git, repository, &directory).await?;
        let room = source.quota.as_bytes().saturating_sub(used);
        if room == 0 {
            return refused(format!(
                "the repository of {repository} has {used} bytes, and at most {} are allowed; remove what it no longer \
                 needs, or raise the limit",
                source.quota
            ));
        }
        // Zero would mean no limit.
        settings.push(format!("receive.maxInputSize={}", room.min(source.max_push.as_bytes()).max(1)));
    }
    if rules.protect_any(&commands) {
        settings.push("receive.denyNonFastForwards=true".to_owned());
    }
    let exchanged = Exchanged { commands, options: head.options.clone(), refused: None };
    Ok(Prepared::Ready(Ready { directory, settings, bytes, exchanged }))
}

/// Bytes of all objects of a repository.
pub(super) async fn used(git: &Git, repository: &ProjectName, directory: &Path) -> Result<u64, SourceError> {
    let what = format!("measure the repository of {repository}");
    let mut command = git.command_in(directory);
    command.args(["count-objects", "-v"]);
    let answer = git.run(&what, command, b"", COUNT_MAX).await?;
    let counted = parse_used(&String::from_utf8_lossy(&answer));
    counted.ok_or_else(|| SourceError::failed(&what, Unexpected("without sizes".to_owned())))
}

/// Sizes are in KiB.
fn parse_used(answer: &str) -> Option<u64> {
    let find = |name: &str| {
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value?.parse::<u64>().ok()
    };
    Some(find("size")?.saturating_add(find("size-pack")?).saturating_mul(1024))
}

/// The body of a request.
struct Request {
    input: mpsc::Receiver<io::Result<Bytes>>,
    /// Bytes that may still come.
    left: u64,
}

impl Request {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let Some(chunk) = self.input.recv().await else { return Ok(None) };
        let chunk = chunk.map_err(|error| SourceError::failed("read the request to its end", error))?;
        match self.left.checked_sub(chunk.len() as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(SourceError::too_large(
                    "the request of the git client",
                    ByteSize::bytes(FETCH_MAX),
                ));
            }
        }
        Ok(Some(chunk))
    }

    /// The head of a push, and every byte that was read for it.
    async fn read_head(&mut self) -> Result<(Head, Vec<u8>), SourceError> {
        let refused = |reason: String| SourceError::Refused { reason };
        let mut reader = HeadReader::new();
        loop {
            let Some(chunk) = self.next().await? else {
                return Err(refused("the push ended before it said what it wants; try again".to_owned()));
            };
            if reader.push(&chunk).map_err(|error| refused(error.to_string()))? {
                return Ok(reader.into_parts());
            }
        }
    }

    /// Gives git what was read before and then the rest. Ends when that does, or when git wants no more; git's input is
    /// closed then.
    async fn give_to(&mut self, what: &str, mut to: ChildStdin, before: Vec<u8>) -> Result<(), SourceError> {
        let mut listens = give(what, &mut to, &before).await?;
        drop(before);
        while listens {
            let Some(chunk) = self.next().await? else { break };
            listens = give(what, &mut to, &chunk).await?;
        }
        Ok(())
    }

    /// Throws the rest away, so that a client that still sends gets to hear the answer. Beside everything else: the answer must not
    /// wait for the end of the request, because a client of SSH keeps its side open until it has read the answer.
    fn discard(mut self, limit: ByteSize) {
        let mut left = limit.as_bytes();
        let rest = async move {
            while let Some(Ok(chunk)) = self.input.recv().await {
                left = left.saturating_sub(chunk.len() as u64);
                if left == 0 {
                    break;
                }
            }
        };
        // A client that takes longer hears nothing.
        tokio::spawn(tokio::time::timeout(DISCARD_TIMEOUT, rest));
    }
}

/// Passes git's answer on until it ends. When nobody takes it any more, a push (`is_push`) goes on: it may have changed refs
/// already, and is whole at its end.
async fn answer(
    what: &str,
    from: &mut ChildStdout,
    output: mpsc::Sender<Bytes>,
    is_push: bool,
) -> Result<(), SourceError> {
    let mut output = Some(output);
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let count = from.read_buf(&mut chunk).await.map_err(|error| SourceError::failed(what, error))?;
        if count == 0 {
            return Ok(());
        }
        let is_gone = match &output {
            Some(output) => output.send(chunk.freeze()).await.is_err(),
            None => false,
        };
        if is_gone && !is_push {
            return Err(SourceError::Cancelled);
        }
        if is_gone {
            output = None;
        }
    }
}

/// Both ways at once, until git's answer ends. A request that broke off closes git's input; git then throws away what it has, and
/// the error follows its answer.
async fn pump(
    request: impl Future<Output = Result<(), SourceError>>,
    answer: impl Future<Output = Result<(), SourceError>>,
) -> Result<(), SourceError> {
    tokio::pin!(request, answer);
    let mut given = None;
    loop {
        tokio::select! {
            biased;
            answered = &mut answer => return answered.and(given.unwrap_or(Ok(()))),
            result = &mut request, if given.is_none() => given = Some(result),
        }
    }
}

/// Work that ends early when it is cancelled or takes too long.
async fn bounded(
    what: &str,
    cancel: &CancellationToken,
    work: impl Future<Output = Result<(), SourceError>>,
) -> Result<(), SourceError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(SourceError::Cancelled),
        () = tokio::time::sleep(EXCHANGE_TIMEOUT.duration()) => Err(timed_out(what, EXCHANGE_TIMEOUT)),
        result = work => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_repository() {
        let answer = "count: 16\nsize: 64\nin-pack: 9\npacks: 1\nsize-pack: 36\nprune-packable: 0\n";
        assert_eq!(parse_used(answer), Some(100 * 1024));
        assert_eq!(parse_used("size: 64\n"), None);
        assert_eq!(parse_used("size: x\nsize-pack: 1\n"), None);
    }

    #[tokio::test]
    async fn the_answer_decides_when_it_is_over() {
        let broken = || async { Err(SourceError::Cancelled) };
        assert!(pump(async { Ok(()) }, async { Ok(()) }).await.is_ok());
        // Git has ended while the client still sends.
        assert!(pump(std::future::pending(), async { Ok(()) }).await.is_ok());
        let later = async {
            tokio::task::yield_now().await;
            Ok(())
        };
        assert!(pump(broken(), later).await.is_err(), "a request that broke off is told after the answer");
        assert!(pump(async { Ok(()) }, broken()).await.is_err());
    }
}
