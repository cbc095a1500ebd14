//! What the server's sshd is told of a key: one line of `authorized_keys` (sshd(8)). Whatever a client asks for, sshd runs our own
//! program with the key's id, and forwards nothing. Tests at the end of the file.

use std::fmt;

use havre_core::id::SshKeyId;
use havre_core::ssh_key::{ProgramPath, PublicKey};

/// What sshd runs in place of what a client asks for, but for the key's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedCommand {
    /// `havred`.
    pub program: ProgramPath,
    /// Its configuration, where that does not lie at the usual place.
    pub config: Option<ProgramPath>,
}

impl fmt::Display for ForcedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program)?;
        match &self.config {
            Some(config) => write!(f, " --config {config}"),
            None => Ok(()),
        }
    }
}

/// The line, without its end.
pub fn line(command: &ForcedCommand, id: SshKeyId, key: &PublicKey) -> String {
    format!("restrict,command=\"{command} git-ssh {id}\" {}", key.plain())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua ada@laptop";

    #[test]
    fn lines() {
        let key: PublicKey = KEY.parse().expect("is a key");
        let path = |text: &str| text.parse::<ProgramPath>().expect("is a path");
        let usual = ForcedCommand { program: path("/usr/bin/havred"), config: None };
        assert_eq!(
            line(&usual, SshKeyId::new(3), &key),
            "restrict,command=\"/usr/bin/havred git-ssh y3\" \
             ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua"
        );
        let other = ForcedCommand { config: Some(path("/srv/havred.toml")), ..usual };
        assert_eq!(
            line(&other, SshKeyId::new(4), &key),
            "restrict,command=\"/usr/bin/havred --config /srv/havred.toml git-ssh y4\" \
             ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua"
        );
    }
}
