//! `GET /v1/registries`: which have credentials, and how many pulls are left. Tests: `tests/it/registry.rs`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use havre_api::registry::{PullsLeft, Registry, RegistryList};
use havre_core::registry::RegistryHost;
use havre_store::{LimitRow, RegistryRow};

use crate::error::Refusal;
use crate::state::AppState;

/// List registries with credentials, and those that say how many pulls are left. Passwords are never shown.
#[utoipa::path(get, path = "/v1/registries", tag = "registry", operation_id = "list_registries",
    responses((status = 200, body = RegistryList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<RegistryList>, Refusal> {
    let (rows, limits) =
        state.store.read(|view| Ok((view.list_registries()?, view.list_registry_limits()?))).await?;
    Ok(Json(RegistryList { registries: join(rows, limits) }))
}

/// One entry for each host that has either.
fn join(rows: Vec<RegistryRow>, limits: Vec<LimitRow>) -> Vec<Registry> {
    let empty = |host: RegistryHost| Registry { host, user: None, set_at: None, pulls: None };
    let mut registries: BTreeMap<RegistryHost, Registry> = BTreeMap::new();
    for RegistryRow { host, user, set_at } in rows {
        let registry = Registry { user: Some(user), set_at: Some(set_at), ..empty(host.clone()) };
        registries.insert(host, registry);
    }
    for LimitRow { host, said, .. } in limits {
        let Some((limit, read_at)) = said else { continue };
        let registry = registries.entry(host.clone()).or_insert_with(|| empty(host));
        registry.pulls = Some(PullsLeft {
            remaining: limit.remaining,
            limit: limit.limit,
            window_ms: limit.window.as_millis(),
            read_at,
        });
    }
    registries.into_values().collect()
}
