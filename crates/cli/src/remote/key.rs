//! `havre remote key`: the public halves of deploy keys, for the forge; another one beside the one that is there, and the end of the older one.
//! Tests at the end of the file.

use havre_api::remote::{Remote, RemoteSsh};

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::remote::path;

/// What is done with the keys.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(crate) enum Command {
    /// Print the public key that the forge has to know, the newest where there are two
    Show,
    /// Make another one, which is offered before the older one
    Rotate,
    /// Forget the older one, once the new one was added at the forge
    Confirm,
}

pub(crate) async fn run(invocation: &Invocation, command: Command) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let path = path(&project);
    let client = invocation.client()?;
    let remote: Remote = match command {
        Command::Show => client.get(&path).await?,
        Command::Rotate => client.post(&format!("{path}/deploy-key")).await?,
        Command::Confirm => client.post(&format!("{path}/deploy-key/confirm")).await?,
    };
    if invocation.global.json {
        output::json(&remote)?;
        return Ok(Exit::Ok);
    }
    let Some(newest) = remote.ssh.as_ref().and_then(|ssh| ssh.deploy_keys.first()) else {
        let message = format!("{project} has no deploy key: {} is no address for SSH", remote.url);
        return Err(
            CliError::new(Exit::Failed, message).hint("set one with `havre remote set git@HOST:PATH`")
        );
    };
    match command {
        // Alone on a line, for a pipe.
        Command::Show => {}
        Command::Rotate => output::say(
            "add this key to the repository at the forge, for reading; then `havre remote key confirm` forgets the older one",
        ),
        Command::Confirm => {
            output::say("this is the only key now; the older one can be removed at the forge")
        }
    }
    output::data(&format!("{}\n", newest.public_key))?;
    Ok(Exit::Ok)
}

/// Which keys count on both sides, a line for each.
pub(super) fn lines(ssh: &RemoteSsh) -> Vec<String> {
    let mut lines: Vec<String> = ssh
        .host_keys
        .iter()
        .map(|key| format!("host key {} ({})", key.fingerprint, key.public_key.algorithm().name()))
        .collect();
    for (place, key) in ssh.deploy_keys.iter().enumerate() {
        let what = if place == 0 {
            "deploy key, to be added to the repository at the forge"
        } else {
            "older deploy key, until `havre remote key confirm`"
        };
        lines.push(format!("{what}: {}", key.public_key));
    }
    lines
}

#[cfg(test)]
mod tests {
    use havre_api::remote::{DeployKey, HostKey};
    use havre_core::time::Timestamp;

    use super::*;

    #[test]
    fn both_sides_are_shown() {
        let plain = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua";
        let fingerprint = "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc";
        let deploy_key = |comment: &str| DeployKey {
            public_key: format!("{plain} {comment}").parse().expect("is a key"),
            fingerprint: fingerprint.parse().expect("is one"),
            created_at: Timestamp::from_millis(0),
        };
        let host_key = HostKey {
            public_key: plain.parse().expect("is a key"),
            fingerprint: fingerprint.parse().expect("is one"),
        };
        let ssh =
            RemoteSsh { deploy_keys: vec![deploy_key("new"), deploy_key("old")], host_keys: vec![host_key] };
        assert_eq!(
            lines(&ssh),
            [
                format!("host key {fingerprint} (ssh-ed25519)"),
                format!("deploy key, to be added to the repository at the forge: {plain} new"),
                format!("older deploy key, until `havre remote key confirm`: {plain} old"),
            ]
        );
    }
}
