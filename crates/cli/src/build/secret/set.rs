//! `havre build secret set`: the value comes from standard input, never from an argument, where every process of the machine
//! could see it. Tests at the end of the file.

use std::io::{IsTerminal as _, Read as _};

use havre_api::build::{BuildSecret, SetBuildSecretRequest};
use havre_core::name::BuildSecretName;
use hyper::Method;

use crate::build::secret::path;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::task::terminal;

/// Longest value that is read: one byte more than the server takes, so that it refuses what is too long.
const VALUE_MAX: u64 = 64 * 1024 + 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Its name: the `id` of `RUN --mount=type=secret`, such as NPM_TOKEN
    name: BuildSecretName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let request = SetBuildSecretRequest { value: read_value()? };
    let target = path(&project, &options.name);
    let set: BuildSecret = invocation.client()?.call(Method::PUT, &target, &request).await?;
    if invocation.global.json {
        output::json(&set)?;
        return Ok(Exit::Ok);
    }
    output::say(&format!(
        "{} is set for {project}; services get it whose `build_secrets` in havre.toml names it",
        set.name
    ));
    Ok(Exit::Ok)
}

fn read_value() -> Result<String, CliError> {
    let failed = |error: std::io::Error| CliError::io("read the value", &error);
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        output::say("value of the secret (it is not shown):");
        let _silence = terminal::silence().map_err(failed)?;
        std::io::stdin().read_line(&mut text).map_err(failed)?;
    } else {
        std::io::stdin().lock().take(VALUE_MAX).read_to_string(&mut text).map_err(failed)?;
    }
    match without_line_end(&text) {
        "" => Err(CliError::usage("no value was given").hint("pipe it to standard input")),
        value => Ok(value.to_owned()),
    }
}

/// Without the one line break that terminals and `echo` put behind a value; a file keeps the rest of its form.
fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_goes() {
        for (text, value) in [("a\n", "a"), ("a\r\n", "a"), ("a", "a"), ("a\nb\n\n", "a\nb\n"), ("\n", "")] {
            assert_eq!(without_line_end(text), value, "{text:?}");
        }
    }
}
