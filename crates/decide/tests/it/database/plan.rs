//! What comes next for a database, state by state.

use havre_core::database::RoleState;
use havre_core::database::state::State;
use havre_core::name::ServiceName;
use havre_core::task::EngineState;
use havre_decide::database::check::{Violation, check};
use havre_decide::database::plan::{Health, Plan, Step, not_started, plan};
use serde_json::json;

use super::{RUNNING, at, exited, ready, role, seen, silent, starting};

#[test]
fn it_is_started_until_it_answers() {
    let planned = |task, health| plan(&seen(starting(), task, health), at(5)).to_string();
    assert_eq!(planned(EngineState::Absent, Health::NotAsked), "- start its task\n");
    assert_eq!(planned(EngineState::Created, Health::NotAsked), "- start its task\n");
    assert_eq!(planned(RUNNING, silent()), "… does not answer yet: no response\n");
    assert_eq!(planned(RUNNING, Health::Answers), "→ ready\n");
    assert_eq!(planned(exited(1), Health::NotAsked), "- remove its task\n→ stopped\n");
    let late = plan(&seen(starting(), RUNNING, silent()), at(1800));
    assert_eq!(late.to_string(), "→ stopping\n");
}

#[test]
fn one_that_ends_by_itself_comes_back() {
    let ended = plan(&seen(ready(), exited(137), Health::NotAsked), at(5));
    assert_eq!(ended.to_string(), "- remove its task\n→ stopped\n");
    let lost = plan(&seen(ready(), EngineState::Absent, Health::NotAsked), at(5));
    assert_eq!(lost.to_string(), "→ stopped\n");
    let stopped = |failures: u32| {
        json!({"state": "stopped", "since": at(0), "failures": failures,
            "why": {"code": "exited", "exit": 137, "out_of_memory": false}})
    };
    let planned = |failures, now| {
        plan(&seen(stopped(failures), EngineState::Absent, Health::NotAsked), at(now)).to_string()
    };
    assert_eq!(planned(1, 1), "→ the next task\n");
    assert_eq!(planned(2, 1), "… it ended with code 137; its next task starts at 2025-11-24T10:00:05.000Z\n");
    assert_eq!(planned(99, 59).chars().next(), Some('…'));
    assert_eq!(planned(99, 60), "→ the next task\n");
    assert_eq!(planned(2, -3600), "→ the next task\n", "a clock that jumped back holds nothing up");
}

#[test]
fn a_server_under_load_is_left_alone() {
    assert_eq!(
        plan(&seen(ready(), RUNNING, silent()), at(99_999)).to_string(),
        "… does not answer: no response\n"
    );
}

#[test]
fn a_change_stops_it_before_the_next_task_begins() {
    let mut changed = seen(ready(), RUNNING, Health::Answers);
    changed.database.revision = 2;
    assert_eq!(plan(&changed, at(5)).to_string(), "→ stopping\n");
    let stopping = json!({"state": "stopping", "since": at(5), "why": {"code": "changed"}});
    let planned = |task| plan(&seen(stopping.clone(), task, Health::NotAsked), at(6)).to_string();
    assert_eq!(planned(RUNNING), "- stop its task\n");
    assert_eq!(planned(exited(0)), "- remove its task\n→ stopped\n");
    assert_eq!(planned(EngineState::Absent), "→ stopped\n");
    let stopped = json!({"state": "stopped", "since": at(6), "why": {"code": "changed"}, "failures": 0});
    let next = plan(&seen(stopped, EngineState::Absent, Health::NotAsked), at(6));
    assert_eq!(next.to_string(), "→ the next task\n");
}

#[test]
fn one_whose_name_is_exchanged_stops_and_stays_stopped() {
    let held = |state, task, health| {
        let mut held = seen(state, task, health);
        held.is_held = true;
        plan(&held, at(700)).to_string()
    };
    assert_eq!(held(ready(), RUNNING, Health::Answers), "→ stopping\n");
    assert_eq!(held(starting(), EngineState::Absent, Health::NotAsked), "→ stopping\n");
    let stopped = json!({"state": "stopped", "since": at(6), "why": {"code": "changed"}, "failures": 0});
    assert_eq!(held(stopped, EngineState::Absent, Health::NotAsked), "… waits for its new name\n");
    let failed = json!({"state": "failed", "at": at(1), "reason": {"code": "never_ready", "message": "x"}});
    assert_eq!(held(failed, EngineState::Absent, Health::NotAsked), "… waits for its new name\n");
}

