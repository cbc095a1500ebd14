//! Commands beside and inside tasks, and the logs of tasks that are gone.

use havre_api::task::{ExecRequest, LogEntry, LogStream, RunRequest, SessionServer};
use havre_core::service::spec::Argv;

use crate::world::api::no_env;
use crate::world::spec::{argv, faults};
use crate::world::{SERVICE, World, until};

fn run(argv: Argv) -> RunRequest {
    RunRequest { argv, release: None, terminal: None, env: no_env() }
}

fn exec(argv: Argv) -> ExecRequest {
    ExecRequest { argv, task: None, terminal: None, env: no_env() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_beside_and_inside_tasks() {
    let world = World::start().await;
    let release = world.deploy_well(&faults("well-behaved", "1")).await;
    let serving = world.containers();

    let script = "console.log(process.env.HAVRE_RELEASE); console.error('no'); process.exitCode = 7";
    let session =
        world.api.session(&format!("{SERVICE}/run"), &run(argv(&["node", "-e", script])), b"").await;
    assert_eq!(session.text(), (format!("{release}\n"), "no\n".to_owned()));
    assert_eq!(session.said, [SessionServer::Started { task: None }, SessionServer::Exit { code: 7 }]);
    let moments = world.watch.moments();
    assert_eq!(moments.iter().filter(|moment| moment.purpose == "one-off").count(), 2, "{moments:?}");
    let cleared = async || (world.containers() == serving).then_some(());
    until("the one-off task is gone", cleared).await;

    let script =
        "process.stdin.on('data', (d) => process.stdout.write('got ' + d)).on('end', () => process.exit(3))";
    let request = exec(argv(&["node", "-e", script]));
    let session = world.api.session(&format!("{SERVICE}/exec"), &request, b"hello\n").await;
    assert_eq!(session.text(), ("got hello\n".to_owned(), String::new()));
    let [SessionServer::Started { task: Some(_) }, SessionServer::Exit { code: 3 }] = session.said[..] else {
        panic!("{:?}", session.said)
    };

    // No shell reads the words.
    let words = ["node", "-p", "process.argv.slice(1).join('|')", "a b", "$(id)", ";"];
    let session = world.api.session(&format!("{SERVICE}/exec"), &exec(argv(&words)), b"").await;
    assert_eq!(session.text(), ("a b|$(id)|;\n".to_owned(), String::new()));

    let session = world.api.session(&format!("{SERVICE}/run"), &run(argv(&["no-such-program"])), b"").await;
    assert_eq!(session.said, [SessionServer::Started { task: None }, SessionServer::Exit { code: 127 }]);
    assert!(
        session.text().1.ends_with("exec no-such-program failed: No such file or directory\n"),
        "{session:?}"
    );
    until("nothing is left of it", async || (world.containers() == serving).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_removed_tasks_are_kept() {
    let world = World::start().await;
    let old = world.deploy_well(&faults("well-behaved", "1")).await;
    let new = world.deploy_well(&faults("well-behaved", "2")).await;
    assert_eq!(world.containers().len(), 1);
    let mut entries: Vec<LogEntry> = world.api.lines(&format!("{SERVICE}/logs")).await;
    entries.sort_by_key(|entry| (entry.task, entry.at));
    let said: Vec<(String, LogStream, &str)> =
        entries.iter().map(|entry| (entry.release.to_string(), entry.stream, entry.line.as_str())).collect();
    let line = |release: &String, text| (release.clone(), LogStream::Stdout, text);
    assert_eq!(
        said,
        [
            line(&old, "listening on 0.0.0.0:3000"),
            line(&old, "SIGTERM: finishing 0 requests"),
            line(&old, "finished, leaving"),
            line(&new, "listening on 0.0.0.0:3000"),
        ]
    );
}
