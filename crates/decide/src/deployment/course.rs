//! Which states a deployment passes on its way to `succeeded`, when nothing goes wrong. The plan asks it one state after the
//! other, the outline all at once, so that what is announced is what comes. Tests: `tests/it/deployment.rs`.

use havre_core::deployment::Kind;
use havre_core::quantity::Span;
use havre_core::service::spec::{Argv, CanarySpec, CheckSpec, ServiceSpec, Strategy, TaskWork};

/// What decides it.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// Specification of the release that shall be live.
    pub spec: &'a ServiceSpec,
    /// That of the release that is.
    pub live: Option<&'a ServiceSpec>,
    /// Why it is deployed.
    pub kind: Kind,
    /// Whether old tasks go first.
    pub strategy: Strategy,
}

impl<'a> Course<'a> {
    /// The release command that runs: migrations run forwards only.
    pub fn command(&self) -> Option<&'a Argv> {
        self.work()?.release_command.as_ref().filter(|_| self.kind == Kind::Deploy)
    }

    /// The user's own checks; the edge asks them, so they need a port.
    pub fn checks(&self) -> &'a [CheckSpec] {
        match self.work() {
            Some(work) if work.port.is_some() => &work.checks,
            _ => &[],
        }
    }

    /// The share of the clients that gets it first: of something new, beside tasks that serve users now.
    pub fn canary(&self) -> Option<&'a CanarySpec> {
        let is_beside = self.live?.tasks().is_some() && self.strategy != Strategy::Recreate;
        let is_new = self.kind == Kind::Deploy && !self.spec.routes.is_empty();
        self.work()?.canary.as_ref().filter(|_| is_beside && is_new)
    }

    /// How long its errors are watched after the switch.
    pub fn bake(&self) -> Option<Span> {
        let bake = self.work()?.bake;
        (bake.as_millis() > 0 && !self.spec.routes.is_empty()).then_some(bake)
    }

    fn work(&self) -> Option<&'a TaskWork> {
        self.spec.tasks()
    }
}
