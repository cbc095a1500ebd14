//! Golden JSON of everything that crosses a process boundary: each sample is read, written again and must be the
//! same. A changed name, form or default breaks clients and edges of another version, and this test.

use havre_api::access::{CreateTokenRequest, CreateTokenResponse, TokenList};
use havre_api::build::{
    BuildAccepted, BuildLogLine, BuildSecretList, CreateBuildQuery, SetBuildSecretRequest,
};
use havre_api::deployment::{
    CreateDeploymentRequest, Deployment, DeploymentAccepted, RestartRequest, RollbackRequest,
};
use havre_api::edge_report::EdgeReport;
use havre_api::environment::{ApplyRequest, ApplyResponse, DestroyQuery, DestroyResponse};
use havre_api::error::{ErrorBody, StreamEnd};
use havre_api::event::{Event, EventQuery};
use havre_api::job::{JobList, JobLogEntry, JobLogQuery, JobRunList};
use havre_api::node::{Health, NodeStatus};
use havre_api::preview::{OpenPreviewRequest, PreviewList};
use havre_api::project::ProjectList;
use havre_api::promotion::{PromoteRequest, PromoteResponse};
use havre_api::release::{ListQuery, ReleaseList};
use havre_api::remote::{Remote, SetRemoteRequest};
use havre_api::repository::{ProtectRequest, ProtectResponse, Repository};
use havre_api::route_table::RouteTable;
use havre_api::secret_provider::{
    SecretProviderList, SetSecretProviderRequest, TestSecretProviderRequest, TestedSecretProvider,
};
use havre_api::service::{MaintenanceRequest, ScaleRequest, ScaleResponse, ServiceStatus};
use havre_api::ssh_key::{AddSshKeyRequest, AuthorizedKey, SshKeyList};
use havre_api::task::{ExecRequest, LogEntry, LogQuery, RunRequest, SessionClient, SessionServer};
use havre_api::traffic::TrafficList;
use havre_api::webhook::{DeliveryAnswer, SetWebhookRequest, SetWebhookResponse, WebhookList};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const AT: &str = "2026-11-24T10:00:00.000Z";

/// Reads and writes again.
#[track_caller]
fn golden<T: Serialize + DeserializeOwned>(sample: Value) {
    let parsed: T = serde_json::from_value(sample.clone()).expect("the sample must be readable");
    assert_eq!(serde_json::to_value(parsed).expect("it is JSON"), sample);
}

/// What a request becomes when it is left to its defaults.
#[track_caller]
fn defaults<T: Serialize + DeserializeOwned>(sample: Value, full: Value) {
    let parsed: T = serde_json::from_value(sample).expect("the sample must be readable");
    assert_eq!(serde_json::to_value(parsed).expect("it is JSON"), full);
}

#[track_caller]
fn refused<T: DeserializeOwned>(mut sample: Value) {
    assert!(
        serde_json::from_value::<T>(sample.clone()).is_ok(),
        "the sample itself must be readable: {sample}"
    );
    sample["misspelt"] = json!(true);
    assert!(
        serde_json::from_value::<T>(sample.clone()).is_err(),
        "an unknown field must be refused: {sample}"
    );
}

fn spec() -> Value {
    json!({
        "version": 1, "name": "web", "routes": [{ "host": "dropit.example", "path": "/" }], "expose_release": false,
        "work": { "kind": "site", "source": { "kind": "folder", "root": "dist" }, "spa": true },
    })
}

fn place() -> Value {
    json!({ "project": "dropit", "environment": "production", "service": "web" })
}

fn build() -> Value {
    json!({
        "id": "b4", "service_id": "s2", "place": place(), "revision": 3, "commit": "abc123",
        "state": { "state": "running", "since": AT }, "waiting": "", "created_at": AT,
    })
}

fn deployment() -> Value {
    json!({
        "id": "d12", "service_id": "s2", "place": place(), "release": "r7", "previous": "r6", "kind": "deploy",
        "state": { "state": "failed", "at": AT, "reason": { "code": "never_healthy", "task": "t3",
            "probe": "answered 500", "last_lines": ["boom"] } },
        "is_final": true, "failure": "t3 did not become healthy in time: answered 500", "waiting": "",
        "cancel_requested": false, "created_at": AT,
    })
}

