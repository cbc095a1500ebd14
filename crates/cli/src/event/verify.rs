//! `havre events --verify`: whether events were changed or removed behind Havre's back.

use havre_api::event::EventChain;

use crate::exit::{CliError, Exit};
use crate::http::Client;
use crate::output;

pub(super) async fn run(client: &Client, json: bool) -> Result<Exit, CliError> {
    let chain: EventChain = client.get("/v1/events/chain").await?;
    if json {
        output::json(&chain)?;
    } else {
        output::data(&text(&chain))?;
    }
    Ok(if chain.broken_at.is_some() { Exit::Found } else { Exit::Ok })
}

fn text(chain: &EventChain) -> String {
    let mut text = match chain.broken_at {
        Some(seq) => format!("event {seq} was changed, or some before it were removed\n"),
        None => format!("{} events are as they were written\n", chain.events.saturating_sub(chain.unchained)),
    };
    if chain.unchained > 0 {
        text.push_str(&format!("{} older ones were written before there was a chain\n", chain.unchained));
    }
    if let Some(hash) = &chain.newest_hash {
        text.push_str(&format!("newest hash: {hash}\n"));
    }
    text
}
