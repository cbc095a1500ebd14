//! Which settings hold at which address, and when requests wait.

use havre_core::deployment::state::State;
use havre_core::deployment::{Deployment, Kind};
use havre_core::id::{DeploymentId, ReleaseId, ServiceId};
use havre_core::route::settings::auth::SecretDigest;
use havre_core::route::settings::{EdgeSpec, RouteSettings};
use havre_core::service::Maintenance;
use havre_core::service::spec::{ServiceSpec, TaskWork};
use havre_core::time::Timestamp;
use havre_decide::route::derive::{ServiceRows, derive};
use proptest::prelude::*;
use serde_json::json;

use crate::sample;

fn rows(spec: ServiceSpec) -> ServiceRows {
    let service = sample::service(spec);
    ServiceRows { service, open: Vec::new(), releases: [].into(), tasks: Vec::new(), left: Vec::new() }
}

fn spec(work: TaskWork, routes: &[&str], edge: serde_json::Value) -> ServiceSpec {
    let mut spec = sample::spec(work);
    let routes = routes.iter().map(|route| {
        let (host, path) = route.split_at(route.find('/').expect("as the test says"));
        json!({ "host": host, "path": path })
    });
    spec.routes = serde_json::from_value(routes.collect()).expect("as the test says");
    spec.edge = serde_json::from_value(edge).expect("as the test says");
    spec
}

/// `host/path -> policy`, and what each policy does.
fn shown(rows: &[ServiceRows]) -> String {
    let table = derive(rows, &[], Timestamp::default());
    let routes = table.routes.iter().map(|route| {
        format!("{}{} -> {}\n", route.host, route.path, route.policy.as_deref().unwrap_or("nothing"))
    });
    let policies = table.policies.iter().map(|(key, policy)| {
        format!("{key}: {}\n", serde_json::to_string(policy).expect("as the test says"))
    });
    routes.chain(policies).collect()
}

#[test]
fn sections_and_hosts_that_lead_elsewhere() {
    let api = rows(spec(
        sample::work(),
        &["a.example/", "b.example/shop", "www.a.example/"],
        json!({
            "settings": { "compress": true },
            "paths": { "/shop/admin": { "deny": ["10.0.0.1"] }, "/other": { "compress": true } },
            "redirect_hosts": { "www.a.example": { "from": "/*", "to": "https://a.example/*", "status": 308 } },
        }),
    ));
    let mut other = rows(spec(sample::work(), &["a.example/other"], json!({})));
    other.service.id = ServiceId::new(2);
    other.service.place.service = "other".parse().expect("as the test says");
    insta::assert_snapshot!(shown(&[api, other]), @r#"
    a.example/ -> s1
    a.example/other -> nothing
    a.example/shop/admin -> s1 /shop/admin
    b.example/shop -> s1
    b.example/shop/admin -> s1 /shop/admin
    www.a.example/ -> s1 www.a.example
    s1: {"settings":{"compress":true},"maintenance":null}
    s1 /shop/admin: {"settings":{"deny":["10.0.0.1"]},"maintenance":null}
    s1 www.a.example: {"settings":{"redirects":[{"from":"/*","to":"https://a.example/*","status":308}]},"maintenance":null}
    "#);
}

#[test]
fn maintenance_needs_no_settings() {
    let mut api = rows(spec(sample::work(), &["a.example/"], json!({})));
    let bypass = SecretDigest::new([0xab; 32]);
    api.service.maintenance = Some(Maintenance { since: Timestamp::from_millis(1), bypass });
    insta::assert_snapshot!(shown(&[api]), @r#"
    a.example/ -> s1
    s1: {"settings":{},"maintenance":"abababababababababababababababababababababababababababababababab"}
    "#);
}

#[test]
fn requests_wait_only_while_a_stop_first_update_has_no_task() {
    let is_paused = |work: TaskWork, state: Option<State>, was_live: bool| {
        let spec = spec(work, &["a.example/"], json!({}));
        let mut rows = rows(spec.clone());
        let release = sample::release(1, spec);
        rows.service.live = was_live.then_some(release.id);
        rows.open = state.into_iter().map(|state| deployment(release.id, state)).collect();
        rows.releases.insert(release.id, release);
        derive(&[rows], &[], Timestamp::default()).services[&ServiceId::new(1)].is_paused
    };
    let starting = || Some(State::Starting { since: Timestamp::from_millis(1) });
    let with_volume = || sample::with_volume(sample::work());
    assert!(!is_paused(sample::work(), starting(), true), "a service without a volume keeps its old tasks");
    assert!(is_paused(with_volume(), starting(), true));
    assert!(!is_paused(with_volume(), None, true), "a service that is down is not being updated");
    assert!(!is_paused(with_volume(), starting(), false), "nobody waits for the first release");
}

fn deployment(release: ReleaseId, state: State) -> Deployment {
    Deployment {
        id: DeploymentId::new(1),
        service: ServiceId::new(1),
        release,
        previous: None,
        kind: Kind::Deploy,
        state,
        cancel_requested: false,
        created_at: Timestamp::from_millis(0),
    }
}

proptest! {
    /// Settings come back from JSON as they were, whatever is set.
    #[test]
    fn settings_travel(compress: bool, hold in prop::option::of(0..30_u64), deny in prop::collection::vec(any::<[u8; 4]>(), 0..4)) {
        let settings = RouteSettings {
            compress,
            hold: hold.map(havre_core::quantity::Span::seconds),
            deny: deny.iter().map(|octets| std::net::Ipv4Addr::from(*octets).to_string().parse().expect("as the test says")).collect(),
            ..RouteSettings::default()
        };
        let edge = EdgeSpec { settings, ..EdgeSpec::default() };
        let text = serde_json::to_string(&edge).expect("as the test says");
        prop_assert_eq!(serde_json::from_str::<EdgeSpec>(&text).expect("as the test says"), edge);
    }
}
