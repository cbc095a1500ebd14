//! `havre status`: every service of an environment, what is live, what runs, what it waits for. With `--node`, the
//! installation itself. Tests at the end of the file.

use havre_api::environment::EnvironmentStatus;
use havre_api::node::NodeStatus;
use havre_api::project::ProjectList;
use havre_api::service::{ServiceStatus, Summary};
use havre_api::task::TaskStatus;
use havre_core::route::Health;
use havre_core::service::spec::Work;
use havre_core::time::Timestamp;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::style::Style;
use crate::output::{self, printable, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The server itself: version, engine, edges, loops
    #[arg(long, conflicts_with = "all")]
    node: bool,
    /// Every project and environment of the server
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let json = invocation.global.json;
    let style = Style::stdout();
    if options.node {
        let node: NodeStatus = client.get("/v1/status").await?;
        return show(&node, json, || render_node(&node, style, time::now()));
    }
    if options.all {
        let list: ProjectList = client.get("/v1/projects").await?;
        return show(&list, json, || render_projects(&list));
    }
    let scope = invocation.scope()?;
    let status: EnvironmentStatus = client.get(&scope.path()).await?;
    show(&status, json, || render(&status, style, time::now()))
}

fn show(body: &impl serde::Serialize, json: bool, text: impl FnOnce() -> String) -> Result<Exit, CliError> {
    if json {
        output::json(body)?
    } else {
        output::data(&text())?
    }
    Ok(Exit::Ok)
}

fn render_projects(list: &ProjectList) -> String {
    let mut rows = vec![table::row(["PROJECT", "ENVIRONMENT"])];
    for project in &list.projects {
        for environment in &project.environments {
            rows.push(table::row([project.name.as_str(), environment.as_str()]));
        }
    }
    table::columns(&rows)
}

/// An environment, service by service.
fn render(status: &EnvironmentStatus, style: Style, now: Timestamp) -> String {
    let mut text = format!("{}/{}\n", status.project, status.environment);
    if status.services.is_empty() {
        text.push_str("\nno services; `havre deploy` creates them\n");
    }
    for service in &status.services {
        text.push('\n');
        text.push_str(&render_service(service, style, now));
    }
    for database in &status.databases {
        let word = match database.status.as_str() {
            "ready" => style.good("ready"),
            "failed" => style.bad("failed"),
            other => style.notable(other),
        };
        let (engine, version) = (database.spec.engine, database.spec.version);
        let name = style.strong(database.name.as_str());
        text.push_str(&format!("\n{name}  {word}  {engine} {version}\n"));
        if !database.waiting.is_empty() {
            text.push_str(&format!("    {}\n", printable(&database.waiting)));
        }
    }
    text
}

fn render_service(service: &ServiceStatus, style: Style, now: Timestamp) -> String {
    let word = match service.summary {
        Summary::Running => style.good("running"),
        Summary::Deploying => style.notable("deploying"),
        Summary::Degraded => style.notable("degraded"),
        Summary::Down => style.bad("down"),
        Summary::NotDeployed => style.dim("not deployed"),
        Summary::Destroying => style.dim("being destroyed"),
    };
    let mut text = format!("{}  {word}", style.strong(service.name.as_str()));
    if let Some(live) = &service.live {
        text.push_str(&format!("  {} from {}", live.id, time::ago(live.created_at, now)));
        if !live.commit.is_empty() {
            let short: String = printable(&live.commit).chars().take(10).collect();
            text.push_str(&format!(", commit {short}"));
        }
    }
    if matches!(service.spec.work, Work::Site(_)) {
        text.push_str("  site");
    }
    text.push('\n');
    for route in &service.spec.routes {
        text.push_str(&format!("    {route}\n"));
    }
    for task in &service.tasks {
        text.push_str(&format!("    {}\n", task_line(task, now)));
    }
    for build in &service.builds {
        text.push_str(&format!("    {} {}{}\n", build.id, build.state.name(), colon(&build.waiting)));
    }
    for deployment in &service.deployments {
        let waiting = colon(&deployment.waiting);
        let (id, kind, state) = (deployment.id, deployment.kind.name(), deployment.state.name());
        text.push_str(&format!("    {id} {kind} of {}: {state}{waiting}\n", deployment.release));
    }
    if !service.waiting.is_empty() {
        text.push_str(&format!("    {}\n", printable(&service.waiting)));
    }
    if let Some(since) = service.maintenance_since {
        let line = format!("in maintenance, begun {}: users get a page", time::ago(since, now));
        text.push_str(&format!("    {}\n", style.notable(&line)));
    }
    if let Some(failures) = &service.failures {
        let last = time::ago(failures.last, now);
        let line = format!("tasks ended by themselves {} times in a row, last {last}", failures.count);
        text.push_str(&format!("    {}\n", style.notable(&line)));
    }
    if service.is_changed && service.live.is_some() {
        text.push_str("    its configuration is newer than what is live; `havre deploy` brings it\n");
    }
    text
}

