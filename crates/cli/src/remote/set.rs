//! `havre remote set`: tokens come from standard input, never from an argument, where every process of the machine could see them.

use std::io::{IsTerminal as _, Read as _};

use havre_api::remote::{Remote, SetRemoteRequest};
use havre_core::source::RemoteUrl;
use havre_core::source::forge::Forge;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, printable};
use crate::remote::{commenting, how, key, path, telling};
use crate::task::terminal;

/// Longest text that is read: two tokens.
const TOKENS_MAX: u64 = 2 * 4096;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Address of the repository, such as `https://github.com/acme/dropit.git` or `git@github.com:acme/dropit.git`
    url: RemoteUrl,
    /// Read an access token of the forge from standard input; without it, none is used
    #[arg(long)]
    token_stdin: bool,
    /// The forge at that host: github, gitlab, gitea (also for Forgejo), bitbucket [default: that of a well-known host]
    #[arg(long, value_name = "FORGE")]
    forge: Option<Forge>,
    /// Read an access token for telling the forge from standard input, on the line after the other token where both are given
    #[arg(long)]
    status_token_stdin: bool,
    /// Do not tell the forge what becomes of commits
    #[arg(long)]
    no_status: bool,
    /// Do not tell the forge how previews stand, in comments on pull requests
    #[arg(long)]
    no_comments: bool,
    /// For an address for SSH: the host's key, as its fingerprint (SHA256:...), a public key or a line of known_hosts
    #[arg(long, value_name = "KEY", conflicts_with = "accept_new_host_key")]
    host_key: Option<String>,
    /// For an address for SSH: trust whichever key the host shows now, and print its fingerprint
    #[arg(long)]
    accept_new_host_key: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let mut wanted = Vec::new();
    if options.token_stdin {
        wanted.push("access token of the forge");
    }
    if options.status_token_stdin {
        wanted.push("access token for telling the forge");
    }
    let mut tokens = read_tokens(&wanted)?.into_iter();
    let token = if options.token_stdin { tokens.next() } else { None };
    let status_token = if options.status_token_stdin { tokens.next() } else { None };
    let Options { url, forge, no_status, no_comments, host_key, accept_new_host_key, .. } = options;
    let request = SetRemoteRequest {
        url,
        token,
        forge,
        no_status,
        no_comments,
        status_token,
        host_key,
        accept_new_host_key,
    };
    let set: Remote = invocation.client()?.call(Method::PUT, &path(&project), &request).await?;
    if invocation.global.json {
        output::json(&set)?;
        return Ok(Exit::Ok);
    }
    output::say(&format!("{} is fetched from {}, {}", set.project, set.url, how(&set)));
    for line in set.ssh.iter().flat_map(key::lines) {
        output::say(&printable(&line));
    }
    output::say(&telling(&set));
    output::say(&commenting(&set));
    Ok(Exit::Ok)
}

/// One token for each that is wanted, in this order, each on a line of its own.
fn read_tokens(wanted: &[&str]) -> Result<Vec<String>, CliError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error: std::io::Error| CliError::io("read the token", &error);
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        for what in wanted {
            output::say(&format!("{what} (it is not shown):"));
            let _silence = terminal::silence().map_err(failed)?;
            std::io::stdin().read_line(&mut text).map_err(failed)?;
        }
    } else {
        std::io::stdin().lock().take(TOKENS_MAX).read_to_string(&mut text).map_err(failed)?;
    }
    split(&text, wanted.len())
}

fn split(text: &str, wanted: usize) -> Result<Vec<String>, CliError> {
    let tokens: Vec<String> =
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    let hint = "pipe it to standard input, each token on a line of its own";
    match tokens.len() {
        0 => Err(CliError::usage("no token was given").hint(hint)),
        given if given == wanted => Ok(tokens),
        given => {
            Err(CliError::usage(format!("{wanted} tokens are needed, and {given} were given")).hint(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_a_line() {
        assert_eq!(split("one\n", 1).expect("is one"), ["one"]);
        assert_eq!(split(" one \r\n\ntwo", 2).expect("are two"), ["one", "two"]);
        for (text, wanted) in [("", 1), ("\n", 2), ("one", 2), ("one\ntwo", 1)] {
            assert!(split(text, wanted).is_err(), "{text:?}");
        }
    }
}
