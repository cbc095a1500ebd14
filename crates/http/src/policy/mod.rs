//! What a route does with requests and answers beyond bringing them to its target: pure decisions on a view of a
//! head, the same for every protocol. `judge` says whether a request passes, is answered here or must wait; `Pass`
//! says what changes on the way in, `Edits` what changes on the way out. Reads no socket, writes no head; what a
//! route counts lives in `rate`. A route without settings has no policy at all, which costs one branch.
//! Tests: `tests.rs`; on a running edge its `tests/it/policy.rs`.

mod auth;
mod compress;
mod cors;
mod edit;
mod judge;
mod rate;
mod sign;
mod sticky;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use havre_api::route_table::{Limits, Policy as WirePolicy};
use havre_core::quantity::Span;
use havre_core::route::settings::HOLD_MOST;
use havre_core::route::settings::RouteSettings;
use havre_core::route::settings::rate::RateLimit;
use havre_core::route::settings::text::Page;
use tokio::sync::oneshot;

use crate::page::Trouble;
use auth::{Gate, Sent};
pub use auth::{Hasher, credentials};
pub use compress::{Coding, Encoder, accepted};
pub use edit::{AnswerView, Edits};
use rate::Limiter;
pub use sign::is_same;
use sticky::Stickiness;

/// Wrong passwords one client may send in a minute; those that were checked before count no more.
const ATTEMPTS: u32 = 10;

/// A header line of our own.
pub type Line = (&'static str, String);

/// The policy of one route at one generation, with everything computed that does not depend on the request. What it
/// counts and remembers is taken over from the generation before where the settings behind it are the same.
#[derive(Debug)]
pub struct Policy {
    settings: RouteSettings,
    /// Sizes and times of this route, in place of the service's.
    pub limits: Limits,
    /// Digest of the secret that passes maintenance; maintenance is on when there is one.
    maintenance: Option<[u8; 32]>,
    limiters: Vec<Arc<Limiter>>,
    gate: Option<Arc<Gate>>,
    attempts: Arc<Limiter>,
    sticky: Option<Stickiness>,
}

/// What a policy is made of besides its wire form.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Its key in the table.
    pub key: &'a str,
    /// A secret of the installation.
    pub secret: &'a str,
    /// Limits of the service it stands before.
    pub limits: &'a Limits,
}

/// What a policy sees of a request. Only what is routed is seen: the head has been judged already.
#[expect(missing_debug_implementations, reason = "it lends a closure")]
pub struct View<'v> {
    pub method: &'v str,
    /// Path and query in origin form, or `*`.
    pub target: &'v str,
    /// Address of the client.
    pub client: IpAddr,
    /// The client speaks TLS to us.
    pub is_tls: bool,
    /// Bytes of the head.
    pub head_size: u64,
    /// Time since the process started.
    pub now: Duration,
    /// It is judged once more, after a wait: it has been counted.
    pub is_again: bool,
    /// Value of the first line of this name (lower case).
    pub header: &'v dyn Fn(&str) -> Option<&'v [u8]>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// It goes on to its target.
    Pass(Pass),
    /// The edge answers it.
    Answer(Reply, Pass),
    /// Something must be found out first; then it is judged once more.
    Wait(Check),
}

/// A password on its way to be checked.
#[derive(Debug)]
pub struct Check {
    gate: Arc<Gate>,
    sent: Sent,
}

/// A request on its way, with what its answer will depend on. What a policy asks of the answers of this edge itself
/// (pages, files) is asked through it too.
#[derive(Debug)]
pub struct Pass {
    policy: Arc<Policy>,
    /// Target for the upstream, where it differs from what was sent.
    pub target: Option<Box<str>>,
    is_tls: bool,
    /// The task the client's cookie names.
    task: Option<Box<str>>,
    /// The cookie the answer sets.
    set_cookie: RefCell<Option<String>>,
    /// How the client takes answers compressed.
    coding: Option<Coding>,
    /// What the answer says to another origin.
    cors: Vec<Line>,
}

/// An answer of the policy itself.
#[derive(Debug)]
pub enum Reply {
    /// Something is wrong; there may be a page for it.
    Trouble(Trouble, Vec<Line>),
    /// A status without a body.
    Plain(u16, Vec<Line>),
}

