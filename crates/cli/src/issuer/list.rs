//! `havre issuer list`.

use havre_api::certificate::IssuerList;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let list: IssuerList = invocation.client()?.get("/v1/issuers").await?;
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![table::row(["NAME", "RANK", "DIRECTORY", "REHEARSES AT", "CHALLENGES", "ACCOUNT"])];
    for issuer in &list.issuers {
        let ways: Vec<&str> = issuer.challenges.iter().map(|kind| kind.as_str()).collect();
        let account = issuer.accounts.iter().find(|account| account.stage.as_str() == "production");
        rows.push(table::row([
            issuer.name.as_str(),
            &issuer.rank.to_string(),
            issuer.directory.as_str(),
            issuer.staging.as_ref().map_or("", |url| url.as_str()),
            &ways.join(", "),
            account.map_or("made when it is needed", |account| account.url.as_str()),
        ]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
