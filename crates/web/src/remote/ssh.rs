//! What a remote repository over SSH has besides its address: keys its host may show, and a deploy key. Which key of a host may be trusted is decided
//! in `havre_decide::source::host_key`. Tests: `tests/it/remote_ssh.rs`.

use havre_api::remote::{DeployKey, HostKey, RemoteSsh};
use havre_core::name::ProjectName;
use havre_core::source::RemoteUrl;
use havre_core::ssh_key::{Fingerprint, PublicKey};
use havre_decide::source::host_key::{HostKeyError, Trust, parse, pick};
use havre_store::{NewDeployKey, RemoteRow, StoreError, View};
use havre_x509::deploy_key;

use crate::error::{Code, Refusal};
use crate::git::gateway::GitError;
use crate::ssh_key::fingerprint;
use crate::state::AppState;

/// What a request says of the host's key.
#[derive(Debug)]
pub(super) struct HostWish {
    pub(super) host_key: Option<String>,
    pub(super) accept_new: bool,
}

/// Keys the host may show from now on; `None` where nothing is said of them. The host is asked only where it has to show something: whoever wants
/// to compare must see it now, not once a fetch has failed.
pub(super) async fn choose_host_keys(
    state: &AppState,
    url: &RemoteUrl,
    wish: HostWish,
) -> Result<Option<Vec<(PublicKey, Fingerprint)>>, Refusal> {
    let invalid = |message: String| Refusal::new(Code::RemoteInvalid, message);
    let refused = |error: HostKeyError| invalid(error.to_string());
    if wish.host_key.is_none() && !wish.accept_new {
        return Ok(None);
    }
    if !url.is_ssh() {
        return Err(invalid("only an address for SSH has a host key".to_owned()));
    }
    let trust = match (wish.host_key, wish.accept_new) {
        (Some(_), true) => {
            let message = "either the host's key is given, or whichever it shows is accepted: not both";
            return Err(invalid(message.to_owned()));
        }
        (Some(text), false) => parse(&text, url.host()).map_err(refused)?,
        (None, _) => Trust::New,
    };
    let shown = match trust {
        Trust::Keys(_) => Vec::new(),
        Trust::Fingerprint(_) | Trust::New => {
            state.git.host_keys(url).await.map_err(|error| match error {
                GitError::Refused(reason) => invalid(reason),
                error @ (GitError::Missing(_) | GitError::NoSpace | GitError::Failed(_)) => error.into(),
            })?
        }
    };
    let picked = pick(trust, &with_fingerprints(shown), url.host()).map_err(refused)?;
    Ok(Some(with_fingerprints(picked)))
}

fn with_fingerprints(keys: Vec<PublicKey>) -> Vec<(PublicKey, Fingerprint)> {
    keys.into_iter()
        .map(|key| {
            let fingerprint = fingerprint(&key);
            (key, fingerprint)
        })
        .collect()
}

/// A new pair, which nobody knows yet.
pub(super) fn make_deploy_key(state: &AppState, project: &ProjectName) -> Result<NewDeployKey, Refusal> {
    let made = deploy_key::make(&(state.entropy)(), &format!("havre-{project}"));
    let made = made.map_err(|error| Refusal::internal("make a deploy key", &error))?;
    let fingerprint = fingerprint(&made.public);
    Ok(NewDeployKey { public_key: made.public, fingerprint, private_key: made.private })
}

/// The wire form; nothing for every other address.
pub(super) fn wire(view: &View<'_>, row: &RemoteRow) -> Result<Option<RemoteSsh>, StoreError> {
    if !row.url.is_ssh() {
        return Ok(None);
    }
    let deploy_keys = view.list_deploy_keys(&row.project)?.into_iter().map(|row| DeployKey {
        public_key: row.public_key,
        fingerprint: row.fingerprint,
        created_at: row.created_at,
    });
    let host_keys = row.host_keys.iter().cloned();
    let host_keys = host_keys.map(|(public_key, fingerprint)| HostKey { public_key, fingerprint });
    Ok(Some(RemoteSsh { deploy_keys: deploy_keys.collect(), host_keys: host_keys.collect() }))
}