impl Policy {
    /// From its wire form, taking over from `previous`, the policy of the same key in the table before.
    pub fn new(wire: &WirePolicy, around: Around<'_>, previous: Option<&Self>) -> Self {
        let settings = wire.settings.clone();
        let (own, limits) = (&settings.limits, around.limits);
        let millis = |span: Option<Span>, default: u64| span.map_or(default, |span| span.as_millis());
        let limits = Limits {
            connect_timeout_ms: millis(own.connect, limits.connect_timeout_ms),
            first_byte_timeout_ms: millis(own.first_byte, limits.first_byte_timeout_ms),
            max_body_bytes: own.body.map_or(limits.max_body_bytes, |size| size.as_bytes()),
        };
        let gate = settings.basic_auth.clone().map(|auth| {
            let known = previous.and_then(|previous| previous.gate.as_ref());
            match known.filter(|gate| gate.settings == auth) {
                Some(gate) => Arc::clone(gate),
                None => Arc::new(Gate::new(auth)),
            }
        });
        let secret = around.secret;
        Self {
            limits,
            maintenance: wire.maintenance.as_ref().map(|digest| *digest.bytes()),
            limiters: limiters(&settings.rate_limits, previous),
            gate,
            attempts: previous.map_or_else(
                || Arc::new(Limiter::new(ATTEMPTS, Duration::from_secs(60), ATTEMPTS)),
                |previous| Arc::clone(&previous.attempts),
            ),
            sticky: settings.sticky.clone().map(|sticky| Stickiness::new(sticky, secret, around.key)),
            settings,
        }
    }

    /// Longest time from the head of a request to the end of its answer.
    pub fn total(&self) -> Option<Duration> {
        self.settings.limits.total.map(|span| span.duration())
    }

    /// Longest hold of a request while the service has no task.
    pub fn hold(&self) -> Duration {
        self.settings.hold.unwrap_or(HOLD_MOST).duration()
    }

    /// The configured page for a trouble.
    pub fn page(&self, trouble: Trouble) -> Option<&Page> {
        let own = self.settings.maintenance.page.as_ref().filter(|_| trouble == Trouble::Maintenance);
        own.or_else(|| self.error_page(trouble.status()))
    }

    /// The configured page for a status; the exact status before its class.
    fn error_page(&self, status: u16) -> Option<&Page> {
        let pages = &self.settings.error_pages.pages;
        let exact = pages.iter().find(|(pattern, _)| pattern.as_str().parse() == Ok(status));
        exact.or_else(|| pages.iter().find(|(pattern, _)| pattern.covers(status))).map(|(_, page)| page)
    }
}

/// One for each rate limit; those with the same settings go on counting.
fn limiters(wanted: &[RateLimit], previous: Option<&Policy>) -> Vec<Arc<Limiter>> {
    let known = |limit: &RateLimit| {
        let previous = previous?;
        let index = previous.settings.rate_limits.iter().position(|known| known == limit)?;
        previous.limiters.get(index).cloned()
    };
    let new = |limit: &RateLimit| Arc::new(Limiter::new(limit.requests, limit.per.duration(), limit.burst));
    wanted.iter().map(|limit| known(limit).unwrap_or_else(|| new(limit))).collect()
}

impl Check {
    /// Hands it to the thread that checks; resolves when the result is known. `None` when too many wait.
    pub fn begin(self, hasher: &Hasher) -> Option<oneshot::Receiver<()>> {
        hasher.check(&self.gate, self.sent)
    }
}

impl Reply {
    /// Too many passwords wait to be checked.
    pub fn busy() -> Self {
        Self::Trouble(Trouble::Busy, Vec::new())
    }

    /// Status of the answer.
    #[cfg(test)]
    pub fn status(&self) -> u16 {
        match self {
            Self::Trouble(trouble, _) => trouble.status(),
            Self::Plain(status, _) => *status,
        }
    }

    /// Its lines, those of a page aside.
    pub fn lines(&self) -> &[Line] {
        match self {
            Self::Trouble(_, lines) | Self::Plain(_, lines) => lines,
        }
    }
}

impl Pass {
    fn new(policy: &Arc<Policy>, view: &View<'_>) -> Self {
        Self {
            policy: Arc::clone(policy),
            target: None,
            is_tls: view.is_tls,
            task: None,
            set_cookie: RefCell::default(),
            coding: None,
            cors: Vec::new(),
        }
    }

    /// The policy it passed.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The task this client stays with, if it is still there.
    pub fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// A task was picked: the client is told where it stays if that is news.
    pub fn picked(&self, task: &str) {
        let Some(sticky) = &self.policy.sticky else { return };
        let cookie = (self.task() != Some(task)).then(|| sticky.set_cookie(task, self.is_tls));
        *self.set_cookie.borrow_mut() = cookie;
    }

    /// Whether a line of the request (name as sent) stays away from the upstream.
    pub fn drops_from_request(&self, name: &str) -> bool {
        edit::drops(&self.policy.settings.request_headers, name)
            || name.eq_ignore_ascii_case(judge::BYPASS_HEADER)
    }

    /// Lines the upstream gets besides those of the request.
    pub fn request_lines(&self) -> impl Iterator<Item = (&str, &str)> {
        edit::lines(&self.policy.settings.request_headers)
    }

    /// Whether the page of a route takes the place of what a task answers.
    pub fn replaces(&self, status: u16) -> Option<&Page> {
        self.policy.error_page(status).filter(|_| self.policy.settings.error_pages.replace)
    }

    /// What changes in an answer.
    pub fn edit(&self, view: &AnswerView<'_>) -> Edits<'_> {
        Edits::new(self, view)
    }
}
