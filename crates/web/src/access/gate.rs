//! The one gate: every request passes here before its handler. An endpoint is a value that holds its permission, so
//! a route without one does not compile. Tests: `tests/it/access.rs` walks every route.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use havre_api::ssh_key::KEY_HEADER;
use havre_core::event::Actor;
use havre_core::id::SshKeyId;
use havre_core::time::Timestamp;
use http::HeaderMap;
use http::request::Parts;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use crate::access::secret;
use crate::error::{Code, Refusal};
use crate::git::{self, Told};
use crate::state::AppState;

/// What a caller must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Nothing.
    Public,
    /// Read rows, events and logs.
    Read,
    /// Change desired state.
    Change,
    /// Run commands in or beside tasks.
    Command,
    /// Reach the server of a database from elsewhere.
    Tunnel,
    /// Be on the machine.
    Machine,
    /// Be an edge.
    Edge,
    /// Be the program behind sshd.
    Sshd,
    /// Push by a key for SSH, to a repository the key is for.
    Repository,
    /// Push contents of Git LFS: with an access token, or by a key for SSH that was granted it.
    Contents,
}

/// Through which listener a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The TCP address: bearer tokens.
    Network,
    /// The local socket: whoever its file permissions let in.
    Local,
    /// The edge's socket.
    Edge,
    /// The socket of the program behind sshd, which says by whose key it was started.
    Ssh,
}

/// How long an endpoint may take to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Within the request timeout.
    Quick,
    /// It takes in a stream or waits on purpose, and bounds itself.
    Long,
}

/// One endpoint with its permission.
pub(crate) struct Endpoint {
    pub(crate) permission: Permission,
    pub(crate) pace: Pace,
    pub(crate) routes: UtoipaMethodRouter<AppState>,
}

impl Endpoint {
    pub(crate) fn quick(permission: Permission, routes: UtoipaMethodRouter<AppState>) -> Self {
        Self { permission, pace: Pace::Quick, routes }
    }

    pub(crate) fn long(permission: Permission, routes: UtoipaMethodRouter<AppState>) -> Self {
        Self { permission, pace: Pace::Long, routes }
    }
}

/// What one endpoint is guarded with.
#[derive(Clone)]
struct Gate {
    state: AppState,
    door: Door,
    permission: Permission,
    pace: Pace,
}

/// A router in which every endpoint, and every unknown path, is behind the gate.
pub(crate) fn guard(endpoints: Vec<Endpoint>, state: &AppState, door: Door) -> axum::Router {
    let mut router = OpenApiRouter::default();
    for Endpoint { permission, pace, routes } in endpoints {
        let gate = Gate { state: state.clone(), door, permission, pace };
        router = router.routes(routes.layer(middleware::from_fn_with_state(gate, pass)));
    }
    // Unknown paths tell nothing to whoever may not read.
    let permission = match door {
        Door::Edge => Permission::Edge,
        Door::Ssh => Permission::Sshd,
        Door::Network | Door::Local => Permission::Read,
    };
    let gate = Gate { state: state.clone(), door, permission, pace: Pace::Quick };
    let unknown = axum::routing::any(unknown_path).layer(middleware::from_fn_with_state(gate, pass));
    let (router, _) = router.split_for_parts();
    router.fallback_service(unknown.with_state::<()>(state.clone())).with_state(state.clone())
}

async fn unknown_path(request: Request) -> Refusal {
    let path: String = request.uri().path().chars().take(200).collect();
    Refusal::new(Code::PathNotFound, format!("there is no `{path}`"))
        .hint("GET /v1/openapi.json lists every path")
}

async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let is_git = request.uri().path().starts_with(git::PREFIX);
    match gate.admit(request.headers(), request.uri().path()).await {
        Ok(Some(actor)) => {
            request.extensions_mut().insert(Caller(actor));
        }
        Ok(None) => {}
        Err(refusal) if gate.door == Door::Ssh => return Told::from(refusal).into_response(),
        Err(refusal) if is_git => return ask_password(refusal.into_response()),
        Err(refusal) => return refusal.into_response(),
    }
    let method = request.method().clone();
    let answer = next.run(request);
    let response = match gate.pace {
        Pace::Long => answer.await,
        Pace::Quick => match tokio::time::timeout(gate.state.limits.request_timeout, answer).await {
            Ok(response) => response,
            Err(_) => return timed_out().into_response(),
        },
    };
    if response.status() == http::StatusCode::METHOD_NOT_ALLOWED {
        return method_not_allowed(&method, &response);
    }
    response
}

/// Git asks for a password where it is told so, and shows a refusal's text.
fn ask_password(mut response: Response) -> Response {
    if response.status() == http::StatusCode::UNAUTHORIZED {
        let ask = http::HeaderValue::from_static("Basic realm=\"Havre: an access token as the password\"");
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, ask);
    }
    response
}

fn timed_out() -> Refusal {
    Refusal::new(Code::Timeout, "the server did not answer in time; what was asked for may still happen")
        .hint("look at the state before you repeat the request")
}

fn method_not_allowed(method: &http::Method, response: &Response) -> Response {
    let allow = response.headers().get(http::header::ALLOW).cloned();
    let message = format!("this path does not know the method {method}");
    let mut refused = Refusal::new(Code::MethodNotAllowed, message).into_response();
    if let Some(allow) = allow {
        refused.headers_mut().insert(http::header::ALLOW, allow);
    }
    refused
}

