//! Runs the tests of a service: builds their image and, where there is a command, runs it in a task of that image. Image and task are
//! thrown away. How a command has ended is judged by `havre_core::build::test`; its databases are in `database.rs`. Tests:
//! `tests/it/pipeline_test.rs`.
//!
//! A test that ran when control ended is run again from its start: its task has the build in its name, and is removed first.

use std::time::Duration;

use futures_util::StreamExt;
use havre_build::builder::{BuildError, BuildLine, LINES_MAX};
use havre_build::line::clean;
use havre_core::artifact::Artifact;
use havre_core::build::Build;
use havre_core::build::test::{TestSpec, Verdict, judge, step_name};
use havre_core::secret::variables::Variables;
use havre_core::service::Service;
use havre_core::task::EngineState;
use havre_core::task::spec::{Purpose, TaskSpec, derive_test, test_container};
use havre_core::time::Timestamp;
use havre_engine::error::EngineError;
use havre_engine::log::{LogLine, LogQuery, LogStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Failure, database, request, say};
use crate::deployment::chain;
use crate::world::World;

/// A test is looked at this often, whatever was or was not heard.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// Longest wait for the last lines of a task that has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Where its lines go, and what stops it.
pub(super) type Outside = (mpsc::Sender<BuildLine>, CancellationToken);

/// Runs them to their end. Nothing of them is left but the log.
pub(super) async fn run(
    world: &World,
    build: &Build,
    test: &TestSpec,
    outside: Outside,
) -> Result<(), Failure> {
    let id = build.service;
    let service = world.store.read(move |view| view.get_service(id)).await?;
    if test.command.is_some() {
        // What an attempt that was interrupted left.
        remove(world, &test_container(&service.place, build.id)).await?;
        if !test.databases.is_empty() {
            database::remove(world, build.id).await?;
        }
    }
    let artifact = make_image(world, build, (&service, test), &outside).await?;
    let Artifact::Image { id: image, .. } = artifact else {
        return Err(Failure::of("the tests of a site cannot be run".to_owned()));
    };
    let mut ended = Ok(());
    if test.command.is_some() {
        let mut task = derive_test(&service, build, test, image.clone());
        ended = match begin_databases(world, (build, &service), test, &outside).await {
            Ok(variables) => {
                task.give(&variables);
                run_command(world, &task, test, &outside).await
            }
            Err(failure) => Err(failure),
        };
        if let Err(error) = remove(world, &task.name).await {
            tracing::warn!(build = %build.id, error = %chain(&error), "could not remove the task of a test");
        }
        if !test.databases.is_empty() {
            database::try_remove(world, build.id).await;
        }
    }
    // Where it cannot be removed now, the loop of images does it: no release needs it.
    if let Err(error) = world.engine.remove_image(&image).await {
        tracing::info!(build = %build.id, %error, "left the image of a test for later");
    }
    ended
}

/// Starts its databases, unless somebody cancels it meanwhile.
async fn begin_databases(
    world: &World,
    of: (&Build, &Service),
    test: &TestSpec,
    outside: &Outside,
) -> Result<Variables, Failure> {
    tokio::select! {
        biased;
        () = outside.1.cancelled() => Err(Failure { cancelled: true, ..Failure::default() }),
        begun = database::start(world, of, test, outside) => begun,
    }
}

async fn remove(world: &World, name: &str) -> Result<(), EngineError> {
    let removed = world.engine.remove_task(name).await;
    world.forget_engine();
    removed
}

/// Builds the stage of the tests, within their time where its steps are the tests.
async fn make_image(
    world: &World,
    build: &Build,
    (service, test): (&Service, &TestSpec),
    (lines, cancel): &Outside,
) -> Result<Artifact, Failure> {
    let request = request(world, build, service, test.derive_spec(&build.spec)).await?;
    let stop = cancel.child_token();
    let started = world.now();
    let mut is_late = false;
    let mut work = world.builder.build(request, lines.clone(), stop.clone());
    loop {
        tokio::select! {
            biased;
            made = &mut work => {
                return match made {
                    Err(BuildError::Cancelled) if is_late => Err(Failure::of(test.too_long())),
                    made => Ok(made?),
                };
            }
            () = world.clock.sleep(LOOK), if !is_late => {
                let spent = world.now().since(started);
                is_late = test.build_limit().is_some_and(|limit| spent >= limit.duration());
                if is_late {
                    stop.cancel();
                }
            }
        }
    }
}