fn release() -> Value {
    json!({
        "id": "r7", "is_live": true, "has_succeeded": false,
        "artifact": { "kind": "site", "digest": format!("sha256:{}", "ab".repeat(32)) },
        "spec": spec(), "revision": 3, "build": "b4", "commit": "", "created_at": AT,
    })
}

#[test]
fn secret_providers() {
    let settings = json!({ "kind": "vault", "url": "https://vault.example.org:8200", "namespace": "team", "role_id": "app" });
    golden::<SetSecretProviderRequest>(
        json!({ "environment": "production", "settings": settings, "credential": "x" }),
    );
    golden::<SetSecretProviderRequest>(json!({ "settings": { "kind": "file" } }));
    golden::<SecretProviderList>(json!({ "providers": [{
        "name": "vault-main", "environment": "production", "settings": settings, "set_at": AT, "set_by": { "kind": "local" },
    }] }));
    golden::<TestSecretProviderRequest>(json!({ "environment": "production", "location": "op://v/i/f" }));
    golden::<TestSecretProviderRequest>(json!({}));
    golden::<TestedSecretProvider>(json!({ "is_good": true, "text": "it answers" }));
    let request: SetSecretProviderRequest =
        serde_json::from_value(json!({ "settings": settings, "credential": "planted" })).expect("is one");
    assert!(!format!("{request:?}").contains("planted"));
}

#[test]
fn access() {
    golden::<CreateTokenRequest>(json!({ "name": "ci" }));
    golden::<CreateTokenResponse>(json!({ "id": "k3", "name": "ci", "token": "havre_00" }));
    golden::<TokenList>(json!({
        "tokens": [{ "id": "k3", "name": "ci", "created_at": AT, "last_used_at": null }],
    }));
}

#[test]
fn builds() {
    golden::<BuildAccepted>(json!({ "build": build() }));
    golden::<BuildLogLine>(json!({ "at": AT, "step": "[2/3] RUN npm ci", "text": "added 300 packages" }));
    golden::<CreateBuildQuery>(json!({ "commit": "abc123", "image": "nginx:1" }));
    defaults::<CreateBuildQuery>(json!({}), json!({}));
    golden::<BuildSecretList>(json!({ "secrets": [{ "name": "NPM_TOKEN", "set_at": AT }] }));
    let set = json!({ "value": "planted" });
    golden::<SetBuildSecretRequest>(set.clone());
    refused::<SetBuildSecretRequest>(set.clone());
    let set: SetBuildSecretRequest = serde_json::from_value(set).expect("the sample must be readable");
    assert!(!format!("{set:?}").contains("planted"));
}

#[test]
fn promotions() {
    golden::<PromoteRequest>(json!({ "from": "staging", "services": ["web"], "dry_run": true }));
    defaults::<PromoteRequest>(json!({ "from": "staging" }), json!({ "from": "staging", "dry_run": false }));
    refused::<PromoteRequest>(json!({ "from": "staging" }));
    let artifact = release()["artifact"].clone();
    let planned =
        json!({ "service": "web", "source": "r3", "commit": "abc123", "before": null, "artifact": artifact });
    let mut promoted = planned.clone();
    promoted["release"] = json!("r7");
    promoted["deployment"] = deployment();
    for (dry_run, promoted) in [(true, planned), (false, promoted)] {
        golden::<PromoteResponse>(json!({
            "dry_run": dry_run, "from": "staging", "to": "production", "promoted": [promoted],
            "skipped": [{ "service": "db", "reason": "builds_from_image", "text": "builds from image" }],
            "warnings": ["web: d4 of r4 is under way in staging"],
        }));
    }
    let mut release = release();
    release["promoted_from"] = json!({ "environment": "staging", "release": "r3" });
    release["size_bytes"] = json!(188_743_680_u64);
    release["size_change_bytes"] = json!(-1024);
    golden::<ReleaseList>(json!({ "releases": [release] }));
}