impl Gate {
    /// Who is asking; `None` where nobody has to be known.
    async fn admit(&self, headers: &HeaderMap, path: &str) -> Result<Option<Actor>, Refusal> {
        match (self.door, self.permission) {
            (_, Permission::Public) => Ok(None),
            (Door::Edge, Permission::Edge) | (Door::Ssh, Permission::Sshd) => Ok(Some(Actor::Havre)),
            (Door::Ssh, Permission::Repository) => self.find_key(headers, path).await.map(Some),
            (Door::Edge | Door::Ssh, _)
            | (_, Permission::Edge | Permission::Sshd | Permission::Repository) => {
                Err(Refusal::new(Code::Forbidden, "this path is not served here"))
            }
            (Door::Local, _) => Ok(Some(Actor::Local)),
            (Door::Network, Permission::Contents) => match self.find_grant(headers, path).await? {
                Some(actor) => Ok(Some(actor)),
                None => Ok(Some(Actor::Token { name: self.find_token(headers, true).await? })),
            },
            (Door::Network, permission) => {
                let name = self.find_token(headers, path.starts_with(git::PREFIX)).await?;
                if permission == Permission::Machine {
                    return Err(machine_only());
                }
                Ok(Some(Actor::Token { name }))
            }
        }
    }

    /// The key for SSH that was granted this request, if it carries what was given out for it. The key must still be known, and for this repository.
    async fn find_grant(&self, headers: &HeaderMap, path: &str) -> Result<Option<Actor>, Refusal> {
        let Some(hash) = token(headers, false).and_then(|token| secret::hash(&token)) else {
            return Ok(None);
        };
        let Some(grant) = self.state.grants().find(&hash, self.state.now()) else { return Ok(None) };
        let project = git::project_of(path)?;
        if grant.project != project {
            let message =
                format!("this was granted for the project {}, and not for {project}", grant.project);
            return Err(Refusal::new(Code::Forbidden, message).hint("push again"));
        }
        let row = self.state.store.read(move |view| view.find_ssh_key(grant.key)).await?;
        let row = row.ok_or_else(key_unknown)?;
        Ok(Some(Actor::SshKey { name: row.name.to_string() }))
    }

    /// Name of the valid token a request carries.
    async fn find_token(&self, headers: &HeaderMap, is_git: bool) -> Result<String, Refusal> {
        let token = token(headers, is_git).ok_or_else(unauthorised)?;
        let hash = secret::hash(&token).ok_or_else(unauthorised)?;
        let row = self.state.store.read(move |view| view.find_token(hash)).await?;
        let row = row.filter(|row| secret::is_same(&row.hash, &hash)).ok_or_else(unauthorised)?;
        let now = self.state.now();
        if is_stale(row.last_used_at, now) {
            let id = row.id;
            let touched = self.state.store.write(now, Actor::Havre, move |tx| tx.touch_token(id)).await;
            // A full disk must not lock people out of reading.
            if let Err(error) = touched {
                tracing::warn!(error = crate::error::chain(&error), "could not note the use of a token");
            }
        }
        Ok(row.name.to_string())
    }

    /// Whose key the program behind sshd was started for, if it is still known and for this repository.
    async fn find_key(&self, headers: &HeaderMap, path: &str) -> Result<Actor, Refusal> {
        let id = headers.get(KEY_HEADER).and_then(|value| value.to_str().ok()?.parse::<SshKeyId>().ok());
        let id = id.ok_or_else(key_unknown)?;
        let row = self.state.store.read(move |view| view.find_ssh_key(id)).await?.ok_or_else(key_unknown)?;
        let project = git::project_of(path)?;
        if row.project.as_ref().is_some_and(|own| *own != project) {
            let message = format!("the key {} is not for the project {project}", row.name);
            let hint = "keys and their projects are listed on the server with `havre ssh-key list`";
            return Err(Refusal::new(Code::Forbidden, message).hint(hint));
        }
        let now = self.state.now();
        if is_stale(row.last_used_at, now) {
            let touched = self.state.store.write(now, Actor::Havre, move |tx| tx.touch_ssh_key(id)).await;
            // A full disk must not keep people from hearing so in git's own words.
            if let Err(error) = touched {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "could not note the use of a key for SSH"
                );
            }
        }
        Ok(Actor::SshKey { name: row.name.to_string() })
    }
}

/// Whether the last use of a token is old enough to be written again: once a minute is enough, each write is an fsync.
fn is_stale(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now.since(last) >= std::time::Duration::from_secs(60))
}

/// The token of a request; for git also as the password of whatever name, which is how git sends one (RFC 7617).
fn token(headers: &HeaderMap, is_git: bool) -> Option<String> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    // Two different answers to "who are you" are no answer.
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(token.trim().to_owned());
    }
    if !is_git || !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(token.trim()).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

fn unauthorised() -> Refusal {
    Refusal::new(Code::Unauthorised, "a valid access token is needed")
        .hint("make one on the server with `havre token create <name>` and send it as `Authorization: Bearer havre_...`")
}

fn key_unknown() -> Refusal {
    Refusal::new(Code::Unauthorised, "this key is not known any more")
        .hint("add it on the server with `havre ssh-key add NAME`")
}

fn machine_only() -> Refusal {
    let message =
        "access tokens, keys for SSH and backup targets are handled on the server's own machine only";
    Refusal::new(Code::MachineOnly, message).hint("log in to the server and run the command there")
}

/// Who is asking, for handlers that write.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Actor);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        // Absent only behind `Permission::Public`, where nothing may be written.
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthorised)
    }
}
