//! What `havre edge top` shows of a service that is being asked.

use std::process::Stdio;

use havre_api::traffic::TrafficList;
use tokio::process::Command;

use crate::world::process::beside;
use crate::world::spec::faults;
use crate::world::{World, until};

const NAME: &str = "e2e/production/app";

/// Runs the client to its end: what it wrote to standard output.
async fn top(world: &World, how: &str) -> String {
    let program = beside("havre");
    assert!(program.is_file(), "{} is not there; script/e2e makes it", program.display());
    let mut command = Command::new(program);
    command.args(["edge", "top", how]).env_clear().env("HOME", "/nonexistent");
    command.env("HAVRE_SOCKET", &world.api.socket).stdin(Stdio::null());
    let output = command.output().await.expect("the client runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_top_counts_the_requests_of_a_service() {
    let world = World::start().await;
    let release = world.deploy_well(&faults("well-behaved", "1")).await;
    let load = world.load();
    let look = async || {
        let list: TrafficList =
            serde_json::from_str(&top(&world, "--json").await).expect("the documented form");
        let edge = list.edges.into_iter().find(|edge| edge.edge == "edge")?;
        edge.traffic.rows.into_iter().find(|row| row.release == release && row.requests > 0)
    };
    let row = until("its requests are counted", look).await;
    assert_eq!((row.name.as_str(), row.errors, row.client_errors), (NAME, 0, 0), "{row:?}");
    assert!(row.sent_bytes > 0 && 0 < row.p50_us && row.p50_us <= row.p99_us, "{row:?}");

    // The same for people.
    let read = async || {
        let table = top(&world, "--plain").await;
        let line = table.lines().find(|line| line.starts_with(NAME) && line.contains(&release));
        line.map(|line| (table.clone(), line.to_owned()))
    };
    let (table, line) = until("its requests are shown", read).await;
    let columns: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(columns[..2], [NAME, release.as_str()], "{table}");
    assert_ne!(columns[2], "0", "requests in a second: {table}");
    load.finish().await.assert_no_failure(10);
}
