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
use crate::remote::wire;
use crate::state::AppState;

/// Longest token. Those of the forges have up to some hundred characters.
const TOKEN_MAX: usize = 4096;

/// Set where the repository of a project is fetched from when a webhook says that something was pushed there, and whether its forge is
/// told what becomes of commits and how previews stand.
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
    let SetRemoteRequest { url, token, forge, no_status, no_comments, status_token } = request;
    if url.is_plain() && !state.remote_private {
        let message = "this server fetches from https:// only: everybody on the way could read http://";
        return Err(Refusal::new(Code::RemoteInvalid, message).hint(
            "take the https:// address; `remote_private` in havred.toml allows http:// within a network",
        ));
    }
    let token = token.map(check_token).transpose()?;
    let status_token = status_token.map(check_token).transpose()?;
    let set = state.store.write(state.now(), actor, move |tx| {
        tx.set_remote(&project, &url, token.as_ref())?;
        let spec = TellingSpec {
            forge,
            is_off: no_status,
            has_no_comments: no_comments,
            token: status_token.as_ref(),
        };
        let row = tx.set_telling(&project, spec)?;
        wire(tx, row)
    });
    Ok(Json(set.await?))
}

/// Never says the token.
fn check_token(token: String) -> Result<Secret, Refusal> {
    if (1..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Secret::from(token));
    }
    let message = "the token is not 1 to 4096 visible ASCII characters without spaces";
    Err(Refusal::new(Code::RemoteInvalid, message).hint("copy it once more from the forge"))
}
