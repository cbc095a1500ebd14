//! `havre registry set`: the password comes from standard input, never from an argument, where every process of the machine could
//! see it. Tests at the end of the file.

use std::io::{IsTerminal as _, Read as _};

use havre_api::registry::{Registry, SetRegistryRequest};
use havre_core::registry::{PASSWORD_MAX, RegistryHost, RegistryUser};
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::registry::path;
use crate::task::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The registry, as image references name it, such as registry.example.org:5000 or docker.io
    host: RegistryHost,
    /// Who pulls; the password or access token comes from standard input
    #[arg(long, value_name = "NAME")]
    user: RegistryUser,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let request = SetRegistryRequest { user: options.user, password: read_password()? };
    let set: Registry = client.call(Method::PUT, &path(&options.host), &request).await?;
    if invocation.global.json {
        output::json(&set)?;
        return Ok(Exit::Ok);
    }
    let user = set.user.map_or_else(String::new, |user| format!(" as {user}"));
    output::say(&format!("images of {} are pulled{user} from now on", set.host));
    Ok(Exit::Ok)
}

fn read_password() -> Result<String, CliError> {
    let failed = |error: std::io::Error| CliError::io("read the password", &error);
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        output::say("password or access token of the registry (it is not shown):");
        let _silence = terminal::silence().map_err(failed)?;
        std::io::stdin().read_line(&mut text).map_err(failed)?;
    } else {
        // Room for more than is allowed, so that a longer one is refused and not cut.
        let limit = u64::try_from(PASSWORD_MAX).unwrap_or(u64::MAX).saturating_add(16);
        std::io::stdin().lock().take(limit).read_to_string(&mut text).map_err(failed)?;
    }
    match without_end(&text) {
        "" => Err(CliError::usage("no password was given").hint("pipe it to standard input")),
        password => Ok(password.to_owned()),
    }
}

/// The line break at the end is the terminal's or the file's, anything else is the password's.
fn without_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_break_goes() {
        assert_eq!(without_end("a b \n"), "a b ");
        assert_eq!(without_end("a\r\n"), "a");
        assert_eq!(without_end("{\n}\n"), "{\n}");
        assert_eq!(without_end("\n"), "");
    }
}