#[test]
fn deployments() {
    golden::<Deployment>(deployment());
    let plan = json!({ "from": "r6", "to": "r7", "steps": ["start 2 tasks"], "warnings": [] });
    golden::<DeploymentAccepted>(json!({ "deployment": deployment(), "plan": plan }));
    golden::<DeploymentAccepted>(json!({ "plan": plan }));
    for source in [
        json!({ "kind": "release", "release": "r7" }),
        json!({ "kind": "live" }),
        json!({ "kind": "configuration" }),
    ] {
        golden::<CreateDeploymentRequest>(json!({ "source": source, "dry_run": true }));
    }
    golden::<RollbackRequest>(json!({ "release": "r6", "dry_run": false }));
    defaults::<RollbackRequest>(json!({}), json!({ "dry_run": false }));
    defaults::<RestartRequest>(json!({}), json!({ "dry_run": false }));
}

#[test]
fn environments() {
    golden::<ApplyRequest>(json!({ "services": [spec()], "dry_run": true, "prune": true }));
    defaults::<ApplyRequest>(
        json!({ "services": [] }),
        json!({ "services": [], "dry_run": false, "prune": false }),
    );
    let change = |action: &str| json!({ "service": "web", "action": action, "needs_deployment": false });
    let mut changed = change("changed");
    changed["revision"] = json!(4);
    changed["fields"] = json!([{ "path": "work.spa", "from": true, "to": false }, { "path": "a", "to": 1 }]);
    let changes = [change("created"), changed, change("unchanged"), change("not_named"), change("destroyed")];
    golden::<ApplyResponse>(json!({ "dry_run": true, "changes": changes, "warnings": ["look"] }));
    golden::<DestroyQuery>(json!({ "dry_run": false, "confirm": "web" }));
    golden::<DestroyResponse>(json!({
        "dry_run": true,
        "services": [{ "service": "web", "routes": ["dropit.example/"], "volumes": ["data"], "releases": 3, "tasks": 2 }],
    }));
}

#[test]
fn errors() {
    golden::<ErrorBody>(
        json!({ "code": "route_taken", "message": "m", "hint": "h", "details": { "owner": "a/b/c" } }),
    );
    golden::<ErrorBody>(json!({ "code": "internal", "message": "m", "hint": "" }));
    golden::<StreamEnd>(json!({ "error": { "code": "unavailable", "message": "m", "hint": "" } }));
}

#[test]
fn events() {
    golden::<Event>(json!({
        "seq": 9, "at": AT, "actor": { "kind": "token", "name": "ci" }, "service_id": "s2", "place": place(),
        "kind": { "room": "deployment", "type": "state_changed", "deployment": "d12",
            "to": { "state": "switching", "since": AT } },
        "text": "d12 is switching",
    }));
    golden::<Event>(json!({
        "seq": 10, "at": AT, "actor": { "kind": "havre" }, "service_id": null, "place": null,
        "kind": { "room": "route", "type": "table_stored", "generation": 4 }, "text": "route table 4 stored",
    }));
    golden::<EventQuery>(json!({ "after": 3, "follow": true, "service": "s2", "limit": 10 }));
}

#[test]
fn jobs() {
    let run = json!({
        "id": "j12", "job": "cleanup", "service_id": "s2", "place": place(), "release": "r7", "trigger": "schedule",
        "planned_at": AT, "missed": 2, "attempt": 1, "started_at": AT, "ended_at": null,
        "state": { "state": "waiting", "not_before": AT,
            "after": { "code": "exited", "exit": 3, "out_of_memory": false } },
        "is_final": false, "exit_code": null, "failure": "its command ended with code 3", "waiting": "",
        "cancel_requested": false, "created_at": AT,
    });
    for state in [
        json!({ "state": "starting", "since": AT }),
        json!({ "state": "stopping", "since": AT, "why": "timed_out" }),
        json!({ "state": "failed", "at": AT, "reason": { "code": "lost" } }),
        json!({ "state": "failed", "at": AT, "reason": { "code": "not_started", "message": "m" } }),
        json!({ "state": "skipped", "at": AT, "reason": { "code": "overlap", "run": "j11" } }),
        json!({ "state": "skipped", "at": AT, "reason": { "code": "missed" } }),
        json!({ "state": "timed_out", "at": AT }),
    ] {
        let mut run = run.clone();
        run["state"] = state;
        golden::<JobRunList>(json!({ "runs": [run] }));
    }
    golden::<JobList>(json!({
        "jobs": [{
            "name": "cleanup", "service_id": "s2", "place": place(), "release": "r7",
            "spec": { "schedule": "0 3 * * *", "timezone": "Europe/Paris", "command": ["cleanup"], "timeout": "1h",
                "retries": 2, "missed": "skip", "keep": 20 },
            "next_at": AT, "open": run, "last": null,
        }],
    }));
    golden::<JobLogEntry>(json!({ "at": AT, "attempt": 1, "stream": "stderr", "line": "no" }));
    defaults::<JobLogQuery>(json!({}), json!({ "follow": false }));
    refused::<JobLogQuery>(json!({}));
    golden::<Event>(json!({
        "seq": 11, "at": AT, "actor": { "kind": "havre" }, "service_id": "s2", "place": place(),
        "kind": { "room": "job", "type": "planned", "run": "j12", "job": "cleanup", "trigger": "schedule",
            "planned_at": AT, "missed": 2, "state": { "state": "waiting", "not_before": AT } },
        "text": "t",
    }));
    golden::<Event>(json!({
        "seq": 12, "at": AT, "actor": { "kind": "local" }, "service_id": "s2", "place": place(),
        "kind": { "room": "job", "type": "state_changed", "run": "j12", "job": "cleanup", "attempt": 1,
            "to": { "state": "succeeded", "at": AT } },
        "text": "t",
    }));
}

