//! Laws over whole histories: control comes and goes, clocks jump, runs take their time, and still no two runs of a job are
//! open at once, no instant runs twice, and no run has two tasks.

use std::collections::BTreeSet;

use havre_core::id::{JobRunId, ReleaseId};
use havre_core::job::spec::JobSpec;
use havre_core::job::state::State;
use havre_core::job::{Cursor, JobRun};
use havre_core::task::{EngineState, Healthcheck};
use havre_core::time::Timestamp;
use havre_decide::job::check::{check_run, check_schedule};
use havre_decide::job::plan::{CLOCK_STEP, Next, RunSeen, Seen, Step, plan_run, plan_schedule};
use proptest::prelude::*;
use serde_json::json;

use super::{job, run};

/// What may happen to the world.
#[derive(Debug, Clone)]
enum Happening {
    /// So many seconds go by; the loop looks at the end.
    Wait(u32),
    /// The clock is set back by so many seconds.
    Back(u32),
    /// The task that runs ends.
    Ends(i64),
    /// Somebody removes the task.
    Removed,
    /// Somebody cancels the open run.
    Cancel,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (1_u32..7200).prop_map(Happening::Wait),
        1 => (200_000_u32..300_000).prop_map(Happening::Wait),
        1 => (1_u32..3600).prop_map(Happening::Back),
        4 => prop_oneof![Just(0_i64), Just(1)].prop_map(Happening::Ends),
        1 => Just(Happening::Removed),
        1 => Just(Happening::Cancel),
    ]
}

/// Rows and engine of one job.
struct Sim {
    spec: JobSpec,
    now: i64,
    cursor: Option<Cursor>,
    runs: Vec<JobRun>,
    planned: BTreeSet<Timestamp>,
    /// The latest the clock has ever shown, and whether it was then set back by more than is waited for.
    latest: i64,
    was_wrong: bool,
    /// Run, attempt and state of the one task there may be.
    task: Option<(JobRunId, u32, EngineState)>,
    started: BTreeSet<(JobRunId, u32)>,
}

impl Sim {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn open(&self) -> Option<usize> {
        self.runs.iter().position(|run| !run.state.is_final())
    }

    /// One round of the loop, as `reconcile` does it.
    fn round(&mut self) {
        let now = self.now();
        let open = self.open().map(|index| self.runs[index].id);
        let seen = Seen { spec: self.spec.clone(), cursor: self.cursor.clone(), open };
        let plan = plan_schedule(&seen, now);
        assert_eq!(check_schedule(&plan, &seen, now), []);
        self.latest = self.latest.max(self.now);
        self.was_wrong |= now.after(CLOCK_STEP.duration()) < Timestamp::from_millis(self.latest);
        if let Some(planned) = plan.run {
            let is_new = self.planned.insert(planned.planned_at);
            assert!(is_new || self.was_wrong, "{} twice", planned.planned_at);
            let state = match planned.skip {
                Some(reason) => State::Skipped { at: now, reason },
                None => State::Waiting { not_before: planned.planned_at, after: None },
            };
            let id = JobRunId::new(i64::try_from(self.runs.len()).unwrap() + 1);
            // One row for each instant, as the store has it.
            if is_new {
                self.runs.push(JobRun { id, planned_at: planned.planned_at, ..run(0, state) });
            }
        }
        self.cursor = plan.cursor.or(self.cursor.take());
        assert!(self.runs.iter().filter(|run| !run.state.is_final()).count() <= 1, "{:?}", self.runs);
        self.advance();
        // What no run wants any more goes.
        let wanted = self.open().map(|index| &self.runs[index]).filter(|run| run.state.has_task());
        let wanted = wanted.map(|run| (run.id, run.attempt));
        if self.task.as_ref().is_some_and(|(run, attempt, _)| Some((*run, *attempt)) != wanted) {
            self.task = None;
        }
    }

    fn advance(&mut self) {
        for _ in 0..10 {
            let Some(index) = self.open() else { return };
            let before = self.runs[index].clone();
            let mine = |task: &&(JobRunId, u32, EngineState)| (task.0, task.1) == (before.id, before.attempt);
            let found = self.task.as_ref().filter(mine);
            let seen = RunSeen {
                spec: Some(self.spec.clone()),
                live: Some(ReleaseId::new(1)),
                is_destroyed: false,
                task: found.map_or(EngineState::Absent, |task| task.2.clone()),
                has_leftover: self.task.is_some() && (found.is_none() || !before.state.has_task()),
                run: before,
            };
            let plan = plan_run(&seen, self.now());
            assert_eq!(check_run(&plan, &seen), []);
            for step in &plan.steps {
                self.execute(*step, &seen.run);
            }
            let run = &mut self.runs[index];
            match plan.next {
                Some(Next::Attempt { release }) => {
                    run.attempt += 1;
                    run.release = release;
                    run.state = State::Starting { since: Timestamp::from_millis(self.now) };
                    assert!(run.attempt <= self.spec.retries + 1);
                }
                Some(Next::State(state)) => run.state = state,
                None if plan.steps.is_empty() => return,
                None => {}
            }
        }
        panic!("a run does not come to rest: {:?}", self.runs.last());
    }

    fn execute(&mut self, step: Step, run: &JobRun) {
        match step {
            Step::StartTask => {
                assert!(self.task.is_none(), "two tasks at once");
                assert!(self.started.insert((run.id, run.attempt)), "an attempt has one task");
                let running = EngineState::Running { healthcheck: Healthcheck::None };
                self.task = Some((run.id, run.attempt, running));
            }
            Step::StopTask => self.end(143),
            Step::KeepLog => {}
        }
    }

    fn end(&mut self, code: i64) {
        if let Some((_, _, state @ EngineState::Running { .. })) = &mut self.task {
            *state = EngineState::Exited { code, out_of_memory: false };
        }
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Wait(seconds) => self.now += i64::from(*seconds) * 1000,
            Happening::Back(seconds) => self.now -= i64::from(*seconds) * 1000,
            Happening::Ends(code) => self.end(*code),
            Happening::Removed => self.task = None,
            Happening::Cancel => {
                if let Some(index) = self.open() {
                    self.runs[index].cancel_requested = true;
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_overlaps_and_nothing_runs_twice(
        happenings in proptest::collection::vec(happening(), 1..60),
        schedule in prop::sample::select(vec!["* * * * *", "*/15 * * * *", "30 2 * * *", "0 3 * * 0"]),
        zone in prop::sample::select(vec!["UTC", "Europe/Paris"]),
        missed in prop::sample::select(vec!["run_once", "skip"]),
        retries in 0_u32..3,
        // Both nights on which clocks in Paris are set lie within a few days.
        start in prop::sample::select(vec![1_743_200_000_000_i64, 1_761_350_000_000]),
    ) {
        let spec = job(json!({
            "schedule": schedule, "timezone": zone, "missed": missed, "retries": retries, "timeout": "30m",
        }));
        let mut sim = Sim {
            spec,
            now: start,
            cursor: None,
            runs: Vec::new(),
            planned: BTreeSet::new(),
            latest: start,
            was_wrong: false,
            task: None,
            started: BTreeSet::new(),
        };
        sim.round();
        for happening in &happenings {
            sim.happen(happening);
            sim.round();
        }
        // Whatever happened: given time, every run ends.
        for _ in 0..20 {
            sim.now += 3_600_000;
            sim.round();
            sim.end(0);
            sim.round();
        }
        prop_assert!(sim.runs.iter().rev().skip(1).all(|run| run.state.is_final()), "{:?}", sim.runs);
    }
}
