//! The forge loops: tell the forges of remote repositories what became of pipelines' commits, and in `comment` how previews stand. What is
//! told is read off the pipelines each time, so that the newest state counts and none is lost; a forge that is away holds nothing up but
//! what it is told itself. The tenth seam; what really calls is [`HttpForges`], the reason is in `docs/decisions/0034-forge-status.md`. What
//! a call says is `havre-forge`'s, when it is due is decided in `havre_core::pipeline::status`. Tests: `tests/it/forge.rs`,
//! `tests/it/forge_comment.rs`, `tests/it/forge_http.rs`.

pub mod comment;

mod http;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::pipeline::Pipeline;
use havre_core::pipeline::status::{CommitStatus, describe, is_quiet, quiet_until};
use havre_core::secret::Secret;
use havre_core::source::RemoteUrl;
use havre_core::source::forge::{Forge, Telling};
use havre_core::source::remote::next_try;
use havre_core::time::Timestamp;
use havre_forge::answer::{Answer, Asked, Outcome, read};
use havre_forge::call::Call;
use havre_forge::repository::Repository;
use havre_forge::status::{Note, tell};
use havre_store::{StatusRow, StoreError, TellingFailure, View};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use http::HttpForges;

use crate::deployment::chain;
use crate::world::World;
use havre_outward::CallError;

/// While a status waits to be told, it is looked at this often: nothing announces that its time has come.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(30);
/// Calls under way at once, one for each project at most: two at once could arrive in the other order.
const CALLS: usize = 8;
/// Longest reason that is kept, in characters: others have a hand in it.
const REASON_MAX: usize = 700;

/// What a forge has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeAnswer {
    /// Its status.
    pub status: u16,
    /// Its header lines that are text, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

/// Calls forges.
#[async_trait]
pub trait Forges: Send + Sync + std::fmt::Debug {
    /// Makes the call once, with this token in its place. Every answer is one, also that something is refused.
    ///
    /// # Errors
    /// When there is no answer in time, or the host may not be called. Never says the token.
    async fn call(&self, call: &Call, token: &Secret) -> Result<ForgeAnswer, CallError>;
}

/// Runs both loops until `stop`. Comments do not wait for statuses, nor these for them.
pub async fn run(world: World, stop: CancellationToken) {
    tokio::join!(run_statuses(world.clone(), stop.clone()), comment::run(world, stop));
}

async fn run_statuses(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        let mut waits = false;
        tokio::select! {
            // A call that is cut here is made again after the start: to be told twice changes nothing at a forge.
            () = stop.cancelled() => return,
            ended = activate(&world) => match ended {
                Ok(some_wait) => waits = some_wait,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "could not look for what forges are to be told; trying again");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.changed() => {}
            () = world.clock.sleep(LOOK_AGAIN), if waits => {}
            () = world.clock.sleep(RESYNC), if !waits => {}
        }
    }
}

/// One round: makes every call that is due, the newest pipeline of each project first. Whether something waits for its time.
///
/// # Errors
/// When the store fails; a call that fails is recorded instead.
pub async fn activate(world: &World) -> Result<bool, StoreError> {
    let now = world.now();
    let found = world.store.read(move |view| look(view, now)).await?;
    for together in found.due.chunks(CALLS) {
        // Tasks of their own, so that a panic is contained and its call is made again.
        let mut calls = JoinSet::new();
        for due in together.iter().cloned() {
            let world = world.clone();
            calls.spawn(async move { make(&world, due).await });
        }
        while let Some(ended) = calls.join_next().await {
            match ended {
                Ok(recorded) => recorded?,
                Err(error) => tracing::error!(%error, "a call to a forge broke off; trying again"),
            }
        }
    }
    Ok(found.waits)
}

/// A status whose time has come.
#[derive(Debug, Clone)]
struct Due {
    row: StatusRow,
    pipeline: Pipeline,
    status: CommitStatus,
    forge: Forge,
    url: RemoteUrl,
}

/// What a look at the rows has found.
#[derive(Debug, Default)]
struct Found {
    due: Vec<Due>,
    /// Whether there is something that is not due yet.
    waits: bool,
}