#[test]
fn node_and_projects() {
    golden::<Health>(json!({ "status": "ok" }));
    golden::<NodeStatus>(json!({
        "version": "0.1.0", "installation": "a1",
        "engine": { "is_ready": true, "text": "docker", "warnings": [] },
        "edges": [{ "edge": "n", "generation": 4, "listeners": ["127.0.0.1:80", "[::1]:80"], "reported_at": AT, "is_fresh": true }],
        "generation": 4, "last_event": 10,
        "loops": [{ "name": "build", "is_running": false, "last_run_at": AT, "last_error": "" }],
    }));
    golden::<ProjectList>(json!({ "projects": [{ "name": "dropit", "environments": ["production"] }] }));
}

#[test]
fn releases_and_services() {
    golden::<ReleaseList>(json!({ "releases": [release()] }));
    golden::<ListQuery>(json!({ "limit": 5 }));
    let task = json!({
        "id": "t3", "release": "r7", "slot": 0, "address": "10.210.0.4",
        "wanted": { "state": "drain", "deadline": AT, "by": "d12" }, "health": { "state": "healthy" },
        "checks": { "state": "passed" }, "in_flight": 2, "proven_at": AT, "unhealthy_since": null, "created_at": AT,
    });
    for summary in ["running", "deploying", "degraded", "down", "not_deployed", "destroying"] {
        golden::<ServiceStatus>(json!({
            "id": "s2", "name": "web", "place": place(), "summary": summary, "spec": spec(), "revision": 3,
            "replicas": 0, "live": release(), "is_changed": true, "tasks": [task], "deployments": [deployment()],
            "builds": [build()], "waiting": "", "failures": { "count": 2, "last": AT }, "destroyed_at": null,
        }));
    }
    golden::<ScaleRequest>(json!({ "replicas": 3, "dry_run": true }));
    golden::<ScaleResponse>(json!({ "dry_run": false, "from": 2, "to": 3, "warnings": [] }));
}

#[test]
fn previews() {
    let number = 4_294_967_295_u32;
    let preview = |state: Value| {
        json!({ "project": "dropit", "number": number, "environment": "pr-4294967295", "commit": "a".repeat(40),
            "branch": "feature/x", "base": "main", "is_fork": true, "state": state,
            "routes": ["7.preview.example.org/"], "pushed_at": AT, "expires_at": AT })
    };
    let asked = json!({ "kind": "asked", "by": { "kind": "token", "name": "ci" } });
    let room = json!({ "kind": "made_room", "number": 9 });
    golden::<PreviewList>(json!({ "previews": [
        preview(json!({ "state": "open", "since": AT })),
        preview(json!({ "state": "closing", "since": AT, "reason": asked })),
        preview(json!({ "state": "closing", "since": AT, "reason": room })),
        preview(json!({ "state": "closed", "at": AT, "reason": { "kind": "expired", "ttl": "7d" } })),
        preview(json!({ "state": "closed", "at": AT, "reason": { "kind": "ended" } })),
    ] }));
    let branch = json!({ "branch": "feature/x" });
    defaults::<OpenPreviewRequest>(branch.clone(), json!({ "branch": "feature/x", "base": "main" }));
    refused::<OpenPreviewRequest>(branch);
}

