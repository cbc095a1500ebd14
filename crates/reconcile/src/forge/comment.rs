//! The loop of comments: keeps one comment on each pull request in step with its preview. What it says is written in
//! `havre_decide::preview::comment`, read off preview, pipeline and services each time; only a digest of it is remembered. The comment is made
//! once and then changed; where its number was lost, it is found by its mark. Tests: `tests/it/forge_comment.rs`.

use std::collections::BTreeSet;

use havre_core::certificate::Certificate;
use havre_core::event::Actor;
use havre_core::pipeline::status::is_quiet;
use havre_core::pipeline::{Pipeline, State as PipelineState};
use havre_core::preview::Preview;
use havre_core::secret::Secret;
use havre_core::service::Service;
use havre_core::source::RemoteUrl;
use havre_core::source::forge::{Forge, Telling};
use havre_core::time::Timestamp;
use havre_decide::preview::comment::{CommentId, Shown, comment_text, key, shown};
use havre_forge::answer::{Asked, Outcome};
use havre_forge::comment::{PAGES_MAX, create, find, list, made, mark, update};
use havre_forge::repository::Repository;
use havre_store::{CommentRow, CommentSaying, StoreError, View};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{CALLS, LOOK_AGAIN, RESYNC, ask, failed, find_token};
use crate::deployment::chain;
use crate::variable;
use crate::world::World;

