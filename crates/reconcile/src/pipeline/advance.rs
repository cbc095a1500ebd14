//! Moves a pipeline on that tests, builds or deploys: one step, decided by `havre_decide::pipeline::plan` from rows and recorded
//! with its consequences in the same transaction. Tests: `tests/it/pipeline.rs`.

use havre_core::build::{Build, State as BuildState};
use havre_core::deployment::{Deployment, Kind};
use havre_core::event::Actor;
use havre_core::id::{BuildId, PipelineId};
use havre_core::pipeline::{Pipeline, State};
use havre_core::time::Timestamp;
use havre_decide::pipeline::plan::{End, Part, Step, step};
use havre_store::{NewRelease, StoreError, Tx, View};

use crate::pipeline::ignore_conflict;
use crate::world::World;

/// One step of `pipeline`, if there is one to take.
pub(super) async fn advance(world: &World, pipeline: Pipeline) -> Result<(), StoreError> {
    let id = pipeline.id;
    if world.store.read(move |view| choose(view, id)).await? == Step::Wait {
        return Ok(());
    }
    let now = world.now();
    ignore_conflict(world.store.write(now, Actor::Havre, move |tx| record(tx, &pipeline, now)).await)
}

fn choose(view: &View<'_>, id: PipelineId) -> Result<Step, StoreError> {
    let builds = view.list_pipeline_builds(id)?;
    let mut rows: Vec<(String, Build, Option<Deployment>)> = Vec::new();
    for build in builds {
        let deployment = match &build.state {
            BuildState::Succeeded { deployment, .. } => Some(view.get_deployment(*deployment)?),
            _ => None,
        };
        rows.push((build.spec.name.to_string(), build, deployment));
    }
    let parts: Vec<Part<'_>> = rows.iter().map(part).collect();
    Ok(step(&view.get_pipeline(id)?.state, &parts))
}

fn part((service, build, deployment): &(String, Build, Option<Deployment>)) -> Part<'_> {
    let deployment = deployment.as_ref().map(|deployment| (deployment.id, &deployment.state));
    Part { service, build, deployment }
}

/// Decides again, on the rows of this transaction, and does it.
fn record(tx: &mut Tx<'_>, pipeline: &Pipeline, now: Timestamp) -> Result<(), StoreError> {
    let to = match choose(tx, pipeline.id)? {
        Step::Wait => return Ok(()),
        Step::Build => State::Building { since: now },
        Step::Deploy { builds } => {
            for build in builds {
                deploy(tx, build, now)?;
            }
            State::Deploying { since: now }
        }
        Step::End { end, cancel } => {
            for id in cancel {
                let build = tx.get_build(id)?;
                tx.set_build_state(id, &build.state, BuildState::Cancelled { at: now })?;
            }
            match end {
                End::Succeeded => State::Succeeded { at: now },
                End::Failed { stage, reason } => State::Failed { at: now, stage, reason },
                End::Cancelled => State::Cancelled { at: now },
            }
        }
    };
    tx.set_pipeline_state(pipeline.id, &pipeline.state, to)
}

/// Turns what a build made into a release and its deployment.
fn deploy(tx: &mut Tx<'_>, id: BuildId, now: Timestamp) -> Result<(), StoreError> {
    let Build { service, spec, revision, commit, state, .. } = tx.get_build(id)?;
    let BuildState::Built { artifact, .. } = state.clone() else { return Ok(()) };
    let new = NewRelease { service, artifact: artifact.clone(), spec, revision, build: Some(id), commit };
    let release = tx.create_release(new)?;
    let deployment = tx.create_deployment(service, release.id, Kind::Deploy)?.id;
    tx.set_build_state(id, &state, BuildState::Succeeded { at: now, artifact, deployment })
}