#[test]
fn remotes_and_webhooks() {
    let url = "https://git.example.org/acme/dropit.git";
    let last = json!({ "pipeline": "i7", "told": "success", "told_at": AT, "reason": null, "next_at": null });
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua";
    let fingerprint = "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc";
    let ssh = json!({
        "deploy_keys": [{ "public_key": key, "fingerprint": fingerprint, "created_at": AT }],
        "host_keys": [{ "public_key": key, "fingerprint": fingerprint }],
    });
    for (forge, last, ssh) in [(json!("gitea"), last, json!(null)), (json!(null), json!(null), ssh)] {
        golden::<Remote>(json!({
            "project": "dropit", "url": url, "has_token": true, "ssh": ssh, "created_at": AT,
            "status": {
                "is_on": true, "forge": forge, "has_token": false, "obstacle": null, "quiet_until": null,
                "last": last,
            },
            "comments": {
                "is_on": true, "obstacle": null,
                "last": { "number": 7, "told_at": AT, "reason": null, "next_at": null },
            },
        }));
    }
    golden::<SetRemoteRequest>(json!({ "url": url, "forge": "gitlab", "status_token": "planted" }));
    golden::<SetRemoteRequest>(json!({ "url": url, "no_status": true }));
    golden::<SetRemoteRequest>(json!({ "url": url, "no_comments": true }));
    golden::<SetRemoteRequest>(
        json!({ "url": "git@git.example.org:acme/dropit.git", "host_key": fingerprint }),
    );
    golden::<SetRemoteRequest>(
        json!({ "url": "ssh://git@git.example.org/x.git", "accept_new_host_key": true }),
    );
    golden::<SetRemoteRequest>(json!({ "url": url }));
    golden::<SetRemoteRequest>(json!({ "url": url, "token": "planted" }));
    refused::<SetRemoteRequest>(json!({ "url": url }));
    let (provider, path) = ("github", "/v1/hooks/dropit/github");
    golden::<WebhookList>(json!({
        "webhooks": [{ "project": "dropit", "provider": provider, "path": path, "created_at": AT }],
    }));
    golden::<SetWebhookRequest>(json!({}));
    golden::<SetWebhookRequest>(json!({ "secret": "planted" }));
    refused::<SetWebhookRequest>(json!({ "secret": "planted" }));
    let made = json!({ "project": "dropit", "provider": provider, "path": path, "secret": "planted" });
    golden::<SetWebhookResponse>(made.clone());
    let made: SetWebhookResponse = serde_json::from_value(made).expect("the sample must be readable");
    assert!(!format!("{made:?}").contains("planted"));
    golden::<DeliveryAnswer>(json!({ "action": "pong" }));
    golden::<DeliveryAnswer>(json!({ "action": "accepted" }));
    golden::<DeliveryAnswer>(json!({ "action": "ignored", "reason": "nobody follows" }));
    golden::<DeliveryAnswer>(
        json!({ "action": "started", "pipelines": ["i7"], "urls": ["/v1/pipelines/i7"] }),
    );
    golden::<DeliveryAnswer>(
        json!({ "action": "started", "pipelines": [], "builds": ["b12"], "urls": ["/v1/builds/b12"] }),
    );
}

#[test]
fn repositories_and_keys() {
    golden::<Repository>(json!({
        "project": "dropit", "bytes": 4096, "refs": 2, "pushed_at": AT, "repacked_at": AT, "protected": ["main"],
    }));
    golden::<Repository>(json!({
        "project": "dropit", "bytes": null, "refs": null, "pushed_at": null, "repacked_at": null, "protected": [],
    }));
    golden::<ProtectRequest>(json!({ "branch": "main", "on": true }));
    refused::<ProtectRequest>(json!({ "branch": "main", "on": true }));
    golden::<ProtectResponse>(json!({ "branch": "main", "was_on": false, "on": true }));
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua ada@laptop";
    golden::<AddSshKeyRequest>(json!({ "name": "laptop", "public_key": key }));
    golden::<AddSshKeyRequest>(json!({ "name": "laptop", "project": "dropit", "public_key": key }));
    refused::<AddSshKeyRequest>(json!({ "name": "laptop", "public_key": key }));
    golden::<SshKeyList>(json!({ "ssh_keys": [{
        "id": "y3", "name": "laptop", "project": null, "public_key": key, "created_at": AT, "last_used_at": AT,
        "fingerprint": "SHA256:W8RG7bKgVt4c+DEkLgjyPvgVOvZxS86TB5i/qZ7KmGc",
    }] }));
    golden::<AuthorizedKey>(json!({ "id": "y3", "public_key": key }));
}