/// Runs the loop until `stop`.
pub(super) async fn run(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        let mut waits = false;
        tokio::select! {
            // A comment that is made while this is cut is found by its mark after the start.
            () = stop.cancelled() => return,
            ended = activate(&world) => match ended {
                Ok(some_wait) => waits = some_wait,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "could not look for what comments are to say; trying again");
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

/// One round: brings every comment up to date whose time has come, one of each project. Whether something waits for its time.
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

/// A comment whose time has come.
#[derive(Debug, Clone)]
struct Due {
    row: CommentRow,
    saying: CommentSaying,
    /// What it is to say, without secrets.
    text: String,
    /// What it is known by.
    key: String,
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
    let rows = view.list_open_comments()?;
    if rows.is_empty() {
        return Ok(found);
    }
    let certificates = view.list_certificates()?;
    let mut projects = BTreeSet::new();
    for row in rows {
        let Some(remote) = view.find_remote(&row.project)? else { continue };
        let Telling::On(forge) = remote.commenting() else { continue };
        let Some(subject) = Subject::load(view, &row)? else { continue };
        let saying = CommentSaying::of(&subject.text(&certificates, now), !subject.preview.is_open());
        if !row.memory.is_due(&saying.digest, now) {
            found.waits |= row.memory.next_at.is_some();
            continue;
        }
        if is_quiet(remote.quiet_until, now) || !projects.insert(row.project.clone()) {
            found.waits = true;
            continue;
        }
        let key = key(&subject.preview, &row.mark);
        let text = subject.without_secrets(view).text(&certificates, now);
        found.due.push(Due { row, saying, text, key, forge, url: remote.url });
    }
    Ok(found)
}

/// What a comment is about.
#[derive(Debug)]
struct Subject {
    preview: Preview,
    /// The newest one.
    pipeline: Option<Pipeline>,
    services: Vec<Service>,
}

impl Subject {
    /// Nothing where there is nothing to say: the preview is forgotten, or so is how it was made.
    fn load(view: &View<'_>, row: &CommentRow) -> Result<Option<Self>, StoreError> {
        let Some(preview) = view.find_preview(&row.project, row.number)? else { return Ok(None) };
        let environment = preview.environment();
        let pipeline = view.find_newest_pipeline(&row.project, &environment)?;
        if !preview.is_open() {
            return Ok(Some(Self { preview, pipeline, services: Vec::new() }));
        }
        if pipeline.is_none() {
            return Ok(None);
        }
        let services = match view.find_environment(&row.project, &environment)? {
            Some(found) => view.list_environment_services(found.id)?,
            None => Vec::new(),
        };
        Ok(Some(Self { preview, pipeline, services }))
    }

    fn text(&self, certificates: &[Certificate], now: Timestamp) -> String {
        let services = self.services.iter();
        let services: Vec<Shown<'_>> =
            services.flat_map(|service| shown(service, certificates, now)).collect();
        comment_text(&self.preview, &services, self.pipeline.as_ref())
    }

    /// The reason of a failure is text of programs that have had secrets. Where these cannot be looked up, it is not told at all.
    fn without_secrets(mut self, view: &View<'_>) -> Self {
        let Some(Pipeline { state: PipelineState::Failed { reason, .. }, .. }) = &mut self.pipeline else {
            return self;
        };
        *reason = match variable::project_redactor(view, &self.preview.project, &self.services) {
            Ok(redactor) => redactor.text(std::mem::take(reason)),
            Err(error) => {
                tracing::warn!(project = %self.preview.project, error = %chain(&error), "could not look up what must not be in a comment");
                "not told: the secrets that may be in it could not be looked up".to_owned()
            }
        };
        self
    }
}

/// How an attempt ended.
#[derive(Debug)]
struct Attempt {
    outcome: Outcome,
    /// The comment's number, where it is known.
    id: Option<CommentId>,
    /// The forge has no comment of the number that was known.
    is_gone: bool,
}

impl Attempt {
    fn without_call(outcome: Outcome) -> Self {
        Self { outcome, id: None, is_gone: false }
    }
}

/// Makes or changes one comment and records how that ended.
async fn make(world: &World, due: Due) -> Result<(), StoreError> {
    let Attempt { outcome, id, is_gone } = attempt(world, &due).await?;
    let (now, Due { row, saying, .. }) = (world.now(), due);
    let Some(failure) = failed(outcome, row.memory.tries_after(&saying.digest), now) else {
        return world.store.write(now, Actor::Havre, move |tx| tx.comment_told(&row, &saying, id)).await;
    };
    let reason = &failure.reason;
    tracing::warn!(project = %row.project, number = %row.number, %reason, "could not comment on a pull request");
    let recorded =
        world.store.write(now, Actor::Havre, move |tx| tx.comment_failed(&row, &saying, is_gone, failure));
    recorded.await
}

async fn attempt(world: &World, due: &Due) -> Result<Attempt, StoreError> {
    let repository = match Repository::at(due.forge, &due.url) {
        Ok(repository) => repository,
        Err(error) => {
            return Ok(Attempt::without_call(Outcome::Refused { reason: error.to_string() }));
        }
    };
    let token = match find_token(world, &due.row.project).await? {
        Ok(token) => token,
        Err(refused) => return Ok(Attempt::without_call(refused)),
    };
    let (number, mark) = (due.row.number, mark(due.forge, &due.key));
    let known = match due.row.id {
        Some(id) => Some(id),
        None => match search(world, due, &repository, &mark, &token).await {
            Ok(found) => found,
            Err(outcome) => return Ok(Attempt::without_call(outcome)),
        },
    };
    let text = without_token(&due.text, &token);
    let call = match known {
        Some(id) => update(&repository, number, id, &mark, &text),
        // Nobody has to hear of the end of what was never told.
        None if due.saying.is_end => return Ok(Attempt::without_call(Outcome::Done)),
        None => create(&repository, number, &mark, &text),
    };
    let (outcome, answer) = ask(world, (due.forge, Asked::Comment), &call, &token).await;
    let status = answer.as_ref().map(|answer| answer.status);
    if known.is_some() && matches!(status, Some(404 | 410)) {
        // Somebody has deleted it: the next attempt makes another one. A token that may not see it fails there.
        let reason = "the comment is not there any more".to_owned();
        return Ok(Attempt { outcome: Outcome::Later { pause: None, reason }, id: None, is_gone: true });
    }
    let id = known.or_else(|| made(&answer?.body));
    Ok(Attempt { outcome, id, is_gone: false })
}

/// Looks for the comment with the mark, page by page.
async fn search(
    world: &World,
    due: &Due,
    repository: &Repository,
    mark: &str,
    token: &Secret,
) -> Result<Option<CommentId>, Outcome> {
    for page in 1..=PAGES_MAX {
        let call = list(repository, due.row.number, page);
        let answer = match ask(world, (due.forge, Asked::Comment), &call, token).await {
            (Outcome::Done, Some(answer)) => answer,
            (outcome, _) => return Err(outcome),
        };
        let page = find(due.forge, &answer.body, mark)
            .map_err(|error| Outcome::Refused { reason: error.to_string() })?;
        if page.found.is_some() || !page.has_more {
            return Ok(page.found);
        }
    }
    Ok(None)
}

/// No text that is told holds the token it is told with.
fn without_token(text: &str, token: &Secret) -> String {
    match token.expose_text().filter(|token| !token.is_empty()) {
        Some(token) => text.replace(token, "[token]"),
        None => text.to_owned(),
    }
}
