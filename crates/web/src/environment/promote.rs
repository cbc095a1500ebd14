//! `POST /v1/projects/{project}/environments/{environment}/promote`: the environment gets what another one runs, by digest and
//! with its own configuration. What is promoted and what is left out is decided in `havre_core::release::promotion`; here rows
//! are gathered for it, and releases and deployments of all services are recorded in one transaction.
//! Tests: `tests/it/promotion.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::error::ErrorBody;
use havre_api::promotion::{PromoteRequest, PromoteResponse, Promoted, Skipped};
use havre_core::artifact::Artifact;
use havre_core::deployment::{Kind, state::State as DeploymentState};
use havre_core::id::DeploymentId;
use havre_core::release::Release;
use havre_core::release::promotion::{Candidate, PromotedFrom, Source, Target, Verdict, judge};
use havre_core::service::{Place, Service};
use havre_store::{NewRelease, StoreError, Tx, View};
use http::StatusCode;

use crate::access::gate::Caller;
use crate::error::{Code, Refusal};
use crate::extract::{EnvironmentPath, Input};
use crate::state::AppState;
use crate::{deployment, lookup, transaction};

/// A service that gets another artifact.
struct Chosen {
    target: Service,
    source: Release,
    before: Option<Artifact>,
}

/// What becomes of every service.
#[derive(Default)]
struct Choice {
    chosen: Vec<Chosen>,
    skipped: Vec<Skipped>,
    warnings: Vec<String>,
}

/// Deploy what another environment of the project runs: the same artifacts, with the configuration of this one.
#[utoipa::path(post, path = "/v1/projects/{project}/environments/{environment}/promote", tag = "environment",
    operation_id = "promote_environment",
    params(("project" = String, Path, example = "dropit"), ("environment" = String, Path, example = "production")),
    request_body = PromoteRequest,
    responses(
        (status = 202, body = PromoteResponse),
        (status = 200, body = PromoteResponse, description = "A dry run"),
        (status = 400, body = ErrorBody, description = "`body_invalid`: both are the same environment"),
        (status = 404, body = ErrorBody, description = "`environment_not_found` or `service_not_found`"),
        (status = 409, body = ErrorBody, description = "`nothing_to_promote`"),
    ))]
pub(crate) async fn promote(
    State(state): State<AppState>,
    Caller(actor): Caller,
    path: EnvironmentPath,
    Input(request): Input<PromoteRequest>,
) -> Result<(StatusCode, Json<PromoteResponse>), Refusal> {
    if request.from == path.environment {
        let message = format!("{} cannot be promoted to itself", request.from);
        return Err(Refusal::new(Code::BodyInvalid, message).hint("name two environments"));
    }
    if request.dry_run {
        let answer = transaction::read(&state, move |view| {
            let choice = choose(view, &path, &request)?;
            let promoted = choice.chosen.into_iter().map(|chosen| wire(chosen, None)).collect();
            Ok(answer(path, request, promoted, (choice.skipped, choice.warnings)))
        });
        return Ok((StatusCode::OK, Json(answer.await?)));
    }
    let answer = transaction::write(&state, actor, move |tx| record(tx, path, request));
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}

/// Records releases and deployments of everything that is chosen.
fn record(
    tx: &mut Tx<'_>,
    path: EnvironmentPath,
    request: PromoteRequest,
) -> Result<PromoteResponse, Refusal> {
    let Choice { chosen, skipped, warnings } = choose(tx, &path, &request)?;
    if chosen.is_empty() {
        return Err(nothing(&path, &request, &skipped));
    }
    let mut promoted = Vec::new();
    for one in chosen {
        let from = PromotedFrom { environment: request.from.clone(), release: one.source.id };
        let new = NewRelease {
            service: one.target.id,
            artifact: one.source.artifact.clone(),
            spec: one.target.spec.clone(),
            revision: one.target.revision,
            // A build belongs to one service; what made the artifact is told by the release it comes from.
            build: None,
            commit: one.source.commit.clone(),
        };
        let release = tx.create_promotion(new, from)?;
        let row = tx.create_deployment(one.target.id, release.id, Kind::Deploy)?;
        let row = deployment::wire(tx, row, one.target.place.clone())?;
        promoted.push(wire(one, Some(row)));
    }
    Ok(answer(path, request, promoted, (skipped, warnings)))
}

fn wire(chosen: Chosen, deployment: Option<havre_api::deployment::Deployment>) -> Promoted {
    let Chosen { target, source, before } = chosen;
    Promoted {
        service: target.place.service,
        source: source.id,
        commit: source.commit,
        before,
        artifact: source.artifact,
        release: deployment.as_ref().map(|deployment| deployment.release),
        deployment,
    }
}

