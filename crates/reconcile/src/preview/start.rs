//! From what was announced of a pull request to its pipeline: reads what the base branch allows, fetches the commit to a name of ours, and
//! records the preview, its pipeline and the previews that make room in one transaction. One fetch of a repository at a time, together with
//! those of branches. Tests: `tests/it/preview.rs`.

use havre_core::event::Actor;
use havre_core::id::PipelineId;
use havre_core::name::ProjectName;
use havre_core::pipeline::push::Verdict;
use havre_core::pipeline::{Cause, line};
use havre_core::preview::{CloseReason, Policy, Preview, State, Wish};
use havre_core::source::remote::next_try;
use havre_core::source::{BranchName, CommitId, RefName};
use havre_decide::preview::plan::{Decision, Ignored, decide};
use havre_manifest::follow;
use havre_manifest::previews::Previews;
use havre_source::{Commit, SourceError};
use havre_store::{NewPipeline, StoreError, Tx, WishRow};
use tokio_util::sync::CancellationToken;

use super::close;
use crate::deployment::chain;
use crate::pipeline::{BEHIND_MAX, FetchError, PipelineError, REASON_MAX, find_remote, read};
use crate::world::World;

/// What the base branch says, as it was last seen.
#[derive(Debug, Clone)]
struct Base {
    commit: CommitId,
    policy: Option<Policy>,
}

/// Decides what can be decided at once, and begins to fetch for the rest.
pub(super) async fn consider(world: &World, row: WishRow) -> Result<(), PipelineError> {
    let base = match find_base(world, &row.wish.project, &row.wish.base).await? {
        Ok(base) => base,
        Err(reason) => {
            ignore(world, row, reason).await?;
            return Ok(());
        }
    };
    let project = row.wish.project.clone();
    let rows = world.store.read(move |view| view.list_previews(&project)).await?;
    match decide(&row.wish, &rows, base.policy.as_ref()) {
        Decision::Ignore { reason } => ignore(world, row, reason.to_string()).await?,
        Decision::Wait => {}
        Decision::Start { .. } | Decision::Update => start(world, row),
    }
    Ok(())
}

