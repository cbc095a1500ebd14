//! Which instants of a schedule get a run.

use havre_core::id::JobRunId;
use havre_core::job::Cursor;
use havre_core::job::spec::JobSpec;
use havre_core::job::state::SkipReason;
use havre_core::time::Timestamp;
use havre_decide::job::plan::{Planned, SchedulePlan, Seen, plan_schedule};
use serde_json::json;

use super::{at, job};

fn cursor(spec: &JobSpec, until: Timestamp) -> Option<Cursor> {
    Some(Cursor { timing: spec.timing().unwrap(), until })
}

/// What is recorded for a schedule that has been dealt with up to `until`.
fn planned(spec: &JobSpec, until: Timestamp, open: Option<JobRunId>, now: Timestamp) -> Option<Planned> {
    let seen = Seen { spec: spec.clone(), cursor: cursor(spec, until), open };
    let plan = plan_schedule(&seen, now);
    assert_eq!(plan.cursor, plan.run.as_ref().and(cursor(spec, now)), "what is recorded has been dealt with");
    plan.run
}

fn starts(clock: &str, missed: u32) -> Option<Planned> {
    Some(Planned { planned_at: at(clock), missed, skip: None })
}

#[test]
fn an_instant_that_has_come_gets_a_run() {
    let spec = job(json!({ "schedule": "0 3 * * *" }));
    let until = at("02:00:00");
    assert_eq!(planned(&spec, until, None, at("02:59:59.999")), None);
    assert_eq!(planned(&spec, until, None, at("03:00:00")), starts("03:00:00", 0));
    assert_eq!(planned(&spec, at("03:00:00"), None, at("03:00:00.100")), None, "it has had its run");
}

#[test]
fn a_schedule_that_is_new_has_missed_nothing() {
    let spec = job(json!({ "schedule": "* * * * *" }));
    let now = at("10:00:30");
    let other = job(json!({ "schedule": "* * * * *", "timezone": "Europe/Paris" }));
    for before in [None, cursor(&other, at("09:00:00"))] {
        let plan = plan_schedule(&Seen { spec: spec.clone(), cursor: before, open: None }, now);
        assert_eq!(plan, SchedulePlan { cursor: cursor(&spec, now), run: None });
    }
    let by_hand = job(json!({}));
    let plan = plan_schedule(&Seen { spec: by_hand, cursor: None, open: None }, now);
    assert!(plan.is_empty(), "without a schedule there is nothing to deal with");
}

#[test]
fn runs_of_one_job_never_overlap() {
    let spec = job(json!({ "schedule": "* * * * *" }));
    let open = JobRunId::new(7);
    let skip = Some(SkipReason::Overlap { run: open });
    let expected = Some(Planned { planned_at: at("10:01:00"), missed: 0, skip });
    assert_eq!(planned(&spec, at("10:00:00"), Some(open), at("10:01:02")), expected);
}

#[test]
fn what_went_by_meanwhile_becomes_one_run_or_none() {
    let once = job(json!({ "schedule": "0 * * * *" }));
    assert_eq!(planned(&once, at("02:30:00"), None, at("10:30:00")), starts("10:00:00", 7));
    let skip = job(json!({ "schedule": "0 * * * *", "missed": "skip" }));
    let expected = Some(Planned { planned_at: at("10:00:00"), missed: 7, skip: Some(SkipReason::Missed) });
    assert_eq!(planned(&skip, at("02:30:00"), None, at("10:30:00")), expected);
    // A few minutes are a restart; nobody would call that missed.
    assert_eq!(planned(&skip, at("02:30:00"), None, at("10:05:00")), starts("10:00:00", 7));
    assert_eq!(planned(&once, at("09:59:00"), None, at("10:05:00.001")), starts("10:00:00", 0));
}

#[test]
fn a_long_outage_is_counted_without_a_long_search() {
    let spec = job(json!({ "schedule": "* * * * *" }));
    let year_before = Timestamp::parse("2025-11-24T10:00:00Z").unwrap();
    let Some(Planned { planned_at, missed, skip: None }) = planned(&spec, year_before, None, at("10:00:30"))
    else {
        panic!("one run stands for all of them");
    };
    assert_eq!(planned_at, at("10:00:00"), "the newest one");
    assert!((1000..3000).contains(&missed), "{missed}");
}

#[test]
fn a_clock_that_jumps_back_runs_nothing_twice() {
    let spec = job(json!({ "schedule": "*/10 * * * *" }));
    // It had been 10:20, and everything up to then has had its run.
    let until = at("10:20:00");
    for clock in ["09:20:00", "10:00:00", "10:10:00", "10:20:00"] {
        assert_eq!(planned(&spec, until, None, at(clock)), None, "{clock}");
    }
    assert_eq!(planned(&spec, until, None, at("10:30:00")), starts("10:30:00", 0));
    // A clock that had been hours ahead was wrong: the schedule begins again from now.
    let seen = Seen { spec: spec.clone(), cursor: cursor(&spec, at("20:00:00")), open: None };
    let plan = plan_schedule(&seen, at("10:15:00"));
    assert_eq!(plan, SchedulePlan { cursor: cursor(&spec, at("10:15:00")), run: None });
}
