//! `havre preview list`: pull requests with their state and addresses. Tests at the end of the file.

use havre_api::preview::{Preview, PreviewList};
use havre_core::preview::State;
use havre_core::time::Timestamp;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let list: PreviewList = invocation.client()?.get(&format!("/v1/projects/{project}/previews")).await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.previews, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(previews: &[Preview], now: Timestamp) -> String {
    let mut rows = vec![table::row(["PULL REQUEST", "STATE", "PUSHED", "BRANCH", "COMMIT", "ADDRESSES"])];
    for preview in previews {
        rows.push(table::row([
            &preview.number.to_string(),
            &state(preview, now),
            &time::ago(preview.pushed_at, now),
            &branch(preview),
            preview.commit.short(),
            &preview.routes.join(" "),
        ]));
    }
    table::columns(&rows)
}

/// How long it stays, or why it has gone.
fn state(preview: &Preview, now: Timestamp) -> String {
    match &preview.state {
        State::Open { .. } => format!("open for {}", time::length(preview.expires_at.since(now))),
        State::Closing { reason, .. } | State::Closed { reason, .. } => {
            format!("{}: {reason}", preview.state.name())
        }
    }
}

fn branch(preview: &Preview) -> String {
    let fork = if preview.is_fork { " (fork)" } else { "" };
    format!("{}{fork}", preview.branch)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn preview(number: u32, state: Value, is_fork: bool) -> Preview {
        serde_json::from_value(
            json!({ "project": "shop", "number": number, "environment": format!("pr-{number}"),
            "commit": "0123456789abcdef0123456789abcdef01234567", "branch": "feature/x", "base": "main",
            "is_fork": is_fork, "state": state, "routes": ["a.example/", "b.example/api"],
            "pushed_at": "2026-11-24T11:00:00.000Z", "expires_at": "2026-12-01T11:00:00.000Z" }),
        )
        .expect("is a body")
    }

    #[test]
    fn a_table() {
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        let at = "2026-11-24T11:00:00.000Z";
        let mut gone = preview(
            3,
            json!({ "state": "closed", "at": at, "reason": { "kind": "made_room", "number": 12 } }),
            true,
        );
        gone.routes.clear();
        let list = [preview(12, json!({ "state": "open", "since": at }), false), gone];
        insta::assert_snapshot!(render(&list, now), @r"
        PULL REQUEST  STATE                                     PUSHED  BRANCH            COMMIT        ADDRESSES
        12            open for 6d23h                            1h ago  feature/x         0123456789ab  a.example/ b.example/api
        3             closed: pull request 12 needed its place  1h ago  feature/x (fork)  0123456789ab
        ");
    }
}
