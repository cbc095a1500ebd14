//! Throw-away databases of a test: makes its network and the servers, waits until they answer, lets the test in, and takes everything away.
//! What they are is decided in `havre_decide::database::throw_away`. Tests: `tests/it/test_database.rs`.
//!
//! After a crash the labels of the tasks and the row of the network say what there is to remove: by the test itself when it is run again, by
//! `tidy` when it is over.

use futures_util::StreamExt;
use havre_build::line::clean;
use havre_core::artifact::Digest;
use havre_core::build::Build;
use havre_core::build::test::TestSpec;
use havre_core::event::Actor;
use havre_core::id::BuildId;
use havre_core::secret::variables::Variables;
use havre_core::service::Service;
use havre_core::task::EngineState;
use havre_core::task::spec::{Purpose, TaskSpec, test_network};
use havre_core::time::Timestamp;
use havre_decide::database::throw_away::{Start, ThrowAway, derive_all, derive_variables, judge_start};
use havre_engine::image::PullPolicy;
use havre_engine::network::NetworkSpec;
use havre_store::StoreError;
use havre_store::database::throw_away_passwords;

use super::test::{LOOK, Outside, look};
use super::{Failure, is_of_fork, say};
use crate::database::client::{self, Server};
use crate::deployment::chain;
use crate::execute::{Fault, tail};
use crate::world::World;
use crate::{prepare, registry};

/// Last lines that are told of a server that did not come up.
const LINES: u32 = 20;

/// Starts the databases of a test; what the test is told of them. There may be something to [`remove`] whatever the answer is.
pub(super) async fn start(
    world: &World,
    (build, service): (&Build, &Service),
    test: &TestSpec,
    outside: &Outside,
) -> Result<Variables, Failure> {
    if test.databases.is_empty() {
        return Ok(Variables::default());
    }
    network(world, build.id).await.map_err(failure)?;
    let passwords: Result<Vec<_>, StoreError> =
        test.databases.iter().map(|_| throw_away_passwords()).collect();
    let databases = derive_all(service, test, passwords?);
    let mut tasks = Vec::new();
    for database in &databases {
        let begun = begin(world, (build, service), database, outside).await;
        tasks.push(begun.map_err(|fault| at_step(database, failure(fault)))?);
    }
    let started = world.now();
    for (database, task) in databases.iter().zip(&tasks) {
        wait(world, database, task, started).await.map_err(|failure| at_step(database, failure))?;
        say(world, &outside.0, format!("the database {} answers", database.spec.name)).await;
    }
    Ok(derive_variables(&databases))
}

/// The network of a test, on a subnet that nothing else has.
async fn network(world: &World, build: BuildId) -> Result<(), Fault> {
    let reserve = world.store.write(world.now(), Actor::Havre, move |tx| tx.reserve_test_network(build));
    let subnet = reserve.await?;
    let gateway = prepare::gateway(&subnet)?;
    let network =
        NetworkSpec { name: test_network(build), subnet, gateway, isolated: false, environment: None };
    Ok(world.engine.ensure_network(&network).await?)
}

/// The server of one database runs.
async fn begin(
    world: &World,
    (build, service): (&Build, &Service),
    database: &ThrowAway,
    outside: &Outside,
) -> Result<TaskSpec, Fault> {
    let image = image(world, service, database).await?;
    let text = format!("starting the database {} for this test: {}", database.spec.name, image.short());
    say(world, &outside.0, text).await;
    let task = database.derive_task(service, build, image);
    let begun = world.engine.ensure_task(&task).await;
    world.forget_engine();
    begun?;
    Ok(task)
}

async fn image(world: &World, service: &Service, database: &ThrowAway) -> Result<Digest, Fault> {
    let reference = database.spec.reference();
    let (policy, credentials) = match is_of_fork(world, &service.place).await? {
        // A stranger would be shown what only we may pull, or have pulled.
        true => (PullPolicy::Always, None),
        false => (PullPolicy::IfMissing, registry::credentials(world, &reference).await?),
    };
    Ok(world.engine.resolve_image(&reference, policy, credentials.as_ref(), None).await?.id)
}