#[test]
fn tasks() {
    golden::<LogEntry>(json!({ "at": AT, "task": "t3", "release": "r7", "stream": "stdout", "line": "hi" }));
    golden::<LogQuery>(json!({ "follow": true, "since": AT, "tail": 10, "task": "t3" }));
    golden::<ExecRequest>(json!({
        "argv": ["sh"], "task": "t3", "terminal": { "columns": 80, "rows": 24 }, "env": { "A": "b" },
    }));
    golden::<RunRequest>(json!({ "argv": ["sh"], "release": "r7" }));
    golden::<SessionClient>(json!({ "type": "end_of_input" }));
    golden::<SessionClient>(json!({ "type": "resize", "columns": 80, "rows": 24 }));
    golden::<SessionServer>(json!({ "type": "started", "task": "t3" }));
    golden::<SessionServer>(json!({ "type": "started" }));
    golden::<SessionServer>(json!({ "type": "exit", "code": 137 }));
    golden::<SessionServer>(
        json!({ "type": "refused", "error": { "code": "c", "message": "m", "hint": "" } }),
    );
}

/// Every setting of a route.
fn settings() -> Value {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhh";
    json!({
        "redirects": [{ "from": "/old/*", "to": "https://new.example/*", "status": 308 }],
        "strip_prefix": "/api",
        "request_headers": { "set": { "x-env": "prod" }, "add": { "x-tag": "one" }, "remove": ["cookie"] },
        "response_headers": { "remove": ["server"] },
        "basic_auth": { "realm": "Staff", "users": { "ada": hash } },
        "allow": ["10.0.0.0/8"], "deny": ["2001:db8::1"],
        "rate_limits": [
            { "by": "client", "requests": 100, "per": "1m", "burst": 20 },
            { "by": { "header": "x-api-key" }, "requests": 5, "per": "1s", "burst": 5 },
        ],
        "limits": { "body": "10MB", "head": "8KB", "connect": "1s", "first_byte": "30s", "total": "2m" },
        "compress": true,
        "sticky": { "cookie": "seat", "max_age": "1d" },
        "cors": { "origins": { "only": ["https://app.example"] }, "methods": ["GET"], "headers": ["content-type"],
            "expose": ["x-total"], "credentials": true, "max_age": "10m" },
        "error_pages": { "pages": { "5xx": "<h1>sorry</h1>" }, "replace": true },
        "maintenance": { "page": "<h1>soon</h1>", "allow": ["192.0.2.1"] },
        "hold": "10s",
    })
}

