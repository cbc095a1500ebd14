//! Keys by which people push over SSH. They are handled on the machine only.

use havre_core::id::SshKeyId;
use havre_core::name::{ProjectName, SshKeyName};
use havre_core::ssh_key::{Fingerprint, PublicKey};
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Header in which the program behind sshd says by whose key it was started.
pub const KEY_HEADER: &str = "havre-ssh-key";

/// Adds a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddSshKeyRequest {
    /// Name it is known and removed by; unique.
    #[schema(value_type = String, example = "laptop")]
    pub name: SshKeyName,
    /// The only project it may push to. Left out, it may push to every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "dropit")]
    pub project: Option<ProjectName>,
    /// The public key, as in a file that ends with `.pub`.
    #[schema(value_type = String, example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA... ada@laptop")]
    pub public_key: PublicKey,
}

/// A key that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshKey {
    /// Its row.
    #[schema(value_type = String, example = "y3")]
    pub id: SshKeyId,
    /// Its name.
    #[schema(value_type = String, example = "laptop")]
    pub name: SshKeyName,
    /// The only project it may push to; absent where it may push to every one.
    #[schema(value_type = Option<String>, example = "dropit")]
    pub project: Option<ProjectName>,
    /// Its SHA-256, as `ssh-keygen -l` shows it.
    #[schema(value_type = String, example = "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc")]
    pub fingerprint: Fingerprint,
    /// The public key with its comment.
    #[schema(value_type = String)]
    pub public_key: PublicKey,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last used; kept to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}

/// All keys that work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SshKeyList {
    /// By name.
    pub ssh_keys: Vec<SshKey>,
}

/// What the program behind sshd is told of a key, on its own socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorizedKey {
    /// Its row, by which the program says whose connection it is.
    #[schema(value_type = String, example = "y3")]
    pub id: SshKeyId,
    /// The public key.
    #[schema(value_type = String)]
    pub public_key: PublicKey,
}
