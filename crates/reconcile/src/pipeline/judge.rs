//! Looks at a branch that moved: makes the pipelines that follow, or keeps the reason why none does.
//! Tests: `tests/it/pipeline.rs`.

use havre_core::event::Actor;
use havre_core::name::EnvironmentName;
use havre_core::pipeline::push::{DEFAULT_BRANCH, Verdict};
use havre_core::pipeline::{Cause, Pipeline, Stage, State, line};
use havre_manifest::Manifest;
use havre_source::{Commit, SourceError};
use havre_store::{NewPipeline, RefRow, StoreError, Tx};

use crate::pipeline::PipelineError;
use crate::pipeline::read;
use crate::world::World;

/// What is to be recorded about a push.
enum Decision {
    Ignore(String),
    /// Pipelines for these environments; with a reason, they have failed already.
    Start {
        environments: Vec<EnvironmentName>,
        commit: Commit,
        failed: Option<String>,
    },
}

/// Decides about one branch or tag and records it, in one transaction.
pub(super) async fn judge(world: &World, row: &RefRow) -> Result<(), PipelineError> {
    let decision = match decide(world, row).await {
        Ok(decision) => decision,
        // The branch has moved on or is gone and the commit with it, or no commit of ours should be like that.
        Err(error) if error.is_permanent() => Decision::Ignore(error.to_string()),
        Err(error) => return Err(error.into()),
    };
    let row = row.clone();
    world.store.write(world.now(), Actor::Havre, move |tx| record(tx, &row, decision)).await?;
    Ok(())
}

async fn decide(world: &World, row: &RefRow) -> Result<Decision, SourceError> {
    if row.reference.branch().is_none() {
        return Ok(Decision::Ignore("tags start nothing; environments follow branches".to_owned()));
    }
    let head = read::head(world, &row.project, &row.commit).await?;
    let commit = world.source.describe(&row.project, &row.commit).await?;
    Ok(match head.manifest {
        Ok(manifest) => follow(&manifest, row, commit),
        Err(reason) => broken(world, row, commit, reason).await,
    })
}

fn follow(manifest: &Manifest, row: &RefRow, commit: Commit) -> Decision {
    match havre_manifest::follow::environments(manifest, &row.reference, &commit.message) {
        Ok(environments) => Decision::Start { environments, commit, failed: None },
        Err(reason) => Decision::Ignore(reason),
    }
}

/// Without a `havre.toml` nobody can say which environment follows the branch: the one that did the last time, else
/// production for its usual branch. There it is a failure that is seen; elsewhere it is no business of ours.
async fn broken(world: &World, row: &RefRow, commit: Commit, reason: String) -> Decision {
    let (project, reference) = (row.project.clone(), row.reference.clone());
    let earlier = world.store.read(move |view| view.list_pipelines(&project, 50)).await.unwrap_or_default();
    // A pull request of a branch of this name is another matter.
    let is_of_branch =
        |pipeline: &Pipeline| pipeline.reference == reference && pipeline.environment.pull().is_none();
    let last = earlier.into_iter().find(is_of_branch);
    let is_usual = row.reference.branch().is_some_and(|branch| branch.as_str() == DEFAULT_BRANCH);
    match (last, is_usual) {
        (Some(last), _) => {
            Decision::Start { environments: vec![last.environment], commit, failed: Some(reason) }
        }
        (None, true) => {
            let environments = vec![EnvironmentName::production()];
            Decision::Start { environments, commit, failed: Some(reason) }
        }
        (None, false) => Decision::Ignore(reason),
    }
}

fn record(tx: &mut Tx<'_>, row: &RefRow, decision: Decision) -> Result<(), StoreError> {
    // Moved on meanwhile, or looked at by an earlier attempt: the newer commit gets its own look.
    let current = tx.find_ref(&row.project, &row.reference)?;
    if current.is_none_or(|current| current.commit != row.commit || current.verdict.is_some()) {
        return Ok(());
    }
    let verdict = match decision {
        Decision::Ignore(reason) => Verdict::Ignored { reason },
        Decision::Start { environments, commit, failed } => {
            let mut pipelines = Vec::new();
            for environment in environments {
                let pipeline = tx.create_pipeline(NewPipeline {
                    project: row.project.clone(),
                    environment,
                    reference: row.reference.clone(),
                    commit: row.commit.clone(),
                    subject: line(&commit.subject),
                    author: line(&commit.author),
                    cause: Cause::Push { by: row.pushed_by.clone() },
                })?;
                if let Some(reason) = &failed {
                    let (at, reason) = (tx.at(), reason.clone());
                    let to = State::Failed { at, stage: Stage::Checkout, reason };
                    tx.set_pipeline_state(pipeline.id, &pipeline.state, to)?;
                }
                pipelines.push(pipeline.id);
            }
            Verdict::Started { pipelines }
        }
    };
    tx.judge_ref(&row.project, &row.reference, &row.commit, &verdict)?;
    Ok(())
}
