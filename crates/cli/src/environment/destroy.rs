//! `havre destroy`: takes a service, or the whole environment, away for ever. Names what goes and asks.
//! Tests: `tests/it/reach.rs`.

use std::io::{BufRead as _, IsTerminal as _};

use havre_api::environment::DestroyResponse;
use havre_core::name::ServiceName;

use crate::exit::{CliError, Exit};
use crate::http::path;
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service to destroy [default: the whole environment]
    service: Option<ServiceName>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let (target, name) = match &options.service {
        Some(service) => (scope.service(service, ""), service.to_string()),
        None => (scope.path(), scope.environment.to_string()),
    };
    let dry = path::query(&target, &[("dry_run", Some(&true))]);
    let plan: DestroyResponse = client.delete(&dry).await?;
    let json = invocation.global.json;
    if options.dry_run && json {
        output::json(&plan)?;
        return Ok(Exit::Ok);
    }
    let text = render(&plan);
    if options.dry_run {
        output::data(&text)?;
        output::say("nothing was changed (--dry-run)");
        return Ok(Exit::Ok);
    }
    output::say(text.trim_end());
    if !options.yes {
        let what = match &options.service {
            Some(service) => {
                format!("{service} of {}/{} is destroyed for ever", scope.project, scope.environment)
            }
            None => format!("the environment {}/{} is destroyed for ever", scope.project, scope.environment),
        };
        ask(&name, &what)?;
    }
    let confirmed = path::query(&target, &[("confirm", Some(&name))]);
    let done: DestroyResponse = client.delete(&confirmed).await?;
    if json {
        output::json(&done)?;
    } else {
        output::say("destruction has begun; tasks finish their requests first. See it with `havre status`.");
    }
    Ok(Exit::Ok)
}

/// What goes, service by service, then the databases.
fn render(plan: &DestroyResponse) -> String {
    let mut text = String::new();
    for service in &plan.services {
        text.push_str(&format!("- {}\n", service.service));
        let mut item = |what: String| text.push_str(&format!("    {what}\n"));
        for route in &service.routes {
            item(format!("{} stops to answer", output::printable(route)));
        }
        for volume in &service.volumes {
            item(format!("volume {} and all data in it is deleted", output::printable(volume)));
        }
        item(format!("{} and {} go", count(service.releases, "release"), count(service.tasks, "task")));
    }
    for database in &plan.databases {
        let server = output::printable(&database.server);
        text.push_str(&format!(
            "- {} ({server})\n    its volume and all data in it is deleted\n",
            database.database
        ));
    }
    if text.is_empty() {
        text.push_str("there is nothing in it\n");
    }
    text
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Goes on only when the user types the word.
pub(crate) fn ask(word: &str, what: &str) -> Result<(), CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(
            CliError::usage(format!("{what}: this needs a yes")).hint("add --yes when nobody can be asked")
        );
    }
    output::say(&format!("{what}. Type `{word}` to go on:"));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CliError::io("read your answer", &error))?;
    if answer.trim() == word { Ok(()) } else { Err(CliError::new(Exit::Interrupted, "nothing was changed")) }
}

#[cfg(test)]
mod tests {
    use havre_api::environment::DestroyedService;

    use super::*;

    #[test]
    fn everything_that_goes_is_named() {
        let services = vec![DestroyedService {
            service: "api".parse().expect("a name"),
            routes: vec!["api.example/".to_owned()],
            volumes: vec!["data".to_owned()],
            releases: 1,
            tasks: 2,
        }];
        let plan = DestroyResponse { dry_run: true, services, databases: Vec::new() };
        insta::assert_snapshot!(render(&plan), @r"
        - api
            api.example/ stops to answer
            volume data and all data in it is deleted
            1 release and 2 tasks go
        ");
        let nothing = DestroyResponse { services: Vec::new(), ..plan };
        assert_eq!(render(&nothing), "there is nothing in it\n");
    }
}