fn colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {}", printable(text)) }
}

fn task_line(task: &TaskStatus, now: Timestamp) -> String {
    let health = match (&task.health, task.wanted.is_run()) {
        (_, false) => "draining".to_owned(),
        (None, true) if task.address.is_none() => "runs, no port to probe".to_owned(),
        (None, true) => "unknown to the edge".to_owned(),
        (Some(Health::Unknown), true) => "not probed yet".to_owned(),
        (Some(Health::Healthy), true) => "healthy".to_owned(),
        (Some(Health::Unhealthy { reason }), true) => format!("unhealthy: {}", printable(reason)),
    };
    let requests = match task.in_flight {
        0 => String::new(),
        1 => ", 1 request in flight".to_owned(),
        count => format!(", {count} requests in flight"),
    };
    format!("{} {} {health}{requests}, from {}", task.id, task.release, time::ago(task.created_at, now))
}

/// The installation.
fn render_node(node: &NodeStatus, style: Style, now: Timestamp) -> String {
    let ready = if node.engine.is_ready { style.good("ready") } else { style.bad("not ready") };
    let mut text = format!("havre {}\nengine  {ready}  {}\n", node.version, printable(&node.engine.text));
    for warning in &node.engine.warnings {
        text.push_str(&format!("    {}\n", style.notable(&printable(warning))));
    }
    if node.edges.is_empty() {
        text.push_str(&format!("edge    {}\n", style.bad("none has reported; is `havred edge` running?")));
    }
    for edge in &node.edges {
        let state = if edge.is_fresh { style.good("reports") } else { style.bad("silent") };
        let listeners: Vec<String> = edge.listeners.iter().map(ToString::to_string).collect();
        let (name, last) = (printable(&edge.edge), time::ago(edge.reported_at, now));
        let (table, own) = (node.generation, edge.generation);
        text.push_str(&format!(
            "edge    {name} {state} {last}, table {own} of {table}, on {}\n",
            listeners.join(", ")
        ));
    }
    for each in &node.loops {
        let last = each.last_run_at.map_or("has not run".to_owned(), |at| time::ago(at, now));
        let state = if each.is_running { "at work" } else { "idle" };
        text.push_str(&format!(
            "loop    {} {state}, {last}{}\n",
            printable(&each.name),
            colon(&each.last_error)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment() {
        let status =
            serde_json::from_str(include_str!("../../tests/it/data/status.json")).expect("is a body");
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render(&status, Style::plain(), now));
    }

    #[test]
    fn a_node() {
        let node = serde_json::from_value(serde_json::json!({
            "version": "0.1.0", "installation": "x", "generation": 7, "last_event": 9,
            "engine": {"is_ready": true, "text": "docker 20.10.24, API 1.41", "warnings": ["live-restore is off"]},
            "edges": [{"edge": "main", "generation": 6, "listeners": ["0.0.0.0:80"],
                "reported_at": "2026-11-24T11:59:58.000Z", "is_fresh": true}],
            "loops": [{"name": "service", "is_running": false, "last_run_at": "2026-11-24T11:59:50.000Z",
                "last_error": ""}, {"name": "build", "is_running": true, "last_run_at": null,
                "last_error": "no space left"}],
        }))
        .expect("is a body");
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render_node(&node, Style::plain(), now), @r"
        havre 0.1.0
        engine  ready  docker 20.10.24, API 1.41
            live-restore is off
        edge    main reports 2s ago, table 6 of 7, on 0.0.0.0:80
        loop    service idle, 10s ago
        loop    build at work, has not run: no space left
        ");
    }
}
