//! Jobs: which instants of a schedule get a run, what a run needs next, and laws over whole histories.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod laws;
mod plan;
mod run;

use havre_core::id::{JobRunId, ReleaseId, ServiceId};
use havre_core::job::spec::JobSpec;
use havre_core::job::state::State;
use havre_core::job::{JobRun, Trigger};
use havre_core::time::Timestamp;

/// A job, with what these keys say.
fn job(keys: serde_json::Value) -> JobSpec {
    let mut spec = serde_json::json!({
        "command": ["cleanup"], "timeout": "1h", "retries": 0, "missed": "run_once", "keep": 20,
    });
    for (key, value) in keys.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

/// An instant of 2026-11-24.
fn at(clock: &str) -> Timestamp {
    Timestamp::parse(&format!("2026-11-24T{clock}Z")).unwrap()
}

fn run(attempt: u32, state: State) -> JobRun {
    JobRun {
        id: JobRunId::new(3),
        service: ServiceId::new(1),
        job: "cleanup".parse().unwrap(),
        release: ReleaseId::new(1),
        trigger: Trigger::Schedule,
        planned_at: at("03:00:00"),
        missed: 0,
        attempt,
        started_at: None,
        state,
        cancel_requested: false,
        created_at: at("03:00:00"),
    }
}
