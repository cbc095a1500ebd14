//! `POST /git/{repository}/info/lfs/grant`, on the socket of the program behind sshd: lets a key for SSH push contents of Git LFS over HTTP for some
//! minutes, and answers what `git-lfs-authenticate` prints. What was granted is known to this process only, by its SHA-256. Tests:
//! `tests/it/lfs.rs`, and at the end of the file.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use havre_api::ssh_key::KEY_HEADER;
use havre_core::id::SshKeyId;
use havre_core::name::ProjectName;
use havre_core::time::Timestamp;
use http::{HeaderMap, header};
use serde_json::json;

use super::public_address;
use crate::access::secret;
use crate::error::{Code, Refusal};
use crate::git::{Told, project};
use crate::state::AppState;

/// How long one holds. A push of many contents may take longer than any of its calls takes to begin.
const GRANT_SECONDS: u64 = 30 * 60;
/// Most at once; above it, the one that ends first goes.
const GRANTS_MAX: usize = 1024;

/// What was granted to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) key: SshKeyId,
    pub(crate) project: ProjectName,
    expires_at: Timestamp,
}

/// Everything that was granted and holds, by the SHA-256 of what was given out.
#[derive(Debug, Default)]
pub(crate) struct Grants(Mutex<BTreeMap<[u8; 32], Grant>>);

impl Grants {
    /// One that holds now.
    pub(crate) fn find(&self, hash: &[u8; 32], now: Timestamp) -> Option<Grant> {
        let all = self.0.lock().expect("no holder panics");
        all.get(hash).filter(|grant| now < grant.expires_at).cloned()
    }

    fn add(&self, hash: [u8; 32], grant: Grant, now: Timestamp) {
        let mut all = self.0.lock().expect("no holder panics");
        all.retain(|_, grant| now < grant.expires_at);
        if all.len() >= GRANTS_MAX {
            let first = all.iter().min_by_key(|(_, grant)| grant.expires_at).map(|(hash, _)| *hash);
            if let Some(hash) = first {
                all.remove(&hash);
            }
        }
        all.insert(hash, grant);
    }
}

/// Lets a key for SSH push contents of Git LFS to its repository.
#[utoipa::path(post, path = "/git/{repository}/info/lfs/grant", tag = "git", operation_id = "lfs_grant",
    params(("repository" = String, Path, example = "dropit.git")),
    responses((status = 200, content_type = "application/json", body = String)))]
pub(crate) async fn grant(
    State(state): State<AppState>,
    Path(repository): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Told> {
    let project = project(&repository)?;
    let key = headers.get(KEY_HEADER).and_then(|value| value.to_str().ok()?.parse::<SshKeyId>().ok());
    // The gate has let this key in.
    let key = key.ok_or_else(|| Refusal::new(Code::Unauthorised, "the request names no key for SSH"))?;
    let Some(url) = &state.public_url else {
        let message =
            "contents of Git LFS go over HTTP, and this server does not know where it is reached so";
        let hint = format!(
            "set `public_url` in its havred.toml, or say it yourself: git config lfs.url http://HOST:PORT/git/{project}.git/info/lfs"
        );
        return Err(Refusal::new(Code::PublicUrlMissing, message).hint(hint).into());
    };
    let text = secret::text((state.entropy)());
    let hash = secret::hash(&text).expect("what was made just now has the form of one");
    let now = state.now();
    let expires_at = now.after(Duration::from_secs(GRANT_SECONDS));
    state.grants().add(hash, Grant { key, project: project.clone(), expires_at }, now);
    let body = json!({
        "href": public_address(url, &project),
        "header": { "Authorization": format!("Bearer {text}") },
        "expires_in": GRANT_SECONDS,
    });
    let kind = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((kind, body.to_string()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(seconds: u64) -> Grant {
        Grant {
            key: SshKeyId::new(1),
            project: "dropit".parse().expect("is a name"),
            expires_at: at(seconds),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn what_was_granted_ends_by_itself_and_never_grows() {
        let grants = Grants::default();
        grants.add([1; 32], grant(10), at(0));
        assert_eq!(grants.find(&[1; 32], at(9)), Some(grant(10)));
        assert_eq!(grants.find(&[1; 32], at(10)), None);
        assert_eq!(grants.find(&[2; 32], at(9)), None);
        for place in 0..=GRANTS_MAX {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&(place as u64).to_be_bytes());
            grants.add(hash, grant(20 + place as u64), at(0));
        }
        assert_eq!(grants.0.lock().expect("no holder panics").len(), GRANTS_MAX);
        assert_eq!(grants.find(&[1; 32], at(0)), None, "it would have ended first");
    }
}
