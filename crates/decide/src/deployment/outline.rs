//! What a deployment is going to do, in sentences, before it is asked for. Which states it passes is [`Course`]'s; the loops
//! plan each step again from what they see. Tests: `tests/it/deployment.rs`, golden answers in `web`.

use crate::deployment::course::Course;
use crate::deployment::plan::replicas_after;
use havre_core::deployment::Kind;
use havre_core::release::Release;
use havre_core::service::Service;
use havre_core::service::spec::{ServiceSpec, Strategy, TaskWork};

/// Something that is going to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Name of the state in which it is done.
    pub state: &'static str,
    /// For people.
    pub text: String,
}

fn expect(state: &'static str, text: impl Into<String>) -> Expected {
    Expected { state, text: text.into() }
}

/// Everything, in order.
pub fn outline(service: &Service, live: Option<&Release>, spec: &ServiceSpec, kind: Kind) -> Vec<Expected> {
    let Some(work) = spec.tasks() else {
        return vec![
            expect("preparing", "make sure the files are there"),
            expect("switching", "switch all routes to them at once"),
            expect("switching", "see the new release through the public listener"),
        ];
    };
    let is_recreate = spec.strategy() == Strategy::Recreate
        || live.is_some_and(|live| live.spec.strategy() == Strategy::Recreate);
    let strategy = if is_recreate { Strategy::Recreate } else { Strategy::BlueGreen };
    let course = Course { spec, live: live.map(|live| &live.spec), kind, strategy };
    let mut steps = vec![expect("preparing", "make sure the image, networks and volumes are there")];
    if let Some(command) = course.command() {
        let words = command.words().join(" ");
        let text = format!("run the release command once, at most {}: {words}", work.release_timeout);
        steps.push(expect("migrating", text));
    }
    steps.extend(starting(work, replicas(service, live, spec, kind), live.is_some(), is_recreate));
    if !course.checks().is_empty() {
        let paths: Vec<&str> = course.checks().iter().map(|check| check.path.as_str()).collect();
        let text = format!("run the checks before any user sees it: {}", paths.join(", "));
        steps.push(expect("verifying", text));
    }
    steps.extend(to_users(&course));
    if live.is_some() && !is_recreate {
        let text =
            format!("let the old tasks finish what is in flight for at most {}, then stop them", work.drain);
        steps.push(expect("draining", text));
    }
    steps
}

fn starting(work: &TaskWork, replicas: u32, has_live: bool, is_recreate: bool) -> Vec<Expected> {
    let mut steps = Vec::new();
    if is_recreate && has_live {
        let text = format!(
            "drain and stop the old task first, because a volume has one writer: a short interruption of at most {} \
             and the start",
            work.drain
        );
        steps.push(expect("starting", text));
    }
    let tasks = if replicas == 1 { "1 task".to_owned() } else { format!("{replicas} tasks") };
    let beside = if is_recreate { "" } else { " beside the old ones" };
    let healthy = match work.port {
        Some(_) => format!("until GET {} answers 2xx or 3xx", work.health.path.as_str()),
        None => "until they run".to_owned(),
    };
    let text = format!("start {tasks}{beside} and wait at most {} {healthy}", work.start_timeout);
    steps.push(expect("starting", text));
    steps
}

fn to_users(course: &Course<'_>) -> Vec<Expected> {
    let mut steps = Vec::new();
    if let Some(canary) = course.canary() {
        let text = format!(
            "give it to {} % of the clients for {} and stop there if it answers worse",
            canary.percent, canary.hold
        );
        steps.push(expect("canary", text));
    }
    if !course.spec.routes.is_empty() {
        let text = "switch all routes at once and see the new release through the public listener";
        steps.push(expect("switching", text));
    }
    if let Some(bake) = course.bake() {
        let text = format!("watch its errors for {bake} and switch back if they are worse");
        steps.push(expect("baking", text));
    }
    steps
}

fn replicas(service: &Service, live: Option<&Release>, spec: &ServiceSpec, kind: Kind) -> u32 {
    // Only the specification of the release counts there; a release that is not recorded yet has no row to give.
    match live {
        Some(live) => {
            let next = Release { spec: spec.clone(), ..live.clone() };
            replicas_after(service, Some(live), &next, kind)
        }
        None => spec.replicas(),
    }
}
