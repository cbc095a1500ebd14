//! Fetches the commits that submodules are at, those of submodules included, and puts their files into the tree of the commit. Where they come
//! from, and who is shown the token, is decided in `havre_decide::source::submodule`; hosts are looked up and checked as those of remote
//! repositories are. Tests: `tests/it/submodule.rs`.

use std::collections::BTreeMap;

use havre_core::name::RelativePath;
use havre_core::pipeline::Pipeline;
use havre_core::secret::Secret;
use havre_core::source::{CommitId, RemoteUrl};
use havre_decide::source::submodule::{
    DEPTH_MAX, FILE, FILE_MAX, SUBMODULES_MAX, check_key, may_have_token, parse, resolve,
};
use havre_source::tree::ENTRIES_MAX;
use havre_source::{Remote, SourceError, SshAccess, Tree};
use havre_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::checkout::CheckoutError;
use super::fetch::{self, FetchError};
use super::read;
use crate::build::is_fork;
use crate::deployment::chain;
use crate::world::World;

/// Where the repository of the project comes from; nothing of it where it is pushed here.
#[derive(Default)]
pub(super) struct Origin {
    pub(super) url: Option<RemoteUrl>,
    pub(super) token: Option<Secret>,
    /// The deploy keys, and those its host may show.
    ssh: Option<SshAccess>,
    /// The commit is of somebody who may not read what only a token or a key opens.
    pub(super) is_fork: bool,
}

impl Origin {
    /// The token, where it is for the host of this address.
    pub(super) fn token_for(&self, url: &RemoteUrl) -> Option<Secret> {
        let is_for_it = self.url.as_ref().is_some_and(|remote| may_have_token(remote, url));
        if is_for_it { self.token.clone() } else { None }
    }

    /// What a fetch of a submodule over SSH needs; nothing for any other address.
    fn access_for(&self, url: &RemoteUrl) -> Result<Option<SshAccess>, String> {
        if !url.is_ssh() {
            return Ok(None);
        }
        check_key(self.url.as_ref(), url).map_err(|error| error.to_string())?;
        if self.is_fork {
            return Err("it lies behind SSH, and the pull request comes from another repository, which is shown nothing that only the deploy \
                        key of this project opens"
                .to_owned());
        }
        let access = self.ssh.clone().filter(|ssh| !ssh.keys.is_empty() && !ssh.host_keys.is_empty());
        access.map(Some).ok_or_else(|| {
            "it lies behind SSH, and this project has no deploy key, or its host no key that is trusted: set the remote repository again with \
             `havre remote set`"
                .to_owned()
        })
    }
}

/// A submodule that was fetched.
pub(super) struct Module {
    /// Its folder in the tree, with a slash.
    pub(super) folder: String,
    pub(super) url: RemoteUrl,
}

/// A repository whose submodules are looked at: that of the commit, or one of its submodules.
struct Level {
    /// Its folder in the tree, with a slash; empty for the commit itself.
    folder: String,
    /// Where it was fetched from.
    base: Option<RemoteUrl>,
    depth: usize,
}

/// The tree with the files of every submodule in it, and where they came from.
pub(super) async fn fetch_all(
    world: &World,
    pipeline: &Pipeline,
    mut tree: Tree,
    cancel: &CancellationToken,
) -> Result<(Tree, Vec<Module>), CheckoutError> {
    let origin = find_origin(world, pipeline).await?;
    let mut levels = vec![Level { folder: String::new(), base: origin.url.clone(), depth: 0 }];
    let (mut count, mut modules) = (0, Vec::new());
    while let Some(level) = levels.pop() {
        let wanted = list(&tree, &level.folder);
        if wanted.is_empty() {
            continue;
        }
        count += wanted.len();
        check_count(count, &level)?;
        let path = format!("{}{FILE}", level.folder);
        let text = read::text(world, &pipeline.project, &tree, &path, FILE_MAX).await?;
        let addresses = parse(&text.unwrap_or_default())
            .map_err(|error| CheckoutError::Commit(format!("{path}: {error}")))?;
        for (path, commit) in wanted {
            let url = find_url(&addresses, &level, &path)?;
            let remote = find_remote(world, &origin, url, &path).await?;
            world.source.fetch_submodule(&pipeline.project, &remote, &commit, cancel.clone()).await?;
            let inner = world.source.list_tree(&pipeline.project, &commit, &RelativePath::here()).await?;
            if tree.entries().len() + inner.entries().len() > ENTRIES_MAX {
                let message =
                    format!("with the submodule {path} the commit has more than {ENTRIES_MAX} files");
                return Err(CheckoutError::Commit(message));
            }
            tree = tree.graft(&path, &inner);
            let (folder, depth) = (format!("{path}/"), level.depth + 1);
            modules.push(Module { folder: folder.clone(), url: remote.url.clone() });
            levels.push(Level { folder, base: Some(remote.url), depth });
        }
    }
    Ok((tree, modules))
}