#[test]
fn edges() {
    let check = json!({ "path": "/ready", "status": 204, "contains": "yes" });
    let probe = json!({
        "path": "/health", "host": "api.example", "timeout_ms": 2000, "starting_interval_ms": 100,
        "steady_interval_ms": 5000, "unhealthy_after": 3,
    });
    let upstream = |role: &str| json!({ "task": "t3", "release": "r7", "address": "10.210.0.4:3000", "role": role, "probe": probe, "checks": [check] });
    golden::<RouteTable>(json!({
        "version": 2, "generation": 4, "probe_key": "key",
        "routes": [
            { "host": "api.example", "path_prefix": "/", "target": { "kind": "service", "service": "s12" },
                "policy": "s12" },
            { "host": "dropit.example", "path_prefix": "/docs", "target": { "kind": "site", "digest": "ab",
                "release": "r3", "spa": true, "expose_release": false, "base": "/", "clean_urls": "redirect",
                "trailing_slash": "never",
                "cdn": { "tags": "surrogate-key", "tag": "dropit-production-web", "hold_seconds": 60 },
                "earlier": [{ "digest": "cd", "until_ms": 1_000 }] } },
        ],
        "services": { "s12": {
            "name": "dropit/production/api", "expose_release": true,
            "upstreams": [upstream("live"), upstream("standby"), upstream("draining")],
            "limits": { "connect_timeout_ms": 5000, "first_byte_timeout_ms": 60000, "max_body_bytes": 0 },
            "is_paused": true, "canary": { "release": "r8", "percent": 5 },
            "balance": { "max_in_flight": 10, "queue": 100, "queue_wait_ms": 2000, "slow_start_ms": 10000,
                "eject_after": 5, "retry_percent": 10 },
        } },
        "certificates": [
            { "names": ["api.example", "*.example.org"], "digest": "ab", "purpose": "serve" },
            { "names": ["new.example"], "digest": "cd", "purpose": "tls_alpn01" },
        ],
        "challenges": [{ "host": "new.example", "token": "t", "answer": "t.k" }],
        "hosts": {
            "api.example": { "redirect_to_https": true, "hsts": "max-age=300" },
            "dropit.example": { "redirect_to_https": false, "hsts": null },
        },
        "policies": { "s12": { "settings": settings(), "maintenance": "ab".repeat(32) } },
    }));
    // What an edge of the release before saved, or a control of the release before sends.
    let first = json!({ "version": 1, "generation": 4, "probe_key": "key", "routes": [], "services": {} });
    let first: RouteTable = serde_json::from_value(first).expect("version 1 stays readable");
    assert_eq!(
        first,
        RouteTable { version: 1, generation: 4, probe_key: "key".to_owned(), ..RouteTable::default() }
    );
    let seen = |health: Value, checks: Value| json!({ "task": "t3", "health": health, "checks": checks, "in_flight": 1, "requests": 2, "errors": 3 });
    golden::<EdgeReport>(json!({
        "edge": "n", "instance": "i", "generation": 4, "listeners": ["127.0.0.1:80"], "https": ["127.0.0.1:443"],
        "upstreams": [
            seen(json!({ "state": "unknown" }), json!({ "state": "pending" })),
            seen(json!({ "state": "healthy" }), json!({ "state": "passed" })),
            seen(json!({ "state": "unhealthy", "reason": "r" }), json!({ "state": "failed", "reason": "r" })),
        ],
    }));
    let traffic = json!({
        "window_ms": 2000, "connections": 1, "shed": 2, "retries": 3, "panics": 4, "log_dropped": 5,
        "rows": [{
            "name": "dropit/production/api", "release": "r7", "requests": 10, "errors": 1, "client_errors": 2,
            "received_bytes": 3, "sent_bytes": 4, "p50_us": 5, "p95_us": 6, "p99_us": 7, "in_flight": 8, "waiting": 9,
        }],
        "left_out": 6,
    });
    golden::<EdgeReport>(json!({
        "edge": "n", "instance": "i", "generation": 4, "listeners": [], "upstreams": [], "traffic": traffic,
    }));
    golden::<TrafficList>(json!({ "edges": [{ "edge": "n", "reported_at": AT, "traffic": traffic }] }));
}

#[test]
fn requests_refuse_what_they_do_not_know() {
    refused::<CreateTokenRequest>(json!({ "name": "ci" }));
    refused::<CreateBuildQuery>(json!({}));
    refused::<CreateDeploymentRequest>(json!({ "source": { "kind": "live" } }));
    refused::<RollbackRequest>(json!({}));
    refused::<RestartRequest>(json!({}));
    refused::<ApplyRequest>(json!({ "services": [] }));
    refused::<DestroyQuery>(json!({}));
    refused::<EventQuery>(json!({}));
    refused::<ListQuery>(json!({}));
    refused::<ScaleRequest>(json!({ "replicas": 1 }));
    refused::<MaintenanceRequest>(json!({ "on": true }));
    refused::<LogQuery>(json!({}));
    refused::<ExecRequest>(json!({ "argv": ["sh"] }));
    refused::<RunRequest>(json!({ "argv": ["sh"] }));
    refused::<SessionClient>(json!({ "type": "resize", "columns": 80, "rows": 24 }));
    refused::<RouteTable>(
        json!({ "version": 2, "generation": 1, "probe_key": "", "routes": [], "services": {} }),
    );
}

