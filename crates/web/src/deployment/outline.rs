//! What a deployment is going to do, in sentences. The loops plan each step again from what they see; this says
//! what to expect. Tests: golden plans in `tests/it/deployment.rs`.

use havre_core::deployment::Kind;
use havre_core::deployment::plan::replicas_after;
use havre_core::release::Release;
use havre_core::service::Service;
use havre_core::service::spec::{ServiceSpec, Strategy, TaskWork};

/// The steps, in order.
pub(super) fn steps(
    service: &Service,
    live: Option<&Release>,
    spec: &ServiceSpec,
    kind: Kind,
) -> Vec<String> {
    let Some(work) = spec.tasks() else {
        return vec![
            "make sure the files are there".to_owned(),
            "switch all routes to them at once".to_owned(),
            "see the new release through the public listener".to_owned(),
        ];
    };
    let replicas = replicas(service, live, spec, kind);
    let mut steps = vec!["make sure the image, networks and volumes are there".to_owned()];
    if let Some(command) = work.release_command.as_ref().filter(|_| kind == Kind::Deploy) {
        steps.push(format!(
            "run the release command once, at most {}: {}",
            work.release_timeout,
            command.words().join(" ")
        ));
    }
    let is_recreate = spec.strategy() == Strategy::Recreate
        || live.is_some_and(|live| live.spec.strategy() == Strategy::Recreate);
    if is_recreate && live.is_some() {
        steps.push(format!(
            "drain and stop the old task first, because a volume has one writer: a short interruption of at most {} \
             and the start",
            work.drain
        ));
    }
    steps.push(start(work, replicas, is_recreate));
    if !work.checks.is_empty() && work.port.is_some() {
        let paths: Vec<&str> = work.checks.iter().map(|check| check.path.as_str()).collect();
        steps.push(format!("run the checks before any user sees it: {}", paths.join(", ")));
    }
    if !spec.routes.is_empty() {
        steps
            .push("switch all routes at once and see the new release through the public listener".to_owned());
        if work.bake.as_millis() > 0 {
            steps.push(format!("watch its errors for {} and switch back if they are worse", work.bake));
        }
    }
    if live.is_some() && !is_recreate {
        steps.push(format!(
            "let the old tasks finish what is in flight for at most {}, then stop them",
            work.drain
        ));
    }
    steps
}

fn replicas(service: &Service, live: Option<&Release>, spec: &ServiceSpec, kind: Kind) -> u32 {
    // Only the specification of the release counts there; a release that is not recorded yet has no row to give.
    let specified = spec.replicas();
    match live {
        Some(live) => {
            let next = Release { spec: spec.clone(), ..live.clone() };
            replicas_after(service, Some(live), &next, kind)
        }
        None => specified,
    }
}

fn start(work: &TaskWork, replicas: u32, is_recreate: bool) -> String {
    let tasks = if replicas == 1 { "1 task".to_owned() } else { format!("{replicas} tasks") };
    let beside = if is_recreate { "" } else { " beside the old ones" };
    let healthy = match work.port {
        Some(_) => format!("until GET {} answers 2xx or 3xx", work.health.path.as_str()),
        None => "until they run".to_owned(),
    };
    format!("start {tasks}{beside} and wait at most {} {healthy}", work.start_timeout)
}
