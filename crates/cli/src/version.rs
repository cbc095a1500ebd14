//! `havre version`: of the client, and of the server where one answers.

use havre_api::node::NodeStatus;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

/// Version of this program.
const OWN: &str = env!("CARGO_PKG_VERSION");

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let asked: Result<NodeStatus, CliError> = match invocation.client() {
        Ok(client) => client.get("/v1/status").await,
        Err(error) => Err(error),
    };
    let server = asked.as_ref().ok().map(|node| &node.version);
    if invocation.global.json {
        output::json(&serde_json::json!({ "client": OWN, "server": server }))?;
        return Ok(Exit::Ok);
    }
    output::data(&format!("client {OWN}\n"))?;
    match &asked {
        Ok(node) => output::data(&format!("server {}\n", output::printable(&node.version)))?,
        Err(error) => output::say(&format!("server unknown: {}", error.message)),
    }
    Ok(Exit::Ok)
}
