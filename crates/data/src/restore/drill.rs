//! One drill: starts its server where nobody can reach it, fills it, looks at what came of it, and throws it away. Each part is recorded before
//! the next one begins; what follows from what was seen is `havre_rescue::drill`. What is particular to a drill to a second is in `second`.

use havre_core::database::Image;
use havre_core::database::task::NO_SERVICE;
use havre_core::event::Actor;
use havre_core::id::DrillId;
use havre_core::task::EngineState;
use havre_core::task::spec::Purpose;
use havre_engine::image::PullPolicy;
use havre_engine::network::VolumeSpec;
use havre_reconcile::deployment::chain;
use havre_reconcile::execute::Fault;
use havre_reconcile::registry;
use havre_rescue::drill::{
    Drill, PREPARE_MAX, State, derive_drill, drill_container, drill_place, drill_volume, observe,
};
use havre_rescue::proof::{Failure, Observation, Progress};
use havre_rescue::recovery::{Part, derive_drilled};
use tokio_util::sync::CancellationToken;

use super::{copy, second};
use crate::world::World;

/// Moves a drill on as far as it goes now; why not, in words.
pub(super) async fn advance(world: &World, id: DrillId, stop: &CancellationToken) -> Result<(), String> {
    let read = world.store.read(move |view| view.get_drill(id)).await;
    let mut drill = read.map_err(|error| chain(&error))?;
    // A load that was begun by a Havre that has ended is nobody's.
    let mut has_begun = false;
    loop {
        let progress = match &drill.state {
            State::Working { progress } => progress,
            State::Cleaning { .. } => return clean(world, &drill).await,
            State::Passed { .. } | State::Failed { .. } => return Ok(()),
        };
        let Some(seen) = step(world, &drill, progress, has_begun, stop).await? else { return Ok(()) };
        let now = world.now();
        let from = drill.state.clone();
        let to = observe(&drill.state, &seen, &drill.manifest, drill.created_at, now);
        drill.state = to.clone();
        has_begun = true;
        let write = world.store.write(now, Actor::Havre, move |tx| tx.set_drill_state(id, &from, &to));
        write.await.map_err(|error| chain(&error))?;
    }
}

/// What is seen now; nothing while there is something to wait for, or where Havre stops.
async fn step(
    world: &World,
    drill: &Drill,
    progress: &Progress,
    has_begun: bool,
    stop: &CancellationToken,
) -> Result<Option<Observation>, String> {
    let server = copy::Server { container: drill_container(drill), spec: drill.spec.clone() };
    Ok(match progress {
        Progress::Preparing { since } | Progress::Starting { since, .. } => {
            let why = match prepare(world, drill, &server).await {
                Ok(()) => return Ok(Some(Observation::Answers)),
                Err(Fault::Impossible(reason)) => return Ok(Some(no_server(reason))),
                Err(Fault::Engine(error)) if error.is_permanent() => {
                    return Ok(Some(no_server(chain(&error))));
                }
                Err(Fault::Engine(error)) => chain(&error),
                Err(Fault::Store(error)) => return Err(chain(&error)),
                Err(Fault::NotYet(why)) => why,
            };
            (world.now().since(*since) >= PREPARE_MAX.duration()).then(|| no_server(why))
        }
        Progress::Loading { .. } if !has_begun => Some(Observation::Interrupted),
        Progress::Loading { .. } => {
            if let Some(aim) = &drill.aim {
                return Ok(second::load(world, (drill, aim), &server, stop).await);
            }
            let loaded = copy::load(world, &server, (&drill.target, &drill.manifest), stop).await;
            if let Some(Observation::Loaded { keys: Some(_), .. }) = loaded {
                give_way(world, &server).await?;
            }
            loaded
        }
        Progress::Checking { .. } => {
            copy::check(world, &server, Some(drill.assertions.as_slice()), stop).await
        }
    })
}