/// The base branch as it was noted last, never as the pull request would like it; or why it is of no use, for people.
async fn find_base(
    world: &World,
    project: &ProjectName,
    branch: &BranchName,
) -> Result<Result<Base, String>, PipelineError> {
    let (name, reference) = (project.clone(), RefName::from(branch));
    let Some(noted) = world.store.read(move |view| view.find_ref(&name, &reference)).await? else {
        return Ok(Err(format!(
            "the branch {branch}, for which the pull request is, is not known here yet: push to it once, or let its webhook do so"
        )));
    };
    let head = match read::head(world, project, &noted.commit).await {
        Ok(head) => head,
        Err(error) if error.is_permanent() => return Ok(Err(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    Ok(match head.manifest {
        Ok(manifest) => Ok(Base { commit: noted.commit, policy: manifest.previews().map(Previews::policy) }),
        Err(reason) => Err(format!("[previews] of the branch {branch} cannot be read: {reason}")),
    })
}

async fn ignore(world: &World, row: WishRow, reason: String) -> Result<(), StoreError> {
    let verdict = Verdict::Ignored { reason };
    let judged =
        world.store.write(world.now(), Actor::Havre, move |tx| tx.judge_preview_wish(&row, &verdict));
    judged.await
}

/// Begins, unless the repository is being fetched already: then the end of that wakes the loop.
fn start(world: &World, row: WishRow) {
    let cancel = CancellationToken::new();
    {
        let mut fetching = world.fetching.lock().expect("no holder panics");
        if fetching.contains_key(&row.wish.project) {
            return;
        }
        fetching.insert(row.wish.project.clone(), cancel.clone());
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        let project = row.wish.project.clone();
        if let Err(error) = run(&world, row, cancel).await {
            tracing::error!(%project, error = %chain(&error), "could not record what follows from a pull request");
            world.clock.sleep(std::time::Duration::from_secs(1)).await;
        }
        world.fetching.lock().expect("no holder panics").remove(&project);
        world.pipelines_wake.notify_one();
    });
}

/// What was fetched, and what the base branch says of it.
struct Found {
    commit: Commit,
    base_commit: CommitId,
    policy: Policy,
}

async fn run(world: &World, row: WishRow, cancel: CancellationToken) -> Result<(), StoreError> {
    let ended = fetch(world, &row, cancel).await;
    let error = match ended {
        Ok(Ok(found)) => return record(world, row, found).await,
        Ok(Err(reason)) => return ignore(world, row, reason).await,
        Err(FetchError::Source(SourceError::Cancelled)) => return Ok(()),
        Err(error) => error,
    };
    let (now, pull) = (world.now(), row.wish.number);
    let tries = row.tries.saturating_add(1);
    let next_at = if error.is_permanent() { None } else { next_try(tries, now) };
    let reason: String = chain(&error).chars().take(REASON_MAX).collect();
    tracing::warn!(project = %row.wish.project, %pull, %reason, "could not fetch a pull request");
    match next_at {
        Some(next_at) => {
            let failed =
                world.store.write(now, Actor::Havre, move |tx| tx.preview_wish_failed(&row, next_at));
            failed.await
        }
        None => ignore(world, row, format!("its commit could not be fetched: {reason}")).await,
    }
}

/// The commit and what its base branch says now; or why nothing follows, for people.
async fn fetch(
    world: &World,
    row: &WishRow,
    cancel: CancellationToken,
) -> Result<Result<Found, String>, FetchError> {
    let Wish { project, number, .. } = &row.wish;
    let remote = find_remote(world, project).await?;
    let pull = row.wish.pull();
    let fetched = world.source.fetch_pull(project, &remote, &pull, cancel).await?;
    let is_last = row.tries >= BEHIND_MAX;
    let commit = match fetched {
        Some(commit) => commit,
        None if is_last => return Ok(Err(format!("the remote repository has no {}", pull.theirs()))),
        None => return Err(FetchError::Away(format!("the remote repository has no {} yet", pull.theirs()))),
    };
    if !is_last && is_behind(world, &row.wish, &commit).await? {
        return Err(FetchError::Away(format!("the forge shows an older commit of pull request {number}")));
    }
    let commit = world.source.describe(project, &commit).await?;
    if let Some(skip) = follow::skip(&commit.message) {
        return Ok(Err(format!("the commit's message says {skip}")));
    }
    let base = match find_base(world, project, &row.wish.base).await {
        Ok(base) => base,
        Err(PipelineError::Source(error)) => return Err(error.into()),
        Err(error) => return Err(FetchError::Away(chain(&error))),
    };
    let missing = || Ignored::Previews { base: row.wish.base.clone() }.to_string();
    Ok(base.and_then(|base| {
        let policy = base.policy.ok_or_else(missing)?;
        Ok(Found { commit, base_commit: base.commit, policy })
    }))
}

/// A forge may announce a commit a moment before it shows it. One that came with a newer commit is not missing.
async fn is_behind(world: &World, wish: &Wish, found: &CommitId) -> Result<bool, SourceError> {
    match &wish.head {
        Some(wanted) if wanted != found => match world.source.describe(&wish.project, wanted).await {
            Ok(_) => Ok(false),
            Err(SourceError::CommitMissing { .. }) => Ok(true),
            Err(error) => Err(error),
        },
        _ => Ok(false),
    }
}

async fn record(world: &World, row: WishRow, found: Found) -> Result<(), StoreError> {
    let by = row.asked_by.clone();
    world.store.write(world.now(), by, move |tx| decide_and_record(tx, &row, &found)).await
}

/// Decides again, on the rows of this transaction and with the commit that came, and does it.
fn decide_and_record(tx: &mut Tx<'_>, row: &WishRow, found: &Found) -> Result<(), StoreError> {
    if !tx.is_open_wish(row)? {
        return Ok(());
    }
    let wish = Wish { head: Some(found.commit.id.clone()), ..row.wish.clone() };
    let rows = tx.list_previews(&wish.project)?;
    let mut state = State::Open { since: tx.at() };
    match decide(&wish, &rows, Some(&found.policy)) {
        Decision::Wait => return Ok(()),
        Decision::Ignore { reason } => {
            let reason = reason.to_string();
            return tx.judge_preview_wish(row, &Verdict::Ignored { reason });
        }
        Decision::Update => {
            let before = rows.iter().find(|row| row.number == wish.number);
            state = before.map_or(state, |before| before.state.clone());
        }
        Decision::Start { make_room } => {
            for goes in rows.iter().filter(|row| make_room.contains(&row.number)) {
                close::begin(tx, goes, CloseReason::MadeRoom { number: wish.number })?;
            }
        }
    }
    let pipeline = open(tx, row, found, state)?;
    tx.judge_preview_wish(row, &Verdict::Started { pipelines: vec![pipeline] })
}

/// Makes or moves the preview, and its pipeline.
fn open(tx: &mut Tx<'_>, row: &WishRow, found: &Found, state: State) -> Result<PipelineId, StoreError> {
    let wish = &row.wish;
    let preview = Preview {
        project: wish.project.clone(),
        number: wish.number,
        commit: found.commit.id.clone(),
        branch: wish.branch.clone(),
        base: wish.base.clone(),
        base_commit: found.base_commit.clone(),
        is_fork: wish.is_fork,
        state,
        pushed_at: tx.at(),
        ttl: found.policy.ttl,
    };
    tx.put_preview(&preview)?;
    let pipeline = tx.create_pipeline(NewPipeline {
        environment: preview.environment(),
        project: preview.project,
        reference: RefName::from(&preview.branch),
        commit: preview.commit,
        subject: line(&found.commit.subject),
        author: line(&found.commit.author),
        cause: Cause::PullRequest { number: preview.number, by: row.asked_by.clone() },
    })?;
    Ok(pipeline.id)
}
