//! `havre db person erase`: counts what belongs to a person, asks, and erases it in one transaction. Tests at the end of the file.

use havre_api::copy::{PersonErased, PersonRequest};
use hyper::Method;

use super::super::path;
use super::Who;
use crate::environment::destroy::ask;
use crate::exit::{CliError, Exit};
use crate::http::Client;
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    who: Who,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only count what would be erased
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let json = invocation.global.json;
    let target = path(&scope, &options.who.database, "/person/erase");
    let request = options.who.request(true)?;
    let counted = send(&client, &target, &request).await?;
    if options.dry_run {
        if json {
            output::json(&counted)?
        } else {
            output::data(&render(&counted))?
        }
        return Ok(Exit::Ok);
    }
    output::say(render(&counted).trim_end());
    if counted.rows == 0 {
        output::say("there is nothing to erase");
        if json {
            output::json(&counted)?;
        }
        return Ok(Exit::Ok);
    }
    if !options.yes {
        let what = format!("{} rows of {} are erased for ever", counted.rows, options.who.database);
        ask(options.who.database.as_str(), &what)?;
    }
    let erased = send(&client, &target, &PersonRequest { dry_run: false, ..request }).await?;
    if json {
        output::json(&erased)?
    } else {
        output::data(&render(&erased))?
    }
    output::say("backups and copies are not reached by this");
    Ok(Exit::Ok)
}

/// It may take as long as it wants.
async fn send(client: &Client, path: &str, request: &PersonRequest) -> Result<PersonErased, CliError> {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full};
    let text = serde_json::to_vec(request).expect("wire types are always JSON");
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let response = client.send(Method::POST, path, "application/json", body).await?;
    client.read(response).await
}

fn render(erased: &PersonErased) -> String {
    let verb = if erased.dry_run { "would be erased or cleared" } else { "erased or cleared" };
    let mut text = format!("{} rows {verb}\n", erased.rows);
    for table in &erased.tables {
        text.push_str(&format!("    {}: {}\n", output::printable(&table.table), table.rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use havre_api::copy::PersonRows;

    use super::*;

    #[test]
    fn every_table_is_named() {
        let tables = vec![
            PersonRows { table: "public.orders".to_owned(), rows: 2 },
            PersonRows { table: "public.users".to_owned(), rows: 1 },
        ];
        let erased = PersonErased { dry_run: true, tables, rows: 3 };
        insta::assert_snapshot!(render(&erased), @r"
        3 rows would be erased or cleared
            public.orders: 2
            public.users: 1
        ");
    }
}
