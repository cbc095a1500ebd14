//! Keys by which people push over SSH: handled on the machine only, and looked up by the program behind the server's sshd.

pub mod add;
pub mod authorized;
pub mod list;
pub mod remove;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use havre_api::ssh_key::SshKey;
use havre_core::ssh_key::{Fingerprint, PublicKey};
use havre_store::SshKeyRow;
use sha2::{Digest as _, Sha256};

/// The wire form.
fn wire(row: SshKeyRow) -> SshKey {
    SshKey {
        id: row.id,
        name: row.name,
        project: row.project,
        fingerprint: row.fingerprint,
        public_key: row.public_key,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
    }
}

/// What people compare a key by, as `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(key: &PublicKey) -> Fingerprint {
    let digest = STANDARD_NO_PAD.encode(Sha256::digest(key.blob()));
    format!("SHA256:{digest}").parse().expect("32 bytes make 43 digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua ada@laptop";
        let found = fingerprint(&key.parse().expect("is a key"));
        assert_eq!(found.as_str(), "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc");
    }
}
