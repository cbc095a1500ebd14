//! What every request for a deployment comes down to: a release, a kind, and an outline of what will happen.
//! Tests: `tests/it/deployment.rs`.

use axum::Json;
use havre_api::deployment::{DeploymentAccepted, DeploymentPlan, Source};
use havre_core::artifact::Artifact;
use havre_core::deployment::Kind;
use havre_core::event::Actor;
use havre_core::id::ReleaseId;
use havre_core::release::Release;
use havre_core::service::spec::{ServiceSpec, Work};
use havre_core::service::{Place, Service};
use havre_decide::deployment::outline::outline;
use havre_store::{NewRelease, Tx, View};
use http::StatusCode;

use crate::deployment::{succeeded_releases, wire};
use crate::error::{Code, Refusal};
use crate::state::AppState;
use crate::{lookup, transaction};

/// What is asked for.
pub(crate) enum Wanted {
    /// As `POST .../deployments` says.
    Source(Source),
    /// An earlier release; `None` for the last one that succeeded before the live one.
    Earlier(Option<ReleaseId>),
}

/// What it comes down to.
struct Target {
    release: ReleaseTarget,
    kind: Kind,
    warnings: Vec<String>,
}

enum ReleaseTarget {
    Existing(Box<Release>),
    /// The live artifact with today's configuration.
    New(Box<NewRelease>),
}

impl ReleaseTarget {
    fn spec(&self) -> &ServiceSpec {
        match self {
            Self::Existing(release) => &release.spec,
            Self::New(new) => &new.spec,
        }
    }
}

/// Answers a request for a deployment.
pub(crate) async fn handle(
    state: &AppState,
    actor: Actor,
    place: Place,
    wanted: Wanted,
    dry_run: bool,
) -> Result<(StatusCode, Json<DeploymentAccepted>), Refusal> {
    if dry_run {
        let plan = transaction::read(state, move |view| {
            let service = lookup::usable_service(view, &place)?;
            let target = resolve(view, &service, wanted)?;
            describe(view, &service, &target)
        });
        return Ok((StatusCode::OK, Json(DeploymentAccepted { deployment: None, plan: plan.await? })));
    }
    let accepted = transaction::write(state, actor, move |tx| {
        let service = lookup::usable_service(tx, &place)?;
        let target = resolve(tx, &service, wanted)?;
        record(tx, &service, target)
    });
    Ok((StatusCode::ACCEPTED, Json(accepted.await?)))
}

fn record(tx: &mut Tx<'_>, service: &Service, target: Target) -> Result<DeploymentAccepted, Refusal> {
    let mut plan = describe(tx, service, &target)?;
    let release = match target.release {
        ReleaseTarget::Existing(release) => *release,
        ReleaseTarget::New(new) => tx.create_release(*new)?,
    };
    plan.to = Some(release.id);
    let row = tx.create_deployment(service.id, release.id, target.kind)?;
    Ok(DeploymentAccepted { deployment: Some(wire(tx, row, service.place.clone())?), plan })
}

fn describe(view: &View<'_>, service: &Service, target: &Target) -> Result<DeploymentPlan, Refusal> {
    let live = match service.live {
        Some(id) => Some(view.get_release(id)?),
        None => None,
    };
    let mut warnings = target.warnings.clone();
    for route in &target.release.spec().routes {
        if let Some(owner) = view.find_route_owner(route)?.filter(|owner| *owner != service.place) {
            warnings.push(format!("{route} belongs to {owner} today and stays there"));
        }
    }
    let to = match &target.release {
        ReleaseTarget::Existing(release) => Some(release.id),
        ReleaseTarget::New(_) => None,
    };
    let expected = outline(service, live.as_ref(), target.release.spec(), target.kind);
    let steps = expected.into_iter().map(|step| step.text).collect();
    Ok(DeploymentPlan { from: service.live, to, steps, warnings })
}

fn resolve(view: &View<'_>, service: &Service, wanted: Wanted) -> Result<Target, Refusal> {
    match wanted {
        Wanted::Source(Source::Release { release }) => release_target(view, service, release),
        Wanted::Source(Source::Live) => live_target(view, service),
        Wanted::Source(Source::Configuration) => configuration_target(view, service),
        Wanted::Earlier(Some(release)) => earlier_target(view, service, release),
        Wanted::Earlier(None) => {
            let release = last_good(view, service)?;
            earlier_target(view, service, release)
        }
    }
}

fn release_target(view: &View<'_>, service: &Service, id: ReleaseId) -> Result<Target, Refusal> {
    let release = lookup::release(view, service, id)?;
    check_files(view, service, id)?;
    let kind = match service.live {
        Some(live) if live == id => return live_target(view, service),
        // Going back never runs migrations; a newer release that has not been live must.
        Some(live) if id < live => Kind::Rollback,
        _ => Kind::Deploy,
    };
    Ok(Target { release: ReleaseTarget::Existing(Box::new(release)), kind, warnings: Vec::new() })
}

