//! `havre certificate list`: every certificate, until when it is valid, and why it waits.

use havre_api::certificate::CertificateList;

use super::{names, remark, state};
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let list: CertificateList = invocation.client()?.get("/v1/certificates").await?;
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let mut rows = vec![table::row(["ID", "NAMES", "STATE", "ENDS IN", "FROM", "WAITS FOR"])];
    for one in &list.certificates {
        let ends = one
            .current
            .as_ref()
            .map_or_else(String::new, |current| time::length(current.not_after.since(now)));
        let from = one.current.as_ref().map_or("", |current| current.signed_by.as_str());
        rows.push(table::row([&one.id.to_string(), &names(one), state(one, now), &ends, from, &remark(one)]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
