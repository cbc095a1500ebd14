//! `havre dns-provider list`: zones and who has them; credentials are never shown.

use havre_api::certificate::DnsProviderList;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let list: DnsProviderList = invocation.client()?.get("/v1/dns-providers").await?;
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![table::row(["ZONE", "PROVIDER"])];
    rows.extend(list.providers.iter().map(|one| table::row([one.zone.as_str(), one.kind.title()])));
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