fn look(view: &View<'_>, now: Timestamp) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut projects = BTreeSet::new();
    for (pipeline, row) in view.list_open_statuses()?.into_iter().rev() {
        let status = CommitStatus::of(&pipeline.state);
        let Some(remote) = view.find_remote(&row.project)? else { continue };
        let Telling::On(forge) = remote.telling() else { continue };
        if !row.memory.is_due(&status, now) {
            found.waits |= row.memory.next_at.is_some();
            continue;
        }
        if is_quiet(remote.quiet_until, now) || !projects.insert(row.project.clone()) {
            found.waits = true;
            continue;
        }
        found.due.push(Due { row, pipeline, status, forge, url: remote.url });
    }
    Ok(found)
}

/// Makes one call and records how it ended.
async fn make(world: &World, due: Due) -> Result<(), StoreError> {
    let outcome = call(world, &due).await?;
    let (now, Due { row, status, .. }) = (world.now(), due);
    let Some(failure) = failed(outcome, row.memory.tries_after(&status), now) else {
        return world.store.write(now, Actor::Havre, move |tx| tx.status_told(&row, status)).await;
    };
    let reason = &failure.reason;
    tracing::warn!(pipeline = %row.pipeline, project = %row.project, %reason, "could not tell a forge");
    world.store.write(now, Actor::Havre, move |tx| tx.status_failed(&row, status, failure)).await
}

/// What is recorded of a call that failed, with this one, `tries` times; nothing where it was taken.
fn failed(outcome: Outcome, tries: u32, now: Timestamp) -> Option<TellingFailure> {
    let (reason, next_at, pause) = match outcome {
        Outcome::Done => return None,
        Outcome::Refused { reason } => (reason, None, None),
        Outcome::Later { reason, pause } => (reason, next_try(tries, now), pause),
    };
    let reason: String = reason.chars().take(REASON_MAX).collect();
    Some(TellingFailure { reason, next_at, quiet_until: pause.map(|length| quiet_until(length, now)) })
}

async fn call(world: &World, due: &Due) -> Result<Outcome, StoreError> {
    let repository = match Repository::at(due.forge, &due.url) {
        Ok(repository) => repository,
        Err(error) => return Ok(Outcome::Refused { reason: error.to_string() }),
    };
    let token = match find_token(world, &due.row.project).await? {
        Ok(token) => token,
        Err(refused) => return Ok(refused),
    };
    let line = describe(&due.pipeline);
    let link = world.settings.public_url.as_ref().map(|url| url.pipeline(due.pipeline.id));
    let note = Note {
        commit: &due.pipeline.commit,
        reference: &due.pipeline.reference,
        environment: &due.pipeline.environment,
        status: due.status,
        line: &line,
        link: link.as_deref(),
    };
    let (outcome, _) = ask(world, (due.forge, Asked::Status), &tell(&repository, &note), &token).await;
    Ok(outcome)
}

/// The token the forge of a project is told with; or what follows from there being none.
async fn find_token(world: &World, project: &ProjectName) -> Result<Result<Secret, Outcome>, StoreError> {
    let project = project.clone();
    match world.store.read(move |view| view.find_status_token(&project)).await {
        Ok(Some(token)) => Ok(Ok(token)),
        Ok(None) => Ok(Err(Outcome::Refused { reason: "there is no token any more".to_owned() })),
        Err(error @ StoreError::Sealed { .. }) => Ok(Err(Outcome::Refused { reason: chain(&error) })),
        Err(error) => Err(error),
    }
}

/// Makes one call: what its answer means, and the answer, where there is one.
async fn ask(
    world: &World,
    (forge, asked): (Forge, Asked),
    call: &Call,
    token: &Secret,
) -> (Outcome, Option<ForgeAnswer>) {
    match world.forges.call(call, token).await {
        Ok(found) => {
            let answer = Answer { status: found.status, headers: &found.headers, body: &found.body };
            let outcome = read(forge, asked, &answer, world.now());
            (without_token(outcome, token), Some(found))
        }
        Err(CallError::Refused(reason)) => (without_token(Outcome::Refused { reason }, token), None),
        Err(CallError::Away(reason)) => (without_token(Outcome::Later { pause: None, reason }, token), None),
    }
}

/// A forge knows the token and could repeat it; whoever may read events must not get it from there.
fn without_token(outcome: Outcome, token: &Secret) -> Outcome {
    let says = |reason: &str| token.expose_text().is_some_and(|token| reason.contains(token));
    let hidden = || {
        "the forge refuses, and repeats the token in its answer, which is why that is not shown".to_owned()
    };
    match outcome {
        Outcome::Refused { reason } if says(&reason) => Outcome::Refused { reason: hidden() },
        Outcome::Later { pause, reason } if says(&reason) => Outcome::Later { pause, reason: hidden() },
        other => other,
    }
}
