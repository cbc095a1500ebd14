//! What the server's own sshd runs in place of what its clients ask for: tells it which key is whose, carries one push between a client and
//! control, and tells `git lfs` where contents go. Runs as a user that may do nothing but ask on one socket; what a key may do is decided at
//! control's gate.
//! Tests: `push_tests.rs`, and end to end with the real sshd.

mod client;
mod push;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::Context as _;
use havre_core::id::SshKeyId;
use havre_core::ssh_key::{Fingerprint, ProgramPath};
use havre_decide::ssh_key::authorized::{ForcedCommand, line};
use havre_decide::ssh_key::request::{Conversation, parse};

use crate::config::{ControlConfig, DEFAULT_PATH};

/// `havred git-keys FINGERPRINT`.
pub(crate) fn print_key(
    control: &ControlConfig,
    config: &Path,
    fingerprint: &Fingerprint,
) -> anyhow::Result<()> {
    let socket = socket(control)?;
    let found = runtime()?.block_on(client::find_key(socket, fingerprint))?;
    if let Some(found) = found {
        println!("{}", line(&forced_command(config)?, found.id, &found.public_key));
    }
    Ok(())
}

/// This program with this configuration, as sshd shall run it.
fn forced_command(config: &Path) -> anyhow::Result<ForcedCommand> {
    let plain = |path: &Path| -> anyhow::Result<ProgramPath> { Ok(path.display().to_string().parse()?) };
    let program = std::env::current_exe().context("find the program itself")?;
    let config = (config != Path::new(DEFAULT_PATH)).then(|| plain(config)).transpose()?;
    Ok(ForcedCommand { program: plain(&program)?, config })
}

/// `havred git-ssh KEY`: what the client asks for stands in the environment.
pub(crate) fn serve(control: &ControlConfig, key: SshKeyId) -> anyhow::Result<()> {
    let asked = std::env::var_os("SSH_ORIGINAL_COMMAND");
    let asked = asked.map(|text| text.to_string_lossy().into_owned());
    let request = parse(asked.as_deref())?;
    let link = client::Link { socket: socket(control)?.to_owned(), key };
    match request.conversation {
        Conversation::Push => {}
        Conversation::PushContents => {
            let path = format!("/git/{}.git", request.project);
            let told = runtime()?.block_on(client::grant(&link, &path))?;
            println!("{}", String::from_utf8_lossy(&told));
            return Ok(());
        }
        Conversation::Fetch | Conversation::FetchContents => anyhow::bail!(
            "git over SSH takes pushes only: fetch over HTTP, from /git/{}.git of the API, with an access token as the password",
            request.project
        ),
    }
    let input = stream(io::stdin().as_fd()).context("open standard input")?;
    let output = stream(io::stdout().as_fd()).context("open standard output")?;
    let runtime = runtime()?;
    let ended = runtime.block_on(push::push(&link, &request.project, input, output));
    // Reading standard input cannot be called off; it must not hold the process.
    runtime.shutdown_background();
    ended
}

fn socket(control: &ControlConfig) -> anyhow::Result<&Path> {
    let socket = control.git_socket.as_deref();
    socket.context("this server takes no pushes over SSH: `git_socket` is not set in its havred.toml")
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")
}

/// A standard stream that is read and written beside everything else. Unlike those of tokio it keeps nothing in a buffer of its own
/// between us and a client that waits.
fn stream(from: BorrowedFd<'_>) -> io::Result<tokio::fs::File> {
    Ok(tokio::fs::File::from_std(File::from(from.try_clone_to_owned()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_configuration_is_not_named() {
        let usual = forced_command(Path::new(DEFAULT_PATH)).unwrap();
        assert_eq!(usual.config, None);
        let other = forced_command(Path::new("/srv/havred.toml")).unwrap();
        assert!(other.to_string().ends_with(" --config /srv/havred.toml"), "{other}");
        assert!(forced_command(Path::new("relative.toml")).is_err());
        assert!(forced_command(Path::new("/srv/a b.toml")).is_err());
    }

    #[test]
    fn without_a_socket_nobody_pushes_over_ssh() {
        let error = socket(&ControlConfig::default()).unwrap_err().to_string();
        assert!(error.contains("takes no pushes over SSH"), "{error}");
    }
}