#[test]
fn backups() {
    use havre_api::backup::{
        BackupCheck, BackupKit, BackupKitQuery, BackupRunList, BackupRunQuery, BackupStatus,
        BackupTargetList, CreateBackupRunsRequest, RemoveBackupTargetQuery, SetBackupTargetRequest,
    };
    let folder = json!({ "kind": "folder", "path": "/mnt/two" });
    let bucket = json!({
        "kind": "s3", "endpoint": "https://s3.example", "bucket": "backups", "region": "r", "prefix": "a/b", "path_style": true,
    });
    let sftp = json!({
        "kind": "sftp", "host": "nas.example", "port": 22, "user": "u", "path": "/srv",
        "host_key": "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4",
    });
    let hex = |digit: &str| digit.repeat(64);
    let target = |location: &Value, state: Value| {
        json!({
            "name": "two", "location": location, "address": "a", "medium": "m", "is_offsite": true, "repository": hex("b"),
            "has_credential": true, "state": state, "kit_shown_at": AT, "created_at": AT,
        })
    };
    golden::<BackupTargetList>(json!({ "targets": [
        target(&folder, json!({ "state": "waiting" })),
        target(&bucket, json!({ "state": "ready" })),
        target(&sftp, json!({ "state": "failed", "reason": "r" })),
    ] }));
    golden::<SetBackupTargetRequest>(
        json!({ "location": bucket, "medium": "m", "is_offsite": true, "credential": "a\nb" }),
    );
    golden::<BackupKit>(json!({ "target": "two", "page": "p" }));
    let what =
        json!({ "kind": "database", "project": "shop", "environment": "production", "database": "db" });
    let content = json!({ "bytes": 1, "sha256": format!("sha256:{}", hex("a")) });
    let manifest = json!({
        "content": content, "form": 1, "repository": hex("b"), "rows": { "public.users": 2 }, "snapshot": hex("1"),
        "source_version": "PostgreSQL 16.14", "started_at": AT, "verified_at": AT, "what": what,
    });
    golden::<BackupRunList>(json!({ "runs": [{
        "id": "u1", "what": what, "name": "database shop/production/db", "target": "two",
        "state": { "state": "good", "at": AT, "manifest": manifest }, "status": "good", "is_final": true, "failure": "",
        "asked_by": { "kind": "token", "name": "ci" }, "produced_bytes": 1, "added_bytes": 2, "snapshot": hex("1"),
        "manifest": manifest, "cancel_requested": false, "created_at": AT, "begun_at": AT, "ended_at": AT, "forgotten_at": null,
    }] }));
    let copy = |standing: &str| json!({ "target": "two", "medium": "m", "is_offsite": true, "standing": standing, "age_ms": 1, "run": "u1", "next_at": AT });
    let keep = json!({
        "last": 1, "hourly": 2, "daily": 3, "weekly": 4, "monthly": 5, "yearly": 6, "zone": "UTC",
    });
    golden::<BackupStatus>(json!({ "is_met": false, "gaps": ["g"], "accounts": [{
        "what": { "kind": "platform" }, "name": "platform",
        "policy": { "every": "1h", "keep": keep, "drill": "7d", "targets": ["two"] },
        "copies": [copy("current"), copy("stale"), copy("missing")], "rpo_target_ms": 1, "rpo_measured_ms": 2,
        "drill": { "drill": "x7", "at": AT, "failure": "f", "rto_measured_ms": 3, "rpo_measured_ms": 4 }, "gaps": [],
    }] }));
    golden::<BackupCheck>(json!({ "problems": [
        { "subject": "wal", "what": what, "target": null, "reason": "r" },
        { "subject": "target", "what": null, "target": "two", "reason": "r" },
    ] }));
    refused::<SetBackupTargetRequest>(json!({ "location": folder, "medium": "m" }));
    refused::<CreateBackupRunsRequest>(json!({ "target": "two" }));
    refused::<BackupRunQuery>(json!({}));
    refused::<havre_api::restore::CreateDrillQuery>(json!({ "method": "dump" }));
    refused::<BackupKitQuery>(json!({}));
    refused::<RemoveBackupTargetQuery>(json!({}));
}
