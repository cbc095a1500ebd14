//! Remote repositories: where the repository of a project is fetched from. Tokens go in and never come out; of deploy keys, only the public
//! half does.

use havre_core::name::ProjectName;
use havre_core::preview::PullNumber;
use havre_core::source::RemoteUrl;
use havre_core::source::forge::Forge;
use havre_core::ssh_key::{Fingerprint, PublicKey};
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::pipeline::StatusReport;

/// The remote repository of a project, without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Remote {
    /// The project.
    #[schema(value_type = String, example = "dropit")]
    pub project: ProjectName,
    /// Where it is.
    #[schema(value_type = String, example = "https://github.com/acme/dropit.git")]
    pub url: RemoteUrl,
    /// Whether there is a token for it.
    pub has_token: bool,
    /// What it is fetched with over SSH; absent for every other address.
    pub ssh: Option<RemoteSsh>,
    /// Whether its forge is told what becomes of commits.
    pub status: RemoteStatus,
    /// Whether its forge is told how previews stand, in a comment on each pull request.
    pub comments: RemoteComments,
    /// When it was first set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Keys for SSH of a remote repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemoteSsh {
    /// Public halves of its deploy keys, the newest first. There are two while the older one is replaced: both are offered.
    pub deploy_keys: Vec<DeployKey>,
    /// Keys its host may show. With any other, nothing is fetched.
    pub host_keys: Vec<HostKey>,
}

/// The public half of a deploy key: it is added to the repository at the forge, for reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployKey {
    /// The key, as forges take it.
    #[schema(value_type = String, example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs havre-dropit")]
    pub public_key: PublicKey,
    /// Its SHA-256, by which people compare keys.
    #[schema(value_type = String, example = "SHA256:z/fSv0Z0RZS+Lccbc6ZoOWwt/fbj1VFJGSBKQbo4icE")]
    pub fingerprint: Fingerprint,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A key that a host may show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostKey {
    /// The key.
    #[schema(value_type = String, example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua")]
    pub public_key: PublicKey,
    /// Its SHA-256, by which people compare keys.
    #[schema(value_type = String, example = "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc")]
    pub fingerprint: Fingerprint,
}

/// Whether and how the forge of a remote repository is told what becomes of commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemoteStatus {
    /// It is told.
    pub is_on: bool,
    /// The forge: `github`, `gitlab`, `gitea` or `bitbucket`; absent where it is not known.
    #[schema(value_type = Option<String>, example = "github")]
    pub forge: Option<Forge>,
    /// Whether there is a token for this alone.
    pub has_token: bool,
    /// Why nothing is told, and what to do about it.
    pub obstacle: Option<String>,
    /// The forge wants no call before.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub quiet_until: Option<Timestamp>,
    /// What was told last, or could not be told.
    pub last: Option<StatusReport>,
}

/// Whether the forge of a remote repository is told how previews stand, and how that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemoteComments {
    /// It is told.
    pub is_on: bool,
    /// Why nothing is told, and what to do about it.
    pub obstacle: Option<String>,
    /// One that could not be made or changed, else the one on the newest pull request.
    pub last: Option<CommentReport>,
}

/// What became of the comment on a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommentReport {
    /// The pull request.
    #[schema(value_type = u32, example = 7)]
    pub number: PullNumber,
    /// When it was made or changed last; absent where it was not made yet.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub told_at: Option<Timestamp>,
    /// Why it could not be made or changed since.
    pub reason: Option<String>,
    /// When that is tried again; absent where it was given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

/// Sets the remote repository of a project.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRemoteRequest {
    /// Where it is: an `https://` address, or one for SSH (`ssh://git@host/path`, `git@host:path`), for which a deploy key is made.
    #[schema(value_type = String, example = "https://github.com/acme/dropit.git")]
    pub url: RemoteUrl,
    /// What proves who fetches: an access token of the forge that may read the repository. Left out, one that was set before is
    /// forgotten. Never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Which forge it is: `github`, `gitlab`, `gitea` or `bitbucket`. Left out, the host says it, where it is a well-known one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "gitlab")]
    pub forge: Option<Forge>,
    /// The forge is not told what becomes of commits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_status: bool,
    /// The forge is not told how previews stand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_comments: bool,
    /// A token for telling it, where the one of the repository may not. Left out, one that was set before is forgotten. Never shown
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_token: Option<String>,
    /// The key the host of an address for SSH may show: its fingerprint, the key itself, or lines of `known_hosts`. Left out, those that were
    /// set before stay, where the address is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// Trust whichever key the host shows now. Whoever asks for it compares the fingerprint in the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_new_host_key: bool,
}

impl std::fmt::Debug for SetRemoteRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetRemoteRequest").field("url", &self.url).finish_non_exhaustive()
    }
}
