//! `PUT /v1/issuers/{issuer}`: makes it be as said. Tests: `tests/it/issuer.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::certificate::{Issuer, SetIssuerRequest};
use havre_api::error::ErrorBody;
use havre_core::certificate::challenge::ChallengeKind;
use havre_core::certificate::issuer::{self, PRESETS, Preset};
use havre_core::name::IssuerName;
use havre_core::secret::Secret;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{Input, IssuerPath};
use crate::issuer::wire;
use crate::state::AppState;
use crate::transaction;

/// Rank of an issuer that names none: between those that were put first and last.
const RANK: u32 = 10;
const ALL: [ChallengeKind; 3] = [ChallengeKind::Http01, ChallengeKind::TlsAlpn01, ChallengeKind::Dns01];
/// Longest contact, key id, key or root.
const TEXT_MAX: usize = 16 * 1024;

/// Set an issuer. It is asked when a certificate is needed, not now.
#[utoipa::path(put, path = "/v1/issuers/{issuer}", tag = "certificate", operation_id = "set_issuer",
    params(("issuer" = String, Path, example = "letsencrypt")),
    request_body = SetIssuerRequest,
    responses(
        (status = 200, body = Issuer),
        (status = 409, body = ErrorBody, description = "`no_master_key`"),
        (status = 422, body = ErrorBody, description = "`issuer_invalid`"),
    ))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Caller(actor): Caller,
    IssuerPath(name): IssuerPath,
    Input(request): Input<SetIssuerRequest>,
) -> Result<Json<Issuer>, Refusal> {
    let (row, eab_key) = complete(name, request)?;
    let issuer = transaction::write(&state, actor, move |tx| {
        tx.set_issuer(&row, eab_key.as_ref())?;
        wire(tx, row)
    });
    Ok(Json(issuer.await?))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::IssuerInvalid, message)
}

fn complete(
    name: IssuerName,
    request: SetIssuerRequest,
) -> Result<(issuer::Issuer, Option<Secret>), Refusal> {
    if !request.terms_agreed {
        return Err(invalid(format!("{name} has terms, and nobody has agreed to them"))
            .hint("read them, then repeat with --agree-tos (`terms_agreed`)"));
    }
    let preset = Preset::named(name.as_str());
    let known = |text: &str| text.parse().expect("directories of presets are tested");
    let directory = request.directory.or_else(|| preset.map(|preset| known(preset.directory)));
    let directory = directory.ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        invalid(format!("`{name}` is none of {}, so its directory is needed", names.join(", ")))
            .hint("name it with --directory (`directory`)")
    })?;
    let preset = PRESETS.iter().find(|preset| preset.directory == directory.as_str());
    let staging = request.staging.or_else(|| preset.and_then(|preset| preset.staging).map(known));
    let is_bound = request.eab_key_id.is_some();
    if is_bound != request.eab_key.is_some() {
        return Err(invalid("an external account binding is a key id and a key, both or neither"));
    }
    if preset.is_some_and(|preset| preset.needs_eab) && !is_bound {
        return Err(invalid(format!("{name} wants an external account binding"))
            .hint("make one at the issuer's site, then name it with --eab-key-id and give the key on standard input"));
    }
    let texts = [&request.contact, &request.eab_key_id, &request.eab_key, &request.root_pem];
    if texts.into_iter().flatten().any(|text| text.trim().is_empty() || text.len() > TEXT_MAX) {
        return Err(invalid(format!(
            "contact, key id, key and root are not empty and at most {TEXT_MAX} bytes"
        )));
    }
    let is_address =
        |text: &String| text.contains('@') && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if let Some(contact) = request.contact.as_ref().filter(|contact| !is_address(contact)) {
        let shown: String = contact.chars().take(64).flat_map(char::escape_debug).collect();
        return Err(invalid(format!("`{shown}` is not a mail address")));
    }
    let challenges = request.challenges.unwrap_or_else(|| ALL.to_vec());
    if challenges.is_empty() || challenges.len() > ALL.len() {
        return Err(invalid("`challenges` names one to three of http-01, tls-alpn-01 and dns-01"));
    }
    let row = issuer::Issuer {
        name,
        rank: request.rank.unwrap_or(RANK),
        directory,
        staging,
        contact: request.contact,
        challenges,
        eab_key_id: request.eab_key_id,
        root_pem: request.root_pem,
    };
    Ok((row, request.eab_key.map(Secret::from)))
}
