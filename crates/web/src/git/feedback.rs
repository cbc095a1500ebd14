//! What a person who pushes is told: which pipelines follow or why none does, each step of theirs, and how they end.
//! Pipelines go on when nobody listens. Tests: `tests/it/git.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use havre_core::build::{Build, State as BuildState};
use havre_core::event::Actor;
use havre_core::id::{BuildId, PipelineId, ReleaseId};
use havre_core::name::ProjectName;
use havre_core::pipeline::push::Verdict;
use havre_core::pipeline::{Pipeline, Stage, State};
use havre_core::release::event::Event as ReleaseEvent;
use havre_store::{StoreError, View};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::git::gateway::Pushed;
use crate::state::AppState;

/// How often rows are looked at: people cannot read faster.
const LOOK: Duration = Duration::from_millis(200);
/// Longest wait for what was decided about a push.
const DECISION_MAX: Duration = Duration::from_secs(60);
/// Longest time a push is told about; the pipeline goes on.
const TELL_MAX: Duration = Duration::from_secs(3600);

/// Nobody listens any more.
struct Gone;

/// Notes what was pushed, then tells what follows until everything has ended.
pub(super) async fn tell(
    state: &AppState,
    actor: Actor,
    project: &ProjectName,
    pushed: Vec<Pushed>,
    say: mpsc::Sender<String>,
) {
    let (name, noted) = (project.clone(), pushed.clone());
    let written = state.store.write(state.now(), actor, move |tx| {
        for Pushed { reference, commit } in &noted {
            tx.note_push(&name, reference, commit.as_ref())?;
        }
        Ok(())
    });
    if let Err(error) = written.await {
        tracing::error!(
            error = crate::error::chain(&error),
            "could not note a push; it is found within minutes"
        );
        let _ = say
            .send("the push is safe, but could not be noted now; it is looked at within minutes".to_owned())
            .await;
        return;
    }
    let mut started = Vec::new();
    for pushed in pushed {
        if let Ok(Some(found)) = decision(state, project, &pushed, &say).await {
            started.extend(found);
        }
    }
    // Whether somebody listens to the end makes no difference to the pipelines.
    let _ = follow(state, started, &say).await;
}

/// Waits for what is decided about one branch; the pipelines that follow.
async fn decision(
    state: &AppState,
    project: &ProjectName,
    pushed: &Pushed,
    say: &mpsc::Sender<String>,
) -> Result<Option<Vec<PipelineId>>, Gone> {
    let Pushed { reference, commit: Some(commit) } = pushed else { return Ok(None) };
    let until = Instant::now() + DECISION_MAX;
    while Instant::now() < until && !state.stop.is_cancelled() {
        let (name, key) = (project.clone(), reference.clone());
        let row = state.store.read(move |view| view.find_ref(&name, &key)).await.ok().flatten();
        match row {
            // Somebody pushed again: that push is told.
            Some(row) if row.commit != *commit => return Ok(None),
            Some(row) => match row.verdict {
                Some(Verdict::Started { pipelines }) => return Ok(Some(pipelines)),
                Some(Verdict::Ignored { reason }) => {
                    send(say, format!("{}: nothing follows: {reason}", short(reference.as_str()))).await?;
                    return Ok(None);
                }
                None => {}
            },
            None => return Ok(None),
        }
        wait(say).await?;
    }
    send(say, "not looked at yet; see `havre ci status`".to_owned()).await?;
    Ok(None)
}

/// Tells every step of these pipelines until all have ended.
async fn follow(
    state: &AppState,
    pipelines: Vec<PipelineId>,
    say: &mpsc::Sender<String>,
) -> Result<(), Gone> {
    let mut told = Told::default();
    let until = Instant::now() + TELL_MAX;
    let mut open = pipelines;
    while !open.is_empty() {
        if Instant::now() > until || state.stop.is_cancelled() {
            return send(say, "it goes on; see `havre ci status`".to_owned()).await;
        }
        let mut still = Vec::new();
        for id in open {
            let Ok(seen) = state.store.read(move |view| Seen::read(view, id)).await else { continue };
            for line in told.news(&seen) {
                send(say, line).await?;
            }
            if !seen.pipeline.state.is_final() {
                still.push(id);
            }
        }
        open = still;
        if !open.is_empty() {
            wait(say).await?;
        }
    }
    Ok(())
}

async fn send(say: &mpsc::Sender<String>, line: String) -> Result<(), Gone> {
    say.send(line).await.map_err(|_| Gone)
}

async fn wait(say: &mpsc::Sender<String>) -> Result<(), Gone> {
    tokio::select! {
        () = tokio::time::sleep(LOOK) => Ok(()),
        () = say.closed() => Err(Gone),
    }
}

fn short(reference: &str) -> &str {
    reference.strip_prefix("refs/heads/").or(reference.strip_prefix("refs/tags/")).unwrap_or(reference)
}

