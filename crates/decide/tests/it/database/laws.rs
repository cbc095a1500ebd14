//! No plan of ours breaks a law, whatever the world looks like; and what would break one is noticed.

use havre_core::database::RoleState;
use havre_core::task::EngineState;
use havre_decide::database::check::{Violation, check};
use havre_decide::database::plan::{Health, Next, Plan, Seen, Step, plan};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{RUNNING, at, exited, ready, role, seen, silent, starting};

fn any_state() -> impl Strategy<Value = Value> {
    let exited = json!({"code": "exited", "exit": 1, "out_of_memory": true});
    prop_oneof![
        (0_u32..7).prop_map(|failures| json!({"state": "starting", "since": at(0), "failures": failures})),
        Just(ready()),
        Just(json!({"state": "stopping", "since": at(0), "why": {"code": "changed"}})),
        (0_u32..7).prop_map(move |failures| {
            json!({"state": "stopped", "since": at(0), "why": exited, "failures": failures})
        }),
        Just(json!({"state": "failed", "at": at(0), "reason": {"code": "not_started", "message": "x"}})),
        Just(json!({"state": "destroying", "since": at(0)})),
    ]
}

fn any_seen() -> impl Strategy<Value = Seen> {
    let tasks =
        prop_oneof![Just(EngineState::Absent), Just(EngineState::Created), Just(RUNNING), Just(exited(1))];
    let healths = prop_oneof![Just(Health::NotAsked), Just(Health::Answers), Just(silent())];
    let others = prop::collection::vec(1_u32..5, 0..2);
    let held = (any::<bool>(), any::<bool>(), any::<bool>());
    (any_state(), tasks, healths, others, any::<bool>(), any::<bool>(), held).prop_map(
        |(state, task, health, others, is_new, has_user, (is_volume_held, is_held, is_lost))| {
            // Only a task that runs can be asked.
            let health = if task == RUNNING { health } else { Health::NotAsked };
            let mut seen = seen(state, task, health);
            seen.others = others;
            (seen.is_volume_held, seen.is_held) = (is_volume_held, is_held);
            seen.lost = is_lost.then(|| "its data is gone".to_owned());
            seen.roles = vec![role("api_a", RoleState::Wanted)];
            if is_new {
                seen.database.ready_at = None;
                seen.database.revision = 2;
            }
            if has_user {
                seen.users.insert("api".parse().expect("is a name"));
            }
            seen
        },
    )
}

proptest! {
    #[test]
    fn no_plan_breaks_a_law(seen in any_seen(), seconds in -10_i64..5000) {
        let plan = plan(&seen, at(seconds));
        prop_assert_eq!(check(&plan, &seen), Vec::new(), "{}", plan);
    }

    #[test]
    fn it_never_waits_for_nothing(seen in any_seen(), seconds in 0_i64..5000) {
        let plan = plan(&seen, at(seconds));
        let goes_on = !plan.steps.is_empty() || plan.next.is_some() || plan.look_again_at.is_some();
        prop_assert!(goes_on, "nothing would ever look at it again");
    }
}

#[test]
fn broken_laws_are_noticed() {
    let broken = |steps: Vec<Step>, next, seen: &Seen| check(&Plan { steps, next, ..Plan::default() }, seen);
    let mut two = seen(starting(), EngineState::Absent, Health::NotAsked);
    two.others = vec![1];
    assert_eq!(broken(vec![Step::StartTask], None, &two), [Violation::TwoServers]);
    let running = seen(ready(), RUNNING, silent());
    assert_eq!(broken(vec![Step::Dismantle], None, &running), [Violation::DataLost]);
    assert_eq!(broken(Vec::new(), Some(Next::Begin { failures: 0 }), &running), [Violation::TwoServers]);
    let mut held = seen(starting(), EngineState::Absent, Health::NotAsked);
    held.is_held = true;
    assert_eq!(broken(vec![Step::StartTask], None, &held), [Violation::Held]);
    assert_eq!(broken(Vec::new(), Some(Next::Begin { failures: 0 }), &held), [Violation::Held]);
    let mut lost = seen(starting(), EngineState::Absent, Health::NotAsked);
    lost.lost = Some("its data is gone".to_owned());
    assert_eq!(broken(vec![Step::StartTask], None, &lost), [Violation::Empty]);
    assert_eq!(broken(Vec::new(), Some(Next::Begin { failures: 0 }), &lost), [Violation::Empty]);
    let role = role("api_a", RoleState::Wanted).name;
    assert_eq!(broken(vec![Step::MakeRole { role }], None, &running), [Violation::NobodyThere]);
}
