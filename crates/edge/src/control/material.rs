//! Material of certificates from control: what the table names and the disk lacks is fetched by digest, and what no
//! table has named for a day is removed. A failure delays one certificate and nothing else. It chooses no certificates.
//! Tests: `tests/it/material.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{Link, LinkError, Trouble, chain};
use crate::certificate::Digest;
use crate::certificate::material::{MAX_MATERIAL_BYTES, digest_of};
use crate::pace::Backoff;
use crate::table::{Https, Table};

/// Longest exchange for one certificate.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a new table waits for its material before it is reported as in use: a certificate authority may ask as
/// soon as it is.
const SUPPLY_WAIT: Duration = Duration::from_secs(2);
/// Pause between looks for material nobody names.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// How long such material is kept: a rollback may name it again.
const KEEP_UNNAMED: Duration = Duration::from_secs(24 * 3600);

/// Why one certificate is not here.
#[derive(Debug, thiserror::Error)]
enum MaterialError {
    #[error("fetch certificate {0}")]
    Fetch(Digest, #[source] LinkError),
    #[error("certificate {0} of control has other bytes than its digest says")]
    Digest(Digest),
    #[error("save certificate {0}")]
    Save(Digest, #[source] std::io::Error),
}

/// Waits for a table with other certificates than these.
async fn other_certificates(settled: &mut watch::Receiver<Arc<Table>>, https: &Https) {
    let is_over = settled.wait_for(|now| !now.https.shares_certificates(https)).await.is_err();
    if is_over {
        std::future::pending().await
    }
}

impl Link {
    /// Fetches material until dropped: when the table changes, when a client asked for what is not here, and again
    /// after failures.
    pub(super) async fn supply(&self, settled: &watch::Receiver<Arc<Table>>) {
        let mut settled = settled.clone();
        let mut backoff = Backoff::new();
        let mut trouble = Trouble::default();
        let mut unnamed = HashMap::new();
        loop {
            // Not the table: it would live for as long as nothing happens here.
            let https = settled.borrow_and_update().https.clone();
            let failure = self.fetch_missing(&https).await.err();
            self.tidy(&https, &mut unnamed).await;
            if let Some(problem) = failure {
                trouble.say("not every certificate is here; serving older ones", chain(&problem));
                tokio::select! {
                    () = other_certificates(&mut settled, &https) => {}
                    () = sleep(backoff.next()) => {}
                }
                continue;
            }
            trouble.over("every certificate is here");
            backoff.reset();
            tokio::select! {
                () = other_certificates(&mut settled, &https) => {}
                () = self.shared.certificates.missed.notified() => {}
                () = sleep(TIDY_EVERY) => {}
            }
        }
    }

    /// Fetches what `table` lacks, but does not hold it up for long.
    pub(super) async fn supply_soon(&self, table: &Table) {
        // What fails here is tried again, and said, by `supply`.
        let _ = timeout(SUPPLY_WAIT, self.fetch_missing(&table.https)).await;
    }

    /// Fetches each certificate that is missing; the last failure, after all have been tried.
    async fn fetch_missing(&self, https: &Https) -> Result<(), MaterialError> {
        let mut failure = Ok(());
        for digest in self.shared.certificates.missing(https.digests().0) {
            match self.fetch(digest).await {
                Ok(()) => info!(%digest, "certificate fetched"),
                // Control is away: the others would fail in the same way.
                Err(problem @ MaterialError::Fetch(_, LinkError::Connect(_) | LinkError::Timeout)) => {
                    return Err(problem);
                }
                Err(problem) => failure = Err(problem),
            }
        }
        failure
    }

    async fn fetch(&self, digest: Digest) -> Result<(), MaterialError> {
        let request = format!(
            "GET /v1/edge/certificates/{digest} HTTP/1.1\r\nHost: control\r\nAccept: application/x-pem-file\r\n\
             Connection: close\r\n\r\n"
        );
        let failed = |problem| MaterialError::Fetch(digest, problem);
        let (status, text) =
            self.exchange(request.as_bytes(), MAX_MATERIAL_BYTES, FETCH_TIMEOUT).await.map_err(failed)?;
        if status != 200 {
            return Err(failed(LinkError::Status(status)));
        }
        if digest_of(&text) != digest {
            return Err(MaterialError::Digest(digest));
        }
        let shared = Arc::clone(&self.shared);
        // The disk may be slow.
        let save = tokio::task::spawn_blocking(move || shared.certificates.save(digest, &text));
        let saved = save.await.expect("saving does not panic and is never cancelled");
        saved.map_err(|problem| MaterialError::Save(digest, problem))
    }

    /// Removes material that no table has named for a day.
    async fn tidy(&self, https: &Https, unnamed: &mut HashMap<Digest, Instant>) {
        let (wanted, older) = https.digests();
        let now = Instant::now();
        let loose = self
            .shared
            .certificates
            .present_without(|digest| wanted.contains(digest) || older.contains(digest));
        unnamed.retain(|digest, _| loose.contains(digest));
        for digest in loose {
            let since = *unnamed.entry(digest).or_insert(now);
            if now.duration_since(since) < KEEP_UNNAMED {
                continue;
            }
            unnamed.remove(&digest);
            let shared = Arc::clone(&self.shared);
            let remove = tokio::task::spawn_blocking(move || shared.certificates.remove(digest));
            match remove.await.expect("removing does not panic and is never cancelled") {
                Ok(()) => info!(%digest, "removed a certificate that nothing names any more"),
                Err(problem) => warn!(%digest, %problem, "cannot remove a certificate that nothing names"),
            }
        }
    }
}
