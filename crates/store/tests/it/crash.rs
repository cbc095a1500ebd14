//! A writer that is killed, and a disk that fails, in a process of their own: this test program runs itself again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use havre_core::event::{Actor, EventKind};
use havre_core::{service, task};
use havre_store::{Store, StoreError, Tx};
use rustix::process::{Resource, Rlimit};

use crate::world::{apply, at, options, release, tasks};

const STORE: &str = "HAVRE_TEST_STORE";

/// One write of many rows: a task more than before, every fifth time all of them gone.
fn step(tx: &mut Tx<'_>) -> Result<u32, StoreError> {
    let (service, _) = apply(tx, tasks("api", 1, &["a.example/"]))?;
    let release = match tx.list_releases(service.id, 1)?.first() {
        Some(release) => release.id,
        None => release(tx, service.id, 1)?,
    };
    let number = service.replicas + 1;
    tx.scale_service(service.id, number)?;
    let known = tx.list_tasks(service.id)?;
    if known.len() >= 5 {
        for task in known {
            tx.forget_task(task.id)?;
        }
    }
    tx.allocate_task(service.id, release, 0, true)?;
    Ok(number)
}

/// What rows say, and what events say: the wanted number of tasks, and the tasks there are.
async fn compare(path: &Path) -> u32 {
    let store = Store::open(options(path.to_owned())).unwrap();
    let (services, rows, events) = store
        .read(|view| Ok((view.list_services()?, view.list_all_tasks()?, view.events(0, None, 10_000)?)))
        .await
        .unwrap();
    let (mut number, mut living) = (1, Vec::new());
    for event in events {
        match event.kind {
            EventKind::Service(service::event::Event::Scaled { from, to }) => {
                assert_eq!(from, number);
                number = to;
            }
            EventKind::Task(task::event::Event::Allocated { task, .. }) => living.push(task),
            EventKind::Task(task::event::Event::Removed { task }) => living.retain(|other| *other != task),
            _ => {}
        }
    }
    assert_eq!(rows.iter().map(|task| task.id).collect::<Vec<_>>(), living);
    assert_eq!(services.iter().map(|service| service.replicas).collect::<Vec<_>>(), [number]);
    number
}

fn myself(test: &str, path: &Path, wrapper: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words: Vec<_> = wrapper.iter().map(std::ffi::OsStr::new).collect();
    words.push(program.as_os_str());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["--exact", test, "--nocapture"]).env(STORE, path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[tokio::test]
async fn a_killed_writer_leaves_rows_and_events_in_agreement() {
    if let Some(path) = std::env::var_os(STORE) {
        let store = Store::open(options(path.into())).unwrap();
        loop {
            let number = store.write(at(0), Actor::Havre, step).await.unwrap();
            writeln!(std::io::stdout(), "kept {number}").unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for round in 0..6 {
        let test = "crash::a_killed_writer_leaves_rows_and_events_in_agreement";
        let mut child = myself(test, &path, &[]).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kept = lines
            .map_while(Result::ok)
            .filter_map(|line| line.rsplit_once("kept ")?.1.parse::<u32>().ok())
            .nth(7 + round)
            .expect("the child writes until it is killed");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(compare(&path).await >= kept, "what was answered is kept");
    }
}

#[tokio::test]
async fn a_failing_disk_leaves_rows_and_events_in_agreement() {
    if let Some(path) = std::env::var_os(STORE) {
        let store = Store::open(options(path.into())).unwrap();
        store.write(at(0), Actor::Havre, step).await.unwrap();
        // More than the log of all migrations has.
        let bytes = Some(2 * 1024 * 1024);
        rustix::process::setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: bytes }).unwrap();
        // The log is emptied into the file now and then, but the limit is on both.
        for _ in 0..10_000 {
            if let Err(error) = store.write(at(0), Actor::Havre, step).await {
                writeln!(std::io::stdout(), "failed: {error}").unwrap();
                return;
            }
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let test = "crash::a_failing_disk_leaves_rows_and_events_in_agreement";
    // A process that ignores SIGXFSZ gets an error from write(2) instead.
    let output = myself(test, &path, &["env", "--ignore-signal=XFSZ"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().find_map(|line| Some(line.split_once("failed: ")?.1));
    assert_eq!(
        said,
        Some(
            "could not read or write the store's file: the disk or file system failed; look at the kernel's log \
             (dmesg) and at the mount's options, nothing was changed"
        ),
        "{text}"
    );
    assert!(compare(&path).await > 1);
}