fn answer(
    path: EnvironmentPath,
    request: PromoteRequest,
    promoted: Vec<Promoted>,
    (skipped, warnings): (Vec<Skipped>, Vec<String>),
) -> PromoteResponse {
    let (dry_run, from, to) = (request.dry_run, request.from, path.environment);
    PromoteResponse { dry_run, from, to, promoted, skipped, warnings }
}

fn nothing(path: &EnvironmentPath, request: &PromoteRequest, skipped: &[Skipped]) -> Refusal {
    let why: Vec<String> = skipped.iter().map(|one| format!("{}: {}", one.service, one.text)).collect();
    let why = if why.is_empty() { "there are no services".to_owned() } else { why.join("; ") };
    let message = format!("there is nothing to promote from {} to {}: {why}", request.from, path.environment);
    Refusal::new(Code::NothingToPromote, message)
        .hint("`havre releases` shows what each environment runs")
        .details(serde_json::json!({ "skipped": skipped }))
}

/// Gathers what both environments have, and has it judged.
fn choose(view: &View<'_>, path: &EnvironmentPath, request: &PromoteRequest) -> Result<Choice, Refusal> {
    let from = lookup::environment(view, &path.project, &request.from)?;
    let to = lookup::environment(view, &path.project, &path.environment)?;
    for service in &request.services {
        let (project, environment) = (path.project.clone(), request.from.clone());
        lookup::service(view, &Place { project, environment, service: service.clone() })?;
    }
    let mut names = std::collections::BTreeMap::new();
    for service in view.list_environment_services(from.id)? {
        let name = service.place.service.clone();
        names.entry(name).or_insert((None, None)).0 = Some(service);
    }
    for service in view.list_environment_services(to.id)? {
        let name = service.place.service.clone();
        names.entry(name).or_insert((None, None)).1 = Some(service);
    }
    let mut choice = Choice::default();
    for (name, (source, target)) in names {
        let is_named = request.services.contains(&name);
        if is_named || request.services.is_empty() {
            choose_one(view, request, path, (is_named, source, target), &mut choice)?;
        }
    }
    Ok(choice)
}

/// One name: whether it was asked for, and the services of the two environments that have it.
type Pair = (bool, Option<Service>, Option<Service>);

fn choose_one(
    view: &View<'_>,
    request: &PromoteRequest,
    path: &EnvironmentPath,
    (is_named, source, target): Pair,
    choice: &mut Choice,
) -> Result<(), Refusal> {
    let Some(name) = source.as_ref().or(target.as_ref()).map(|service| service.place.service.clone()) else {
        return Ok(());
    };
    let found = match &source {
        Some(source) => view.find_succeeded_release(source.id)?,
        None => None,
    };
    let is_removed = match (&source, &found) {
        (Some(source), Some(found)) => view.removed_releases(source.id)?.contains(&found.id),
        _ => false,
    };
    let runs = match &target {
        Some(target) => runs(view, target)?,
        None => Runs::default(),
    };
    let candidate = Candidate {
        is_named,
        from: source
            .as_ref()
            .map(|_| Source { artifact: found.as_ref().map(|found| &found.artifact), is_removed }),
        to: target.as_ref().map(|target| Target {
            spec: &target.spec,
            live: runs.live.as_ref(),
            under_way: runs.under_way.as_ref().map(|(id, artifact)| (*id, artifact)),
            is_destroyed: target.destroyed_at.is_some(),
        }),
    };
    match (judge(&candidate), source, target, found) {
        (Verdict::Promote, Some(source), Some(target), Some(found)) => {
            if let Some(open) = view.open_deployments(source.id)?.last() {
                choice.warnings.push(format!(
                    "{name}: {} of {} is under way in {}; {} is promoted, the last that succeeded",
                    open.id, open.release, request.from, found.id
                ));
            }
            choice.chosen.push(Chosen { target, source: found, before: runs.live });
        }
        (Verdict::Skip(reason), ..) => {
            let text = reason.text(&request.from, &path.environment);
            choice.skipped.push(Skipped { service: name, reason, text });
        }
        // Nothing is promoted that is not there.
        (Verdict::Promote, ..) => {}
    }
    Ok(())
}

/// What a service runs, and what it is going to.
#[derive(Default)]
struct Runs {
    live: Option<Artifact>,
    /// The newest deployment that is not on its way back.
    under_way: Option<(DeploymentId, Artifact)>,
}

fn runs(view: &View<'_>, service: &Service) -> Result<Runs, StoreError> {
    let mut runs = Runs::default();
    if let Some(live) = service.live {
        runs.live = Some(view.get_release(live)?.artifact);
    }
    for row in view.open_deployments(service.id)? {
        if !row.cancel_requested && !matches!(row.state, DeploymentState::Reverting { .. }) {
            runs.under_way = Some((row.id, view.get_release(row.release)?.artifact));
        }
    }
    Ok(runs)
}
