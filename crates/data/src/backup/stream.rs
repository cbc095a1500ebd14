//! Streams between programs inside of tasks and a repository: what is written is counted and hashed on the way, and what is said on standard
//! error is kept as far as it may be needed, without secrets.

use std::time::Duration;

use futures_util::StreamExt as _;
use havre_backup::Tally;
use havre_core::backup::Content;
use havre_core::backup::run::Progress;
use havre_core::backup::state::Exit;
use havre_core::event::Actor;
use havre_core::id::BackupRunId;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;
use havre_decide::secret::redact::{Redactor, Stream};
use havre_engine::exec::ExecSession;
use havre_engine::log::LogSource;
use havre_reconcile::deployment::chain;
use havre_rescue::base::BaseWatch;
use havre_rescue::ledger::Ledger;
use havre_rescue::producer::reason;
use tokio::io::{AsyncWriteExt as _, DuplexStream};

use crate::world::World;

/// Longest time a program may write nothing while somebody reads: one that hangs would hold its target for ever.
const STALL: Duration = Duration::from_secs(3600);
/// Longest wait for the exit code of a program that has closed its output.
const EXIT_PATIENCE: Duration = Duration::from_secs(60);
/// Shortest time between two records of how many bytes there are.
const TELL_EVERY: Span = Span::seconds(2);
/// Bytes that are kept of the beginning of a stream.
const HEAD: usize = 16;
/// Bytes that are kept of standard error: its end.
const TAIL: usize = 4096;

/// The repository reads no more; it says itself why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unread;

/// Where the bytes of one run go.
pub(super) struct Sink<'a> {
    world: &'a World,
    run: BackupRunId,
    writer: DuplexStream,
    tally: Tally,
    head: Vec<u8>,
    /// Counts what passes, where that is a dump of MariaDB.
    ledger: Option<Ledger>,
    told_at: Timestamp,
    /// On a base backup, which says itself where it lies in the WAL.
    pub(super) base: Option<BaseWatch>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(world: &'a World, run: BackupRunId, writer: DuplexStream) -> Self {
        let (tally, head) = (Tally::default(), Vec::new());
        Self { world, run, writer, tally, head, ledger: None, told_at: world.now(), base: None }
    }

    /// Counts in a dump of MariaDB from here on.
    pub(super) fn count(&mut self) {
        self.ledger = Some(Ledger::default());
    }

    /// What was counted so far.
    pub(super) fn take_ledger(&mut self) -> Ledger {
        self.ledger.take().unwrap_or_default()
    }

    /// Hands bytes on, after whatever came before has room.
    pub(super) async fn take(&mut self, bytes: &[u8]) -> Result<(), Unread> {
        self.tally.add(bytes);
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        if let Some(base) = &mut self.base {
            base.push(bytes);
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.read(bytes);
        }
        self.writer.write_all(bytes).await.map_err(|_| Unread)?;
        self.tell().await;
        Ok(())
    }

    /// Records how many bytes there are, now and then. It is for whoever watches; a failure is one of them less.
    async fn tell(&mut self) {
        let now = self.world.now();
        let is_early = now >= self.told_at && now.since(self.told_at) < TELL_EVERY.duration();
        if is_early {
            return;
        }
        self.told_at = now;
        let (run, progress) = (self.run, Progress { produced_bytes: self.tally.bytes(), added_bytes: 0 });
        let record = move |tx: &mut havre_store::Tx<'_>| tx.record_backup_progress(run, progress);
        if let Err(error) = self.world.store.write(now, Actor::Havre, record).await {
            tracing::warn!(%run, error = %chain(&error), "could not record how far a backup is");
        }
    }

    /// There are no more: what came, and what it began with.
    pub(super) fn end(self) -> (Content, Vec<u8>) {
        (self.tally.content(), self.head)
    }
}

/// The end of what a program said on standard error.
pub(super) struct Tail {
    stream: Stream,
    kept: Vec<u8>,
}

impl Tail {
    pub(super) fn new(redactor: &Redactor) -> Self {
        Self { stream: redactor.stream(), kept: Vec::new() }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.stream.push(bytes, &mut self.kept);
        let surplus = self.kept.len().saturating_sub(TAIL);
        self.kept.drain(..surplus);
    }

    pub(super) fn text(self) -> String {
        let Self { mut stream, mut kept } = self;
        stream.finish(&mut kept);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

/// Reads a program to its end: its output goes to the sink, and its exit code is the verdict.
pub(super) async fn pipe(
    session: ExecSession,
    program: &str,
    sink: &mut Sink<'_>,
    redactor: &Redactor,
) -> Result<Exit, Unread> {
    let ExecSession { input, mut output, exit_code, .. } = session;
    drop(input);
    let mut errors = Tail::new(redactor);
    let failed = |reason: String| Ok(Exit::Failed { reason });
    loop {
        let piece = match tokio::time::timeout(STALL, output.next()).await {
            Err(_) => return failed(format!("{program} wrote nothing for {} minutes", STALL.as_secs() / 60)),
            Ok(None) => break,
            Ok(Some(Err(error))) => return failed(chain(&error)),
            Ok(Some(Ok(piece))) => piece,
        };
        match piece.stream {
            LogSource::Stdout => sink.take(&piece.bytes).await?,
            LogSource::Stderr => errors.add(&piece.bytes),
        }
    }
    match tokio::time::timeout(EXIT_PATIENCE, exit_code).await {
        Err(_) => failed(format!("{program} closed its output and did not end")),
        Ok(Err(error)) => failed(chain(&error)),
        Ok(Ok(0)) => Ok(Exit::Succeeded),
        Ok(Ok(code)) => failed(reason(program, code, &errors.text())),
    }
}
