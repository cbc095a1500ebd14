//! `havre edge status`. Tests at the end of the file.

use havre_api::node::NodeStatus;
use havre_api::traffic::TrafficList;
use havre_core::time::Timestamp;
use serde::Serialize;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};

/// Both answers, as `--json` shows them.
#[derive(Serialize)]
struct Both<'b> {
    status: &'b NodeStatus,
    traffic: &'b TrafficList,
}

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let status: NodeStatus = client.get("/v1/status").await?;
    let traffic: TrafficList = client.get("/v1/traffic").await?;
    if invocation.global.json {
        output::json(&Both { status: &status, traffic: &traffic })?;
    } else {
        output::data(&render(&status, &traffic, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(status: &NodeStatus, traffic: &TrafficList, now: Timestamp) -> String {
    if status.edges.is_empty() {
        return "no edge has reported since control started\n".to_owned();
    }
    let mut rows = vec![table::row([
        "EDGE",
        "STATE",
        "TABLE",
        "LISTENS ON",
        "CONNECTIONS",
        "SHED",
        "RETRIES",
        "PANICS",
        "LOG LOST",
    ])];
    for edge in &status.edges {
        let state = match (edge.is_fresh, edge.generation == status.generation) {
            (false, _) => format!("silent for {}", time::length(now.since(edge.reported_at))),
            (true, true) => "up to date".to_owned(),
            (true, false) => format!("behind {}", status.generation),
        };
        let found = traffic.edges.iter().find(|found| found.edge == edge.edge).map(|found| &found.traffic);
        let number = |of: fn(&havre_api::traffic::Traffic) -> u64| {
            found.map_or_else(|| "-".to_owned(), |traffic| of(traffic).to_string())
        };
        let listeners: Vec<String> = edge.listeners.iter().map(ToString::to_string).collect();
        rows.push(table::row([
            &edge.edge,
            &state,
            &edge.generation.to_string(),
            &listeners.join(" "),
            &number(|traffic| traffic.connections),
            &number(|traffic| traffic.shed),
            &number(|traffic| traffic.retries),
            &number(|traffic| traffic.panics),
            &number(|traffic| traffic.log_dropped),
        ]));
    }
    table::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_with_and_without_news() {
        let edge = |name: &str, generation: u64, is_fresh: bool| {
            serde_json::json!({"edge": name, "generation": generation, "listeners": ["0.0.0.0:80"],
                "reported_at": "2026-11-24T11:59:00Z", "is_fresh": is_fresh})
        };
        let status: NodeStatus = serde_json::from_value(serde_json::json!({
            "version": "0.1.0", "installation": "i", "engine": {"is_ready": true, "text": "", "warnings": []},
            "edges": [edge("a", 7, true), edge("b", 6, true), edge("c", 7, false)],
            "generation": 7, "last_event": 1, "loops": []}))
        .expect("a body");
        let traffic: TrafficList = serde_json::from_value(serde_json::json!({"edges": [{"edge": "a",
            "reported_at": "2026-11-24T11:59:00Z", "traffic": {"window_ms": 2000, "connections": 12, "shed": 1,
            "retries": 3, "panics": 0, "log_dropped": 0, "rows": [], "left_out": 0}}]}))
        .expect("a body");
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render(&status, &traffic, now), @r"
        EDGE  STATE             TABLE  LISTENS ON  CONNECTIONS  SHED  RETRIES  PANICS  LOG LOST
        a     up to date        7      0.0.0.0:80  12           1     3        0       0
        b     behind 7          6      0.0.0.0:80  -            -     -        -       -
        c     silent for 1m00s  7      0.0.0.0:80  -            -     -        -       -
        ");
    }
}