/// Returns once its server takes connections and lets the test in.
async fn wait(
    world: &World,
    database: &ThrowAway,
    task: &TaskSpec,
    started: Timestamp,
) -> Result<(), Failure> {
    let server = Server { container: task.name.clone(), spec: &database.spec };
    loop {
        let health = client::ask(world, &server).await;
        world.forget_engine();
        // An engine that is being started again has its time.
        let state = look(world, task.purpose).await.unwrap_or(EngineState::Created);
        match judge_start(&database.spec, &health, &state, world.now().since(started)) {
            Start::Answers => break,
            Start::Waits => world.clock.sleep(LOOK).await,
            Start::Failed { reason } => {
                let last_lines = last_lines(world, &task.name).await;
                return Err(Failure { last_lines, ..Failure::of(reason) });
            }
        }
    }
    let login = database.login();
    client::introduce(world, &server, &login, &database.passwords.role).await.map_err(failure)
}

async fn last_lines(world: &World, container: &str) -> Vec<String> {
    let Ok(mut lines) = world.engine.logs(container, tail(LINES)).await else { return Vec::new() };
    let mut kept = Vec::new();
    while let Some(Ok(line)) = lines.next().await {
        kept.push(clean(line.line.as_bytes()));
    }
    kept
}

/// Takes the databases of a test away, and then its network, on which nothing else may be any more. Nothing happens where there are none.
pub(super) async fn remove(world: &World, build: BuildId) -> Result<(), Failure> {
    for task in world.engine.list_tasks().await? {
        if matches!(task.purpose, Purpose::TestDatabase { build: of, .. } if of == build) {
            let removed = world.engine.remove_task(&task.name).await;
            world.forget_engine();
            removed?;
        }
    }
    world.engine.remove_network(&test_network(build)).await?;
    let release = world.store.write(world.now(), Actor::Havre, move |tx| tx.release_test_network(build));
    Ok(release.await?)
}

/// Best effort: what cannot be removed now is found again by [`remove_of_ended`].
pub(super) async fn try_remove(world: &World, build: BuildId) {
    if let Err(failure) = remove(world, build).await {
        tracing::warn!(%build, error = %failure.reason, "could not remove the databases of a test");
    }
}

/// Takes away what tests that are over have left, after a crash or an engine that did not answer.
pub(super) async fn remove_of_ended(world: &World) {
    // Listed before rows are read: one that is begun after this has its row.
    let Ok(tasks) = world.engine_tasks().await else { return };
    let Ok((networks, running)) =
        world.store.read(|view| Ok((view.list_test_networks()?, super::tidy::list_running(view)?))).await
    else {
        return;
    };
    let of_tasks = tasks.iter().filter_map(|task| match task.purpose {
        Purpose::TestDatabase { build, .. } => Some(build),
        _ => None,
    });
    let mut left: Vec<BuildId> = of_tasks.chain(networks).filter(|build| !running.contains(build)).collect();
    left.sort();
    left.dedup();
    {
        // Read after the rows: what is at work here takes its own things away.
        let at_work = world.building.lock().expect("no holder panics");
        left.retain(|build| !at_work.contains_key(build));
    }
    for build in left {
        tracing::info!(%build, "removing the databases of a test that is over");
        try_remove(world, build).await;
    }
}

fn at_step(database: &ThrowAway, failure: Failure) -> Failure {
    Failure { step: format!("database {}", database.spec.name), ..failure }
}

fn failure(fault: Fault) -> Failure {
    match fault {
        Fault::Engine(error) => Failure::of(chain(&error)),
        Fault::Store(error) => Failure::of(chain(&error)),
        Fault::Impossible(message) | Fault::NotYet(message) => Failure::of(message),
    }
}
