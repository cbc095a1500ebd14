//! What the contract needs of a world around a source: commits that appear, and a client that talks to it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use havre_core::name::ProjectName;
use havre_core::source::{CommitId, RefName};
use havre_source::context::{PackPlan, PackSummary};
use havre_source::error::SourceError;
use havre_source::fake::FakeFile;
use havre_source::pkt::{self, FLUSH};
use havre_source::push::PushRules;
use havre_source::source::{Exchange, Exchanged, Service, Source};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything that must happen; generous, because a busy machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Who wrote every commit.
pub(crate) const AUTHOR: &str = havre_source::fake::AUTHOR;
/// What clients can do.
pub(crate) const CAPABILITIES: &str =
    "\0 report-status side-band-64k push-options object-format=sha1 agent=test";
/// A pack without objects.
pub(crate) const EMPTY_PACK: &[u8] = b"PACK\0\0\0\x02\0\0\0\0\
    \x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e";

/// A source and a hand that makes commits in it.
pub(crate) trait World {
    fn source(&self) -> &dyn Source;

    /// Makes a commit of these files, and its repository; no branch leads to it.
    async fn commit(
        &self,
        repository: &ProjectName,
        parent: Option<&CommitId>,
        subject: &str,
        files: &[(&str, FakeFile)],
    ) -> CommitId;

    /// Lets a branch or tag lead to a commit.
    async fn set_ref(&self, repository: &ProjectName, name: &str, commit: &CommitId);
}

pub(crate) fn shop() -> ProjectName {
    "shop".parse().expect("is a name")
}

pub(crate) fn reference(name: &str) -> RefName {
    name.parse().expect("is a ref")
}

pub(crate) fn protected(branches: &[&str]) -> PushRules {
    PushRules { protected: branches.iter().map(|name| name.parse().expect("is a branch")).collect() }
}

/// An id nothing has.
pub(crate) fn unknown() -> CommitId {
    "ab".repeat(20).parse().expect("is an id")
}

/// The head of a push that changes these refs, each from one id to another; `-` for none.
pub(crate) fn head(changes: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut capabilities = CAPABILITIES;
    for (name, old, new) in changes {
        let zero = "0".repeat(40);
        let [old, new] = [*old, *new].map(|id| if id == "-" { zero.as_str() } else { id });
        pkt::encode(&mut bytes, format!("{old} {new} {name}{capabilities}").as_bytes());
        capabilities = "";
    }
    bytes.extend_from_slice(FLUSH);
    // The options that were promised: none.
    bytes.extend_from_slice(FLUSH);
    bytes
}

/// Sends a request in these pieces; how it ended and what was answered.
pub(crate) async fn send(
    source: &dyn Source,
    service: Service,
    rules: PushRules,
    pieces: Vec<io::Result<Bytes>>,
) -> (Result<Exchanged, SourceError>, Vec<u8>) {
    let (sender, input) = mpsc::channel(2);
    let (output, receiver) = mpsc::channel(2);
    let give = async move {
        for piece in pieces {
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    };
    let exchange = Exchange { service, protocol: None, rules, input, output };
    let repository = shop();
    let work = source.exchange(&repository, exchange, CancellationToken::new());
    let all = async { tokio::join!(work, give, collect(receiver)) };
    let (result, (), answer) = tokio::time::timeout(PATIENCE, all).await.expect("ends in time");
    (result, answer)
}

/// Pushes these changes; the objects are there already.
pub(crate) async fn push(
    source: &dyn Source,
    rules: PushRules,
    changes: &[(&str, &str, &str)],
) -> (Result<Exchanged, SourceError>, String) {
    let mut request = head(changes);
    if changes.iter().any(|(_, _, new)| *new != "-") {
        request.extend_from_slice(EMPTY_PACK);
    }
    let (result, answer) = send(source, Service::ReceivePack, rules, vec![Ok(request.into())]).await;
    (result, String::from_utf8_lossy(&answer).into_owned())
}

/// Everything that comes.
pub(crate) async fn collect(mut receiver: mpsc::Receiver<Bytes>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = receiver.recv().await {
        all.extend_from_slice(&chunk);
    }
    all
}

/// Packs a plan whole.
pub(crate) async fn pack(
    source: &dyn Source,
    plan: &PackPlan,
) -> (Result<PackSummary, SourceError>, Vec<u8>) {
    let (output, receiver) = mpsc::channel(2);
    let repository = shop();
    let work = source.pack(&repository, plan, output, CancellationToken::new());
    let both = async { tokio::join!(work, collect(receiver)) };
    tokio::time::timeout(PATIENCE, both).await.expect("ends in time")
}

/// Name, mode and content (or target) of every entry of an archive.
pub(crate) fn unpack(archive: &[u8]) -> Vec<(String, u32, String)> {
    let mut seen = Vec::new();
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().expect("is an archive") {
        let mut entry = entry.expect("is an entry");
        let name = entry.path().expect("has a name").display().to_string();
        let mode = entry.header().mode().expect("has one");
        let target = entry.link_name().expect("is readable").map(|target| target.display().to_string());
        let mut content = Vec::new();
        io::Read::read_to_end(&mut entry, &mut content).expect("is whole");
        seen.push((name, mode, target.unwrap_or_else(|| String::from_utf8_lossy(&content).into_owned())));
    }
    seen
}