fn live_target(view: &View<'_>, service: &Service) -> Result<Target, Refusal> {
    let release = lookup::live(view, service)?;
    if release.spec.tasks().is_none() {
        let message = format!("{} is a site: it has no tasks to restart", service.place);
        return Err(Refusal::new(Code::NotScalable, message));
    }
    // A copy, because a deployment puts the tasks of one release in the place of those of another.
    let new = NewRelease {
        service: service.id,
        artifact: release.artifact,
        spec: release.spec,
        revision: release.revision,
        build: release.build,
        commit: release.commit,
    };
    Ok(Target { release: ReleaseTarget::New(Box::new(new)), kind: Kind::Restart, warnings: Vec::new() })
}

/// Today's configuration on the artifact that is live; refused where the artifact depends on what changed.
fn configuration_target(view: &View<'_>, service: &Service) -> Result<Target, Refusal> {
    let live = lookup::live(view, service)?;
    if live.spec == service.spec {
        let message = format!("{} already runs today's configuration ({})", service.place, live.id);
        return Err(Refusal::new(Code::AlreadyLive, message).hint("`havre restart` gives it fresh tasks"));
    }
    if !can_reuse(&live, &service.spec) {
        let message = format!(
            "where the artifact of {} comes from has changed, so it must be built again",
            service.place
        );
        return Err(Refusal::new(Code::BuildNeeded, message).hint("deploy it: `havre deploy`"));
    }
    let new = NewRelease {
        service: service.id,
        artifact: live.artifact,
        spec: service.spec.clone(),
        revision: service.revision,
        build: live.build,
        commit: live.commit,
    };
    Ok(Target { release: ReleaseTarget::New(Box::new(new)), kind: Kind::Deploy, warnings: Vec::new() })
}

fn can_reuse(live: &Release, wanted: &ServiceSpec) -> bool {
    match (&live.spec.work, &wanted.work, &live.artifact) {
        (Work::Tasks(live), Work::Tasks(wanted), Artifact::Image { .. }) => live.source == wanted.source,
        (Work::Site(live), Work::Site(wanted), Artifact::Site { .. }) => live.source == wanted.source,
        _ => false,
    }
}

fn earlier_target(view: &View<'_>, service: &Service, id: ReleaseId) -> Result<Target, Refusal> {
    let release = lookup::release(view, service, id)?;
    if service.live == Some(id) {
        return Err(Refusal::new(Code::AlreadyLive, format!("{id} is live already"))
            .hint("`havre releases` lists the others"));
    }
    check_files(view, service, id)?;
    let mut warnings = Vec::new();
    if !succeeded_releases(view, service)?.contains(&id) {
        warnings.push(format!("no deployment of {id} has succeeded so far"));
    }
    Ok(Target { release: ReleaseTarget::Existing(Box::new(release)), kind: Kind::Rollback, warnings })
}

/// Refuses a release whose files or image were removed.
fn check_files(view: &View<'_>, service: &Service, id: ReleaseId) -> Result<(), Refusal> {
    if !view.removed_releases(service.id)?.contains(&id) {
        return Ok(());
    }
    let (what, hint) = match view.get_release(id)?.artifact {
        Artifact::Site { .. } => (
            format!("the files of {id} are"),
            "deploy that commit again; `releases` in havre.toml says how many are kept",
        ),
        Artifact::Image { .. } => (format!("the image of {id} is"), "deploy that commit again"),
    };
    let message = format!("{what} not kept any more: {} keeps those of its newest", service.place);
    Err(Refusal::new(Code::BuildNeeded, message).hint(hint))
}

/// The newest release older than the live one that a deployment has succeeded with.
fn last_good(view: &View<'_>, service: &Service) -> Result<ReleaseId, Refusal> {
    let live = lookup::live(view, service)?;
    let succeeded = succeeded_releases(view, service)?;
    let removed = view.removed_releases(service.id)?;
    for id in succeeded.range(..live.id).rev().filter(|id| !removed.contains(id)) {
        let earlier = view.get_release(*id)?;
        // A restart is a copy; going back to what runs already is not what anybody means. Other values of secrets are a difference.
        let has_other_secrets = view.release_secrets(*id)? != view.release_secrets(live.id)?
            || view.release_values(*id)? != view.release_values(live.id)?;
        if earlier.artifact != live.artifact || earlier.spec != live.spec || has_other_secrets {
            return Ok(*id);
        }
    }
    let message =
        format!("{} has no other release before {} that a deployment succeeded with", service.place, live.id);
    Err(Refusal::new(Code::NothingToRollBackTo, message).hint("name a release: `havre releases` lists them"))
}
