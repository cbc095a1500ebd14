//! `havre ssh-key add`: a public key from a file or from standard input. It is read here first, so that a private key that was given by
//! mistake never leaves this machine.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::PathBuf;

use havre_api::ssh_key::{AddSshKeyRequest, SshKey};
use havre_core::name::SshKeyName;
use havre_core::ssh_key::{PublicKey, PublicKeyError};
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::ssh_key::PATH;

/// Most that is read; a private key that was given by mistake still fits, so that it can be named.
const TEXT_MAX: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name it is known and removed by, such as ada-laptop
    name: SshKeyName,
    /// File with the public key, such as ~/.ssh/id_ed25519.pub; without it, the key comes from standard input
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let text = read(&options)?;
    let refused = |error: PublicKeyError| CliError::usage(format!("the key was not added: {error}"));
    let public_key = text.parse::<PublicKey>().map_err(refused)?;
    let project = invocation.global.project.clone();
    let request = AddSshKeyRequest { name: options.name, project, public_key };
    let added: SshKey = invocation.client()?.call(Method::POST, PATH, &request).await?;
    if invocation.global.json {
        output::json(&added)?;
        return Ok(Exit::Ok);
    }
    let places = match &added.project {
        Some(project) => format!("the project {project}"),
        None => "every project; --project limits a key to one".to_owned(),
    };
    output::say(&format!("{} ({}) may push to {places}", added.name, added.fingerprint));
    Ok(Exit::Ok)
}

fn read(options: &Options) -> Result<String, CliError> {
    let mut text = String::new();
    match &options.key_file {
        Some(path) => {
            let failed = |error: std::io::Error| CliError::io(format!("read {}", path.display()), &error);
            let file = File::open(path).map_err(failed)?;
            file.take(TEXT_MAX).read_to_string(&mut text).map_err(failed)?;
        }
        None => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                output::say("paste the public key (the line in the file that ends with .pub), then Ctrl-D:");
            }
            let failed = |error: std::io::Error| CliError::io("read the key", &error);
            stdin.lock().take(TEXT_MAX).read_to_string(&mut text).map_err(failed)?;
        }
    }
    Ok(text)
}
