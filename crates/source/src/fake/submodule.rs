//! Commits of submodules in memory.

use havre_core::name::ProjectName;
use havre_core::source::{CommitId, RemoteUrl};

use super::{FakeSource, Repository};
use crate::error::SourceError;
use crate::source::Remote;

/// One commit that was fetched for a submodule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeFetch {
    /// Where from.
    pub url: RemoteUrl,
    /// Whether a token came along.
    pub has_token: bool,
    /// How many deploy keys came along.
    pub keys: usize,
    /// Which commit.
    pub commit: CommitId,
}

impl FakeSource {
    /// Commits that were fetched for submodules, in order.
    pub fn submodules(&self) -> Vec<FakeFetch> {
        self.lock().submodules.clone()
    }

    /// The other repository is the one here whose name its address ends with.
    pub(super) fn bring_submodule(
        &self,
        repository: &ProjectName,
        remote: &Remote,
        commit: &CommitId,
    ) -> Result<(), SourceError> {
        let find = |found: &Repository| found.commits.contains_key(commit).then(|| commit.clone());
        if self.bring(repository, remote, find, |_, _| {})?.is_none() {
            return Err(SourceError::CommitMissing {
                repository: repository.clone(),
                commit: commit.clone(),
            });
        }
        let fetch = FakeFetch {
            url: remote.url.clone(),
            has_token: remote.token.is_some(),
            keys: remote.ssh.as_ref().map_or(0, |ssh| ssh.keys.len()),
            commit: commit.clone(),
        };
        self.lock().submodules.push(fetch);
        Ok(())
    }
}
