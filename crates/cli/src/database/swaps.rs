//! `havre db swaps`: swaps and upgrades of a database, newest first. Tests at the end of the file.

use havre_api::swap::{Swap, SwapList};
use havre_core::name::DatabaseName;
use havre_core::time::Timestamp;

use super::path;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, printable, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let list: SwapList = invocation.client()?.get(&path(&scope, &options.database, "/swaps")).await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.swaps, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(swaps: &[Swap], now: Timestamp) -> String {
    let mut rows = vec![table::row(["SWAP", "WITH", "STATE", "ASKED FOR", "BEFORE", "REMARK"])];
    for swap in swaps {
        let with =
            swap.version.map_or_else(|| swap.other.to_string(), |version| format!("version {version}"));
        let remark = if swap.failure.is_empty() { &swap.waiting } else { &swap.failure };
        rows.push(table::row([
            swap.id.to_string().as_str(),
            &with,
            &swap.status,
            &time::ago(swap.created_at, now),
            swap.aside.as_str(),
            &printable(remark),
        ]));
    }
    table::columns(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::swap::tests::swap;
    use super::*;

    #[test]
    fn a_table() {
        let swaps = [
            swap(
                json!({"id": "w5", "version": 16, "status": "saving", "waiting": "waiting: 0 MB so far (u7)"}),
            ),
            swap(json!({})),
        ];
        let now = Timestamp::parse("2026-11-27T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render(&swaps, now), @r"
        SWAP  WITH           STATE      ASKED FOR  BEFORE              REMARK
        w5    version 16     saving     2h ago     db-before-20261127  waiting: 0 MB so far (u7)
        w4    db-restored-1  succeeded  2h ago     db-before-20261127
        ");
    }
}