/// Whoever opens a pull request from another repository is shown nothing that only a token opens.
pub(super) async fn find_origin(world: &World, pipeline: &Pipeline) -> Result<Origin, CheckoutError> {
    let failed = |error: StoreError| {
        CheckoutError::Commit(format!("could not look up its remote repository: {}", chain(&error)))
    };
    let is_fork = is_fork(world, &pipeline.project, &pipeline.environment).await.map_err(failed)?;
    let project = pipeline.project.clone();
    let read = world.store.read(move |view| {
        let Some(remote) = view.find_remote(&project)? else { return Ok(Origin::default()) };
        if is_fork {
            return Ok(Origin { url: Some(remote.url), is_fork, ..Origin::default() });
        }
        let (token, ssh) = (view.find_remote_token(&project)?, fetch::find_access(view, &remote)?);
        Ok(Origin { url: Some(remote.url), token, ssh, is_fork })
    });
    read.await.map_err(failed)
}

/// The submodules of one level: deeper ones are not in the tree yet.
fn list(tree: &Tree, folder: &str) -> Vec<(String, CommitId)> {
    let of_level = tree.submodules().filter(|(path, _)| path.starts_with(folder));
    of_level.map(|(path, commit)| (path.to_owned(), commit)).collect()
}

fn check_count(count: usize, level: &Level) -> Result<(), CheckoutError> {
    if count > SUBMODULES_MAX {
        let message = format!("the commit has {count} submodules, more than {SUBMODULES_MAX}");
        return Err(CheckoutError::Commit(message));
    }
    if level.depth >= DEPTH_MAX {
        let message = format!("the submodules of {} lie deeper than {DEPTH_MAX} in each other", level.folder);
        return Err(CheckoutError::Commit(message));
    }
    Ok(())
}

/// The address of a submodule, out of the `.gitmodules` of the repository it is in.
fn find_url(
    addresses: &BTreeMap<String, String>,
    level: &Level,
    path: &str,
) -> Result<RemoteUrl, CheckoutError> {
    let own = path.strip_prefix(level.folder.as_str()).unwrap_or(path);
    let Some(text) = addresses.get(own) else {
        let message =
            format!("{path} is a submodule, and {}{FILE} does not say where it comes from", level.folder);
        return Err(CheckoutError::Commit(message));
    };
    resolve(text, level.base.as_ref())
        .map_err(|error| CheckoutError::Commit(format!("the submodule {path} cannot be fetched: {error}")))
}

/// The same with where its host is, and with the token where that is for this host.
async fn find_remote(
    world: &World,
    origin: &Origin,
    url: RemoteUrl,
    path: &str,
) -> Result<Remote, CheckoutError> {
    let refused =
        |reason: String| CheckoutError::Commit(format!("the submodule {path} cannot be fetched: {reason}"));
    let ssh = origin.access_for(&url).map_err(refused)?;
    let addresses = fetch::resolve(&url, world.settings.remote_private).await;
    let addresses = addresses.map_err(|error| match error {
        FetchError::Source(SourceError::Cancelled) => CheckoutError::Cancelled,
        error => refused(chain(&error)),
    })?;
    Ok(Remote { token: origin.token_for(&url), url, addresses, ssh })
}