/// Runs the command; what it writes goes to the log as it comes.
async fn run_command(
    world: &World,
    task: &TaskSpec,
    test: &TestSpec,
    outside: &Outside,
) -> Result<(), Failure> {
    let step = task.command.as_ref().map(step_name).unwrap_or_default();
    let begun = world.engine.ensure_task(task).await;
    world.forget_engine();
    begun.map_err(|error| Failure { step: step.clone(), ..Failure::from(error) })?;
    let started = world.now();
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut log = Log { step: step.clone(), lines: &outside.0, written: 0, stream: None };
    match world.engine.logs(&task.name, query).await {
        Ok(stream) => log.stream = Some(stream),
        Err(error) => say(world, &outside.0, format!("its lines cannot be read: {error}")).await,
    }
    let verdict = tokio::select! {
        biased;
        () = outside.1.cancelled() => return Err(Failure { cancelled: true, ..Failure::default() }),
        verdict = wait(world, (task.purpose, test), started, &mut log) => verdict,
    };
    if let Verdict::Failed { is_running: true, .. } = verdict {
        let stopped = world.engine.stop_task(&task.name, task.stop_signal, task.stop_grace.duration()).await;
        world.forget_engine();
        if let Err(error) = stopped {
            tracing::warn!(task = %task.name, %error, "could not stop a test; it is removed");
        }
    }
    // Docker ends the stream with the task; should it not, the test does not hang on that.
    let _ = tokio::time::timeout(LAST_WORDS, log.finish()).await;
    match verdict {
        Verdict::Failed { reason, .. } => Err(Failure { step, ..Failure::of(reason) }),
        Verdict::Passed | Verdict::Runs => Ok(()),
    }
}

/// Passes lines on until the command has ended or its time is over.
async fn wait(
    world: &World,
    (purpose, test): (Purpose, &TestSpec),
    started: Timestamp,
    log: &mut Log<'_>,
) -> Verdict {
    loop {
        let must_look = tokio::select! {
            biased;
            has_more = log.pass_line() => {
                if !has_more {
                    // The task has ended, or the engine went away.
                    world.forget_engine();
                }
                !has_more
            }
            () = world.clock.sleep(LOOK) => true,
        };
        let now = world.now();
        let is_late = now.since(started) >= test.timeout.duration();
        if !must_look && !is_late {
            continue;
        }
        match look(world, purpose).await {
            Ok(state) => match judge(test, &state, started, now) {
                Verdict::Runs => {}
                verdict => return verdict,
            },
            // An engine that is being started again has its time.
            Err(_) if !is_late => {}
            Err(error) => {
                let reason = format!("{}; {}", test.too_long(), chain(&error));
                return Verdict::Failed { reason, is_running: true };
            }
        }
    }
}

/// What the engine says of a task.
pub(super) async fn look(world: &World, purpose: Purpose) -> Result<EngineState, EngineError> {
    let tasks = world.engine_tasks().await?;
    let found = tasks.iter().find(|task| task.purpose == purpose);
    Ok(found.map_or(EngineState::Absent, |task| task.state.clone()))
}

/// The lines of a task on their way to the log of its build.
struct Log<'a> {
    step: String,
    lines: &'a mpsc::Sender<BuildLine>,
    written: usize,
    stream: Option<LogStream>,
}

impl Log<'_> {
    /// Passes the next line on; `false`, once, when there are no more. Never returns after that. May be dropped while it waits.
    async fn pass_line(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        // A place first: a line that was taken is never lost. Nobody listening is no reason to stop.
        let place = self.lines.reserve().await.ok();
        let next = stream.next().await;
        let Some(Ok(LogLine { at, line, .. })) = next else {
            self.stream = None;
            return false;
        };
        self.written += 1;
        if self.written > LINES_MAX {
            return true;
        }
        let text = if self.written == LINES_MAX {
            "further lines are left out: the log of this test is full".to_owned()
        } else {
            clean(line.as_bytes())
        };
        if let Some(place) = place {
            place.send(BuildLine { at, step: self.step.clone(), text, was_cached: None });
        }
        true
    }

    /// Passes on what is left.
    async fn finish(&mut self) {
        while self.stream.is_some() {
            self.pass_line().await;
        }
    }
}
