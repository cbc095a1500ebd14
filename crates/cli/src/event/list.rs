//! `havre events`: what happened, and with `-f` what happens. Goes on behind the last event after a lost connection.
//! Tests: `tests/it/stream.rs`.

use std::time::Duration;

use havre_core::name::ServiceName;
use serde_json::Value;

use crate::event::verify;
use crate::exit::{CliError, Exit};
use crate::http::{Client, Line, path};
use crate::invocation::Invocation;
use crate::output;
use crate::output::style::Style;

/// Pause before a lost stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// Attempts in a row before giving up.
const ATTEMPTS: u32 = 60;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only of this service
    service: Option<ServiceName>,
    /// Stay and show what happens
    #[arg(long, short)]
    follow: bool,
    /// Only behind this event
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// Most events; with --follow, of the past [default: 100]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: Option<u32>,
    /// Only say whether the log is as it was written
    #[arg(long, conflicts_with_all = ["service", "follow", "after", "limit"])]
    verify: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    if options.verify {
        return verify::run(&client, invocation.global.json).await;
    }
    let service = match options.service {
        Some(service) => {
            let scope = invocation.scope()?;
            Some(format!("{}/{}/{service}", scope.project, scope.environment))
        }
        None => None,
    };
    let shown =
        show(&client, invocation.global.json, options.follow, options.after, (service, options.limit));
    tokio::select! {
        result = shown => result,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

async fn show(
    client: &Client,
    json: bool,
    follow: bool,
    after: Option<u64>,
    (service, limit): (Option<String>, Option<u32>),
) -> Result<Exit, CliError> {
    let style = Style::stdout();
    let (mut cursor, mut attempts) = (after, 0);
    loop {
        let target = path::query(
            "/v1/events",
            &[
                ("after", cursor.as_ref().map(|after| after as _)),
                ("follow", Some(&follow)),
                ("service", service.as_ref().map(|service| service as _)),
                ("limit", limit.as_ref().map(|limit| limit as _)),
            ],
        );
        let lost = match client.lines(&target).await {
            Err(error) if attempts == 0 || error.exit != Exit::Unreachable => return Err(error),
            Err(error) => error,
            Ok(mut lines) => loop {
                match lines.next().await {
                    Line::Object(event) => {
                        attempts = 0;
                        cursor = event.get("seq").and_then(Value::as_u64).or(cursor);
                        if json { output::json_line(&event)? } else { output::data(&render(&event, style))? }
                    }
                    Line::End if !follow => return Ok(Exit::Ok),
                    Line::End => break CliError::new(Exit::Unreachable, "the server ended the connection"),
                    Line::Lost(why) => break CliError::new(Exit::Unreachable, why),
                    Line::Refused(error) => return Err(error),
                }
            },
        };
        if !follow || attempts >= ATTEMPTS {
            return Err(lost);
        }
        if attempts == 0 {
            output::say(&format!("{}; trying again, nothing is lost", lost.message));
        }
        attempts += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// One line; an event of a newer server is shown by its text.
fn render(event: &Value, style: Style) -> String {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let place = match text("/place/service") {
        service if service.is_empty() => text("/service_id"),
        service => format!("{}/{}/{service}", text("/place/project"), text("/place/environment")),
    };
    let actor = match text("/actor/kind").as_str() {
        "token" => format!(" (token {})", text("/actor/name")),
        "ssh_key" => format!(" (ssh key {})", text("/actor/name")),
        "webhook" => format!(" (webhook {})", text("/actor/provider")),
        "local" => " (local)".to_owned(),
        _ => String::new(),
    };
    let seq = event.get("seq").and_then(Value::as_u64).unwrap_or_default();
    let place = if place.is_empty() {
        String::new()
    } else {
        format!("{}: ", style.strong(&output::printable(&place)))
    };
    format!(
        "{} {}  {place}{}{}\n",
        style.dim(&output::printable(&text("/at"))),
        style.dim(&seq.to_string()),
        output::printable(&text("/text")),
        style.dim(&output::printable(&actor)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let event = serde_json::json!({
            "seq": 7, "at": "2026-11-24T12:00:00.000Z", "actor": {"kind": "token", "name": "ci"},
            "service_id": "s2", "place": {"project": "p", "environment": "production", "service": "api"},
            "kind": {"room": "of a newer server"}, "text": "d3 is starting",
        });
        insta::assert_snapshot!(render(&event, Style::plain()).trim_end(),
            @"2026-11-24T12:00:00.000Z 7  p/production/api: d3 is starting (token ci)");
    }
}
