//! `PUT /v1/projects/{project}/remote`: where the repository of a project is fetched from. Whether the host may be reached is asked
//! when it is: what a name means changes. Tests: `tests/it/remote.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::remote::{Remote, SetRemoteRequest};
use havre_core::secret::Secret;
use havre_store::TellingSpec;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{Input, ProjectPath};
use crate::remote::ssh::{HostWish, choose_host_keys, make_deploy_key};
use crate::remote::wire;
use crate::state::AppState;
use crate::transaction;

/// Longest token. Those of the forges have up to some hundred characters.
const TOKEN_MAX: usize = 4096;

/// Set where the repository of a project is fetched from when a webhook says that something was pushed there, and whether its forge is
/// told what becomes of commits and how previews stand. For an address for SSH, a deploy key is made, whose public half is in the answer, and
/// the key of the host has to be known: given, or accepted as it is shown now.
#[utoipa::path(put, path = "/v1/projects/{project}/remote", tag = "pipeline", operation_id = "set_remote",
    params(("project" = String, Path, example = "dropit")),
    request_body = SetRemoteRequest,
    responses(
        (status = 200, body = Remote),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`remote_invalid`"),
    ))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Caller(actor): Caller,
    ProjectPath(project): ProjectPath,
    Input(request): Input<SetRemoteRequest>,
) -> Result<Json<Remote>, Refusal> {
    let SetRemoteRequest {
        url,
        token,
        forge,
        no_status,
        no_comments,
        status_token,
        host_key,
        accept_new_host_key,
    } = request;
    if url.is_plain() && !state.remote_private {
        let message = "this server fetches from https:// only: everybody on the way could read http://";
        return Err(Refusal::new(Code::RemoteInvalid, message).hint(
            "take the https:// address; `remote_private` in havred.toml allows http:// within a network",
        ));
    }
    if url.is_ssh() && token.is_some() {
        let message = "an address for SSH is fetched with a deploy key, and takes no token";
        return Err(Refusal::new(Code::RemoteInvalid, message)
            .hint("leave it out; `--status-token-stdin` takes one for telling the forge"));
    }
    let token = token.map(check_token).transpose()?;
    let status_token = status_token.map(check_token).transpose()?;
    let wish = HostWish { host_key, accept_new: accept_new_host_key };
    let host_keys = choose_host_keys(&state, &url, wish).await?;
    let fresh = if url.is_ssh() { Some(make_deploy_key(&state, &project)?) } else { None };
    let set = transaction::write(&state, actor, move |tx| {
        let row = tx.set_remote(&project, &url, token.as_ref())?;
        if host_keys.is_none() && url.is_ssh() && row.host_keys.is_empty() {
            return Err(unknown_host(url.host()));
        }
        if let Some(fresh) = fresh
            && tx.list_deploy_keys(&project)?.is_empty()
        {
            tx.add_deploy_key(&project, fresh)?;
        }
        if let Some(host_keys) = host_keys {
            tx.set_host_keys(&project, &host_keys)?;
        }
        let spec = TellingSpec {
            forge,
            is_off: no_status,
            has_no_comments: no_comments,
            token: status_token.as_ref(),
        };
        let row = tx.set_telling(&project, spec)?;
        Ok(wire(tx, row)?)
    });
    Ok(Json(set.await?))
}

fn unknown_host(host: &str) -> Refusal {
    let message =
        format!("which key {host} has is not known, so that anybody on the way could answer in its place");
    Refusal::new(Code::RemoteInvalid, message).hint(
        "give its fingerprint as its owner publishes it, with `--host-key SHA256:...`; or trust what it shows now with \
         `--accept-new-host-key`, and compare",
    )
}

/// Never says the token.
fn check_token(token: String) -> Result<Secret, Refusal> {
    if (1..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Secret::from(token));
    }
    let message = "the token is not 1 to 4096 visible ASCII characters without spaces";
    Err(Refusal::new(Code::RemoteInvalid, message).hint("copy it once more from the forge"))
}