/// A pipeline and its parts at one moment.
struct Seen {
    pipeline: Pipeline,
    parts: Vec<Part>,
}

/// One test or build of a pipeline.
struct Part {
    build: Build,
    /// State of its deployment, once there is one.
    deployment: Option<&'static str>,
    /// How much larger its release is than the one before, where that is worth a line.
    growth: Option<String>,
}

impl Seen {
    fn read(view: &View<'_>, id: PipelineId) -> Result<Self, StoreError> {
        let pipeline = view.get_pipeline(id)?;
        let mut parts = Vec::new();
        for build in view.list_pipeline_builds(id)? {
            let (mut deployment, mut growth) = (None, None);
            if let BuildState::Succeeded { deployment: id, .. } = &build.state {
                let row = view.get_deployment(*id)?;
                growth = growth_of(view, row.release)?;
                deployment = Some(row.state.name());
            }
            parts.push(Part { build, deployment, growth });
        }
        Ok(Self { pipeline, parts })
    }
}

fn growth_of(view: &View<'_>, release: ReleaseId) -> Result<Option<String>, StoreError> {
    let release = view.get_release(release)?;
    let Some(size) = release.size else { return Ok(None) };
    let before = view.find_measured_before(release.service, release.id)?;
    let event = ReleaseEvent::Measured { release: release.id, bytes: size.as_bytes(), before };
    Ok(event.is_notable().then(|| event.to_string()))
}

/// What was told already, so that each change is told once.
#[derive(Default)]
struct Told {
    pipelines: BTreeMap<PipelineId, &'static str>,
    parts: BTreeMap<BuildId, (&'static str, Option<&'static str>)>,
    grown: BTreeSet<BuildId>,
    /// Pipelines whose untouched services were named.
    untouched: BTreeSet<PipelineId>,
}

impl Told {
    fn news(&mut self, seen: &Seen) -> Vec<String> {
        let mut lines = Vec::new();
        let Pipeline { id, environment, commit, state, .. } = &seen.pipeline;
        let is_new = !self.pipelines.contains_key(id);
        let has_changed = self.pipelines.insert(*id, state.name()) != Some(state.name());
        if is_new {
            lines.push(format!("{id}: {} to {environment}", commit.short()));
        }
        let untouched = &seen.pipeline.untouched;
        if !untouched.is_empty() && self.untouched.insert(*id) {
            lines.extend(
                untouched.iter().map(|one| format!("  {}: left as it is: {}", one.service, one.reason)),
            );
        }
        for Part { build, deployment, growth } in &seen.parts {
            let service = &build.spec.name;
            let now = (build.state.name(), *deployment);
            let before = self.parts.insert(build.id, now);
            if before.map(|(name, _)| name) != Some(now.0) {
                lines.extend(of_build(build));
            }
            if let Some(name) = deployment
                && before.and_then(|(_, name)| name) != Some(*name)
            {
                lines.push(format!("  {service}: {name}"));
            }
            if let Some(growth) = growth
                && self.grown.insert(build.id)
            {
                lines.push(format!("  {service}: {growth}"));
            }
        }
        if has_changed {
            lines.extend(of_end(&seen.pipeline));
        }
        lines
    }
}

fn of_build(build: &Build) -> Vec<String> {
    let (id, service) = (build.id, &build.spec.name);
    let what = if build.is_test() { "test" } else { "build" };
    match &build.state {
        BuildState::Failed { reason, step, last_lines, .. } => {
            let at = if step.is_empty() { String::new() } else { format!(" at {step}") };
            let head = format!("  {service}: {what} {id} failed{at}: {reason}");
            std::iter::once(head).chain(last_lines.iter().map(|line| format!("    {line}"))).collect()
        }
        BuildState::Passed { .. } => vec![format!("  {service}: test {id} passed")],
        BuildState::Succeeded { .. } => Vec::new(),
        other => vec![format!("  {service}: {what} {id} is {}", other.name())],
    }
}

fn of_end(pipeline: &Pipeline) -> Vec<String> {
    let Pipeline { id, environment, state, stages, .. } = pipeline;
    let line = match state {
        State::Succeeded { .. } if !stages.iter().any(|one| one.stage == Stage::Deploy) => {
            format!("{id}: succeeded, there was nothing to do")
        }
        State::Succeeded { .. } => format!("{id}: succeeded, {environment} has it"),
        State::Failed { stage, reason, .. } => format!("{id}: FAILED ({}): {reason}", stage.name()),
        State::Cancelled { .. } => format!("{id}: was cancelled"),
        State::Superseded { by, .. } => format!("{id}: gave way to the newer push {by}"),
        State::Queued
        | State::CheckingOut { .. }
        | State::Testing { .. }
        | State::Building { .. }
        | State::Deploying { .. } => return Vec::new(),
    };
    vec![line]
}
