//! `havre token list`.

use havre_api::access::TokenList;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let list: TokenList = invocation.client()?.get("/v1/tokens").await?;
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let mut rows = vec![table::row(["NAME", "MADE", "LAST USED"])];
    for token in &list.tokens {
        let used = token.last_used_at.map_or_else(|| "never".to_owned(), |at| time::ago(at, now));
        rows.push(table::row([token.name.as_str(), &time::ago(token.created_at, now), &used]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}