#[test]
fn one_whose_data_is_lost_never_starts_and_may_go() {
    let lost = |state, task, health| {
        let mut lost = seen(state, task, health);
        lost.lost = Some("its data is gone".to_owned());
        lost.users.insert("api".parse().expect("is a name"));
        plan(&lost, at(700)).to_string()
    };
    let stopped = json!({"state": "stopped", "since": at(6), "why": {"code": "lost"}, "failures": 0});
    assert_eq!(lost(stopped, EngineState::Absent, Health::NotAsked), "… its data is gone\n");
    assert_eq!(lost(starting(), EngineState::Absent, Health::NotAsked), "… its data is gone\n");
    assert_eq!(lost(ready(), RUNNING, Health::Answers), "… its data is gone\n");
    let destroying = json!({"state": "destroying", "since": at(0)});
    let gone = lost(destroying, EngineState::Absent, Health::NotAsked);
    assert_eq!(gone, "- remove its volume and its rows\n");
}

#[test]
fn another_task_on_its_volume_goes_first() {
    let mut two = seen(starting(), EngineState::Absent, Health::NotAsked);
    two.others = vec![1];
    assert_eq!(plan(&two, at(1)).to_string(), "- remove its task 1\n");
}

#[test]
fn one_that_never_answered_is_given_up_for_now() {
    let state = json!({"state": "starting", "since": at(0), "failures": 4});
    let mut never = seen(state, exited(1), Health::NotAsked);
    assert_eq!(plan(&never, at(1)).to_string(), "- remove its task\n→ stopped\n", "it was ready before");
    never.database.ready_at = None;
    assert_eq!(plan(&never, at(1)).to_string(), "- remove its task\n→ failed\n");
    let failed = json!({"state": "failed", "at": at(1), "reason": {"code": "never_ready", "message": "x"}});
    let mut failed = seen(failed, EngineState::Absent, Health::NotAsked);
    assert_eq!(
        plan(&failed, at(2)).to_string(),
        "… it never answered: x; tried again at 2025-11-24T10:10:01.000Z, or when it is changed\n"
    );
    assert_eq!(plan(&failed, at(601)).to_string(), "→ the next task\n");
    failed.database.revision = 2;
    assert_eq!(plan(&failed, at(2)).to_string(), "→ the next task\n");
}

#[test]
fn what_cannot_be_started_is_said() {
    let starts = seen(starting(), EngineState::Absent, Health::NotAsked);
    assert_eq!(not_started(&starts, "no disk".to_owned(), false, at(5)), None);
    let given_up = not_started(&starts, "no image".to_owned(), true, at(5)).expect("is permanent");
    let State::Failed { reason, .. } = given_up else { panic!("it has failed") };
    assert_eq!(reason.to_string(), "it could not be started: no image");
}

#[test]
fn roles_follow_the_services_that_use_it() {
    let mut used = seen(starting(), EngineState::Absent, Health::NotAsked);
    used.users = ["api", "worker"].map(|name| name.parse::<ServiceName>().expect("is a name")).into();
    assert_eq!(plan(&used, at(1)).to_string(), "- plan a role for api\n- plan a role for worker\n");

    let mut settled = seen(ready(), RUNNING, Health::Answers);
    settled.users = used.users;
    settled.roles = vec![
        role("api_a", RoleState::Replaced { at: at(1) }),
        role("api_b", RoleState::Made),
        role("gone_a", RoleState::Made),
        role("worker_a", RoleState::Wanted),
    ];
    settled.in_use = [role("api_a", RoleState::Made).name].into();
    assert_eq!(plan(&settled, at(2)).to_string(), "- lock the role gone_a\n- make the role worker_a\n");
    settled.in_use.clear();
    assert!(plan(&settled, at(2)).to_string().contains("- lock the role api_a\n"));
    settled.health = silent();
    assert_eq!(plan(&settled, at(2)).to_string(), "… does not answer: no response\n");
}

#[test]
fn destroying_waits_for_those_who_use_it_and_ends_with_the_volume() {
    let state = json!({"state": "destroying", "since": at(0)});
    let mut used = seen(state.clone(), RUNNING, Health::NotAsked);
    used.users.insert("api".parse().expect("is a name"));
    assert_eq!(plan(&used, at(1)).to_string(), "… waits for services that use it to be gone: api\n");
    let planned = |task| plan(&seen(state.clone(), task, Health::NotAsked), at(1)).to_string();
    assert_eq!(planned(RUNNING), "- stop its task\n- remove its task\n");
    assert_eq!(planned(exited(0)), "- remove its task\n");
    assert_eq!(planned(EngineState::Absent), "- remove its volume and its rows\n");
}

#[test]
fn a_server_does_not_start_while_a_restore_writes_on_its_volume() {
    let mut held = seen(starting(), EngineState::Absent, Health::NotAsked);
    held.is_volume_held = true;
    let waits = plan(&held, at(5));
    assert!(waits.steps.is_empty() && waits.next.is_none(), "{waits}");
    assert_eq!(waits.waiting_on, "a restore puts its files on its volume");
    let started = Plan { steps: vec![Step::StartTask], ..Plan::default() };
    assert_eq!(check(&started, &held), [Violation::TwoServers]);
    held.is_volume_held = false;
    assert!(check(&started, &held).is_empty());
}
