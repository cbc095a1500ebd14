//! `havre certificate show`: everything about one.

use havre_api::certificate::Certificate;

use super::{find, names, remark, state};
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Its id, such as c3, or a name it is for
    certificate: String,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let certificate = find(&invocation.client()?, &options.certificate).await?;
    if invocation.global.json {
        output::json(&certificate)?;
        return Ok(Exit::Ok);
    }
    output::data(&table::columns(&rows(&certificate)))?;
    Ok(Exit::Ok)
}

fn rows(one: &Certificate) -> Vec<Vec<String>> {
    let now = time::now();
    let mut rows = vec![
        table::row(["id", &one.id.to_string()]),
        table::row(["names", &names(one)]),
        table::row(["source", one.source.as_str()]),
        table::row(["state", state(one, now)]),
    ];
    let mut add = |key: &str, value: String| {
        if !value.is_empty() {
            rows.push(table::row([key, &value]));
        }
    };
    add("waits for", remark(one));
    if let Some(current) = &one.current {
        let issuer = current.issuer.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
        add("signed by", format!("{}{issuer}", current.signed_by));
        add("serial", current.serial.clone());
        add("valid from", current.not_before.to_string());
        add("valid until", current.not_after.to_string());
        add("renewed at", current.renew_at.map_or_else(String::new, |at| at.to_string()));
        add("digest", current.digest.clone());
    }
    if let Some(failure) = &one.last_failure {
        add("failures", one.failures.to_string());
        add("last failure", format!("{} ({}): {}", failure.at, failure.side.as_str(), failure.message));
    }
    add("not before", one.not_before.map_or_else(String::new, |at| at.to_string()));
    rows
}
