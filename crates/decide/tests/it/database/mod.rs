//! Databases: what comes next, and the laws of it.

mod insight;
mod laws;
mod plan;

use std::collections::BTreeSet;

use havre_core::database::{Database, Role, RoleState};
use havre_core::task::{EngineState, Healthcheck};
use havre_core::time::Timestamp;
use havre_decide::database::plan::{Health, Seen};
use serde_json::{Value, json};

/// Seconds after the beginning of these tests.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_763_978_400_000 + seconds * 1000)
}

/// A database in this state, at its second task, that has been ready before.
pub(crate) fn database(state: Value) -> Database {
    serde_json::from_value(json!({
        "id": "m3", "environment": "e1", "project": "shop", "environment_name": "production",
        "spec": {"name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"},
        "revision": 1, "started_revision": 1, "task": 2, "image": null, "ready_at": at(0), "state": state,
        "created_at": at(0),
    }))
    .expect("is a row")
}

pub(crate) fn seen(state: Value, task: EngineState, health: Health) -> Seen {
    Seen {
        database: database(state),
        task,
        others: Vec::new(),
        health,
        roles: Vec::new(),
        users: BTreeSet::new(),
        in_use: BTreeSet::new(),
        is_volume_held: false,
        is_held: false,
        lost: None,
    }
}

pub(crate) const RUNNING: EngineState = EngineState::Running { healthcheck: Healthcheck::None };

pub(crate) fn exited(code: i64) -> EngineState {
    EngineState::Exited { code, out_of_memory: false }
}

pub(crate) fn starting() -> Value {
    json!({"state": "starting", "since": at(0), "failures": 0})
}

pub(crate) fn ready() -> Value {
    json!({"state": "ready", "since": at(0)})
}

pub(crate) fn silent() -> Health {
    Health::Silent { message: "no response".to_owned() }
}

pub(crate) fn role(name: &str, state: RoleState) -> Role {
    Role { name: name.parse().expect("is a role"), state }
}
