//! `havre context list`. Tokens are never shown.

use serde::Serialize;

use super::{load, path};
use crate::exit::{CliError, Exit};
use crate::output::{self, table};

/// One context as `--json` shows it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    name: &'a str,
    address: String,
    has_token: bool,
    is_current: bool,
}

pub(crate) fn run(json: bool) -> Result<Exit, CliError> {
    let contexts = load(&path()?)?;
    let shown: Vec<Shown<'_>> = contexts
        .contexts
        .iter()
        .map(|(name, stored)| Shown {
            name,
            address: stored.address(),
            has_token: stored.token.is_some(),
            is_current: contexts.current.as_deref() == Some(name),
        })
        .collect();
    if json {
        output::json(&serde_json::json!({ "contexts": shown }))?;
        return Ok(Exit::Ok);
    }
    if shown.is_empty() {
        output::say("no contexts; the local server is used. Add one with `havre context add`.");
        return Ok(Exit::Ok);
    }
    let mut rows = vec![table::row(["", "NAME", "ADDRESS", "TOKEN"])];
    for context in &shown {
        let (mark, token) =
            (if context.is_current { "*" } else { "" }, if context.has_token { "yes" } else { "" });
        rows.push(table::row([mark, context.name, &context.address, token]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