/// The server that knows nothing of the snapshot on its volume goes: the next one reads it. It keeps nothing, so it needs no time to end.
async fn give_way(world: &World, server: &copy::Server) -> Result<(), String> {
    let removed = world.engine.remove_task(&server.container).await;
    world.forget_engine();
    removed.map_err(|error| chain(&error))
}

fn no_server(reason: String) -> Observation {
    Observation::Broken { reason: Failure::Server { reason } }
}

/// The server runs and takes connections; of a drill to a second, the container that takes the files in runs. Done again, it makes no second one.
async fn prepare(world: &World, drill: &Drill, server: &copy::Server) -> Result<(), Fault> {
    let tasks = world.engine_tasks().await?;
    let found = tasks.iter().find(|task| task.purpose == Purpose::Drill { drill: drill.id });
    match found.map(|task| &task.state) {
        Some(EngineState::Running { .. }) => {}
        Some(EngineState::Exited { code, out_of_memory }) => {
            let why = if *out_of_memory { ": it used more memory than its limit" } else { "" };
            return Err(Fault::Impossible(format!("it ended with code {code}{why}")));
        }
        Some(EngineState::Created | EngineState::Absent) | None => {
            let image = image(world, drill).await?;
            let volume =
                VolumeSpec { name: drill_volume(drill.id), service: NO_SERVICE, place: drill_place(drill) };
            world.engine.ensure_volume(&volume).await?;
            let task = match &drill.aim {
                Some(aim) => derive_drilled(drill, aim, Part::Fill, &image),
                None => derive_drill(drill, &image),
            };
            let started = world.engine.ensure_task(&task).await;
            world.forget_engine();
            started?;
        }
    }
    match drill.aim {
        Some(_) => Ok(()),
        None => copy::probe(world, server).await.map_err(Fault::NotYet),
    }
}

/// The image of the database, on this machine.
pub(super) async fn image(world: &World, drill: &Drill) -> Result<Image, Fault> {
    let reference = match &drill.image {
        Some(image) if world.engine.find_image(&image.id).await?.is_some() => return Ok(image.clone()),
        Some(Image { pull: Some(pull), .. }) => pull.clone(),
        Some(Image { id, pull: None }) => {
            let message = format!("the image {} of the database is gone, and nobody else has it", id.short());
            return Err(Fault::Impossible(message));
        }
        None => drill.spec.reference(),
    };
    let credentials = registry::credentials(world, &reference).await?;
    let found =
        world.engine.resolve_image(&reference, PullPolicy::IfMissing, credentials.as_ref(), None).await?;
    Ok(Image { id: found.id, pull: found.pull })
}

/// Nothing is left of the server, and the drill is over with its report.
async fn clean(world: &World, drill: &Drill) -> Result<(), String> {
    discard(world, drill.id, &drill_container(drill)).await?;
    let id = drill.id;
    let ended = world.store.write(world.now(), Actor::Havre, move |tx| {
        tx.end_drill(id)?;
        tx.get_drill(id)
    });
    let ended = ended.await.map_err(|error| chain(&error))?;
    match &ended.state {
        State::Failed { reason, .. } if reason.is_interruption() => {
            tracing::warn!(drill = %id, "a drill was interrupted; it is tried again");
        }
        State::Failed { stage, reason, .. } => {
            let what = &drill.manifest.what;
            tracing::error!(drill = %id, %what, %stage, %reason, "a backup did not restore; see docs/rooms/restore.md");
        }
        State::Working { .. } | State::Cleaning { .. } | State::Passed { .. } => {}
    }
    Ok(())
}

/// Takes away whatever a drill has made.
pub(super) async fn discard(world: &World, id: DrillId, container: &str) -> Result<(), String> {
    let removed = world.engine.remove_task(container).await;
    world.forget_engine();
    removed.map_err(|error| chain(&error))?;
    world.engine.remove_volume(&drill_volume(id)).await.map_err(|error| chain(&error))
}
