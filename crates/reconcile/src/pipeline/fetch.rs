//! Fetches what webhooks have announced: looks the host up, checks where it is, lets git fetch, and notes what came as a push of whoever
//! asked. Beside the loop, one fetch of a repository at a time; when one that failed is tried again is decided in
//! `havre_core::source::remote`. Tests: `tests/it/fetch.rs`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::source::remote::next_try;
use havre_core::source::{CommitId, RemoteUrl};
use havre_core::ssh_key::PublicKey;
use havre_decide::dns::public::is_public;
use havre_source::{Remote, Source, SourceError, SshAccess};
use havre_store::{FetchRow, RemoteRow, StoreError, View};
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::world::World;

/// Longest wait for the addresses of a host.
const RESOLVE_MAX: Duration = Duration::from_secs(10);
/// Most addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;
/// Tries after which a commit that was announced and does not come is no longer waited for: the branch was set to another one since.
pub(crate) const BEHIND_MAX: u32 = 3;
/// Longest reason that is kept, in characters: others have a hand in it.
pub(crate) const REASON_MAX: usize = 500;

/// Projects whose repository is being fetched in this process.
pub(crate) type Fetching = Arc<Mutex<BTreeMap<ProjectName, CancellationToken>>>;

/// Why a fetch came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It cannot come to anything until a person changes something.
    #[error("{0}")]
    Refused(String),
    /// It is worth a retry.
    #[error("{0}")]
    Away(String),
    /// Git failed, or was not asked.
    #[error("could not fetch from the remote repository")]
    Source(#[from] SourceError),
    /// The store failed.
    #[error("could not read or record what is to be fetched")]
    Store(#[from] StoreError),
}

impl FetchError {
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Away(_) | Self::Store(_) => false,
            Self::Source(error) => error.is_permanent(),
        }
    }
}

/// Begins what is due; whether something is left that is not due yet.
///
/// # Errors
/// The store failed.
pub(super) async fn activate(world: &World) -> Result<bool, StoreError> {
    let now = world.now();
    let (due, all) =
        world.store.read(move |view| Ok((view.list_due_fetches(now)?, view.list_fetches()?))).await?;
    let is_waiting = all.len() > due.len();
    for row in due {
        start(world, row);
    }
    Ok(is_waiting)
}

/// Tells every fetch to stop. They are begun again after the start.
pub(super) fn cancel_all(world: &World) {
    for cancel in world.fetching.lock().expect("no holder panics").values() {
        cancel.cancel();
    }
}

/// Begins, unless the repository is being fetched already: then the end of that wakes the loop.
fn start(world: &World, row: FetchRow) {
    let cancel = CancellationToken::new();
    {
        let mut fetching = world.fetching.lock().expect("no holder panics");
        if fetching.contains_key(&row.project) {
            return;
        }
        fetching.insert(row.project.clone(), cancel.clone());
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        let project = row.project.clone();
        if let Err(error) = run(&world, row, cancel).await {
            tracing::error!(%project, error = %chain(&error), "could not record how a fetch ended");
            world.clock.sleep(Duration::from_secs(1)).await;
        }
        world.fetching.lock().expect("no holder panics").remove(&project);
        world.pipelines_wake.notify_one();
    });
}

/// One fetch, and what is recorded about it.
async fn run(world: &World, row: FetchRow, cancel: CancellationToken) -> Result<(), StoreError> {
    let ended = fetch(world, &row, cancel).await;
    match ended {
        Ok(found) => record(world, row, found).await,
        Err(FetchError::Source(SourceError::Cancelled)) => Ok(()),
        Err(error) => {
            let now = world.now();
            let next_at =
                if error.is_permanent() { None } else { next_try(row.tries.saturating_add(1), now) };
            let reason: String = chain(&error).chars().take(REASON_MAX).collect();
            tracing::warn!(project = %row.project, reference = %row.reference, %reason, "could not fetch");
            let failed =
                world.store.write(now, Actor::Havre, move |tx| tx.fetch_failed(&row, next_at, &reason));
            failed.await
        }
    }
}

/// What came, and whether what was announced is not there yet.
struct Found {
    commit: Option<CommitId>,
    is_behind: bool,
}

async fn fetch(world: &World, row: &FetchRow, cancel: CancellationToken) -> Result<Found, FetchError> {
    let remote = find_remote(world, &row.project).await?;
    let commit = world.source.fetch(&row.project, &remote, &row.reference, cancel).await?;
    let is_behind = is_behind(world, row, commit.as_ref()).await?;
    Ok(Found { commit, is_behind })
}

/// Where the repository of a project is fetched from, its host looked up and checked.
pub(crate) async fn find_remote(world: &World, project: &ProjectName) -> Result<Remote, FetchError> {
    let name = project.clone();
    let read = world.store.read(move |view| {
        let Some(remote) = view.find_remote(&name)? else { return Ok(None) };
        let ssh = find_access(view, &remote)?;
        Ok(Some((remote.url, view.find_remote_token(&name)?, ssh)))
    });
    let Some((url, token, ssh)) = read.await? else {
        let message =
            format!("the project {project} has no remote repository: set one with `havre remote set URL`");
        return Err(FetchError::Refused(message));
    };
    if ssh.as_ref().is_some_and(|ssh| ssh.keys.is_empty() || ssh.host_keys.is_empty()) {
        let message = format!(
            "{project} has no deploy key, or its host none that is trusted: set it again with `havre remote set {url}`"
        );
        return Err(FetchError::Refused(message));
    }
    let addresses = resolve(&url, world.settings.remote_private).await?;
    Ok(Remote { url, token, addresses, ssh })
}

