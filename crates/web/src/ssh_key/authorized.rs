//! `GET /ssh/v1/key`: the key of a fingerprint, for the program that sshd asks, and on its socket only. Tests: `tests/it/ssh_key.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::ssh_key::AuthorizedKey;
use havre_core::ssh_key::Fingerprint;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{Code, Refusal};
use crate::extract::Params;
use crate::state::AppState;

/// Query of `GET /ssh/v1/key`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyQuery {
    /// SHA-256 of the key somebody offers.
    fingerprint: String,
}

/// The key of this fingerprint, if it is one of ours. That whoever offers it has its other half is for sshd to prove.
#[utoipa::path(get, path = "/ssh/v1/key", tag = "access", operation_id = "find_ssh_key",
    params(KeyQuery),
    responses(
        (status = 200, body = AuthorizedKey),
        (status = 404, body = ErrorBody, description = "`ssh_key_not_found`"),
    ))]
pub(crate) async fn authorized(
    State(state): State<AppState>,
    Params(query): Params<KeyQuery>,
) -> Result<Json<AuthorizedKey>, Refusal> {
    let fingerprint: Fingerprint = query.fingerprint.parse()?;
    let found = state.store.read(move |view| view.find_ssh_key_by_fingerprint(&fingerprint)).await?;
    let found = found.ok_or_else(|| Refusal::new(Code::SshKeyNotFound, "there is no such key for SSH"))?;
    Ok(Json(AuthorizedKey { id: found.id, public_key: found.public_key }))
}