/// What a fetch over SSH needs; nothing for every other address.
pub(super) fn find_access(view: &View<'_>, remote: &RemoteRow) -> Result<Option<SshAccess>, StoreError> {
    if !remote.url.is_ssh() {
        return Ok(None);
    }
    let host_keys = remote.host_keys.iter().map(|(key, _)| key.clone()).collect();
    Ok(Some(SshAccess { keys: view.list_deploy_secrets(&remote.project)?, host_keys }))
}

/// The keys the host of an address shows over SSH, for whoever compares them. It is looked up and checked as for a fetch.
///
/// # Errors
/// When it may not be asked, or does not answer.
pub async fn list_host_keys(
    source: &dyn Source,
    url: &RemoteUrl,
    allow_private: bool,
) -> Result<Vec<PublicKey>, FetchError> {
    let addresses = resolve(url, allow_private).await?;
    Ok(source.list_host_keys(url, &addresses).await?)
}

/// A forge may announce a commit a moment before it shows it. One that came with a newer commit is not missing.
async fn is_behind(world: &World, row: &FetchRow, commit: Option<&CommitId>) -> Result<bool, FetchError> {
    if row.reference.branch().is_none() {
        // Not every sender says the commit of a tag that has an object of its own.
        return Ok(false);
    }
    match (&row.wanted, commit) {
        (None, found) => Ok(found.is_some()),
        (Some(_), None) => Ok(true),
        (Some(wanted), Some(found)) if wanted == found => Ok(false),
        (Some(wanted), Some(_)) => match world.source.describe(&row.project, wanted).await {
            Ok(_) => Ok(false),
            Err(SourceError::CommitMissing { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        },
    }
}

/// Notes what came as a push, and forgets the fetch or tries it again, in one transaction.
async fn record(world: &World, row: FetchRow, found: Found) -> Result<(), StoreError> {
    let now = world.now();
    let tries = row.tries.saturating_add(1);
    let next_at = if found.is_behind && tries <= BEHIND_MAX { next_try(tries, now) } else { None };
    let stored = world.store.write(now, row.asked_by.clone(), move |tx| {
        tx.note_push(&row.project, &row.reference, found.commit.as_ref())?;
        match next_at {
            Some(next_at) => tx.fetch_failed(&row, Some(next_at), ""),
            None => tx.fetch_done(&row),
        }
    });
    stored.await
}

/// Where the host is. The name is looked up once: it cannot mean another address when git connects.
pub(super) async fn resolve(url: &RemoteUrl, allow_private: bool) -> Result<Vec<IpAddr>, FetchError> {
    let host = url.host();
    if url.is_plain() && !allow_private {
        let message =
            format!("{host}: only https:// is fetched from (`remote_private` in havred.toml allows http://)");
        return Err(FetchError::Refused(message));
    }
    let found = tokio::time::timeout(RESOLVE_MAX, tokio::net::lookup_host((host, url.port()))).await;
    let found = match found {
        Ok(Ok(found)) => found.map(|address| address.ip()),
        Ok(Err(error)) => {
            return Err(FetchError::Away(format!("{host}: its name could not be looked up: {error}")));
        }
        Err(_) => return Err(FetchError::Away(format!("{host}: its name could not be looked up in time"))),
    };
    let mut found: Vec<IpAddr> = found.collect();
    found.dedup();
    choose(host, &found, allow_private)
}

/// The addresses that may be connected to.
fn choose(host: &str, found: &[IpAddr], allow_private: bool) -> Result<Vec<IpAddr>, FetchError> {
    let is_allowed = |address: &&IpAddr| allow_private || is_public(**address);
    let allowed: Vec<IpAddr> = found.iter().filter(is_allowed).take(ADDRESSES_MAX).copied().collect();
    match (allowed.is_empty(), found.first()) {
        (false, _) => Ok(allowed),
        (true, Some(private)) => Err(FetchError::Refused(format!(
            "{host} is at {private}, which is not a public address (`remote_private` in havred.toml allows others)"
        ))),
        (true, None) => Err(FetchError::Away(format!("{host}: its name has no address"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_of_networks_are_left_out() {
        let parse = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().expect("an address")).collect()
        };
        let mixed =
            parse(&["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111", "100.64.0.1", "169.254.169.254"]);
        let allowed = choose("a.org", &mixed, false).expect("some are public");
        assert_eq!(allowed, parse(&["1.1.1.1", "2606:4700::1111"]));
        assert_eq!(choose("a.org", &mixed, true).expect("all are allowed"), mixed);
        let refused = choose("a.org", &parse(&["127.0.0.1"]), false).expect_err("is private");
        assert!(refused.is_permanent());
        assert_eq!(
            refused.to_string(),
            "a.org is at 127.0.0.1, which is not a public address (`remote_private` in havred.toml allows others)"
        );
        assert!(!choose("a.org", &[], true).expect_err("is nowhere").is_permanent());
    }
}
