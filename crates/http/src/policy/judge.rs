//! The rules of a route in their order: who may not come, what leads elsewhere, other origins, maintenance, how often,
//! who it is. The first that keeps a request from its target answers it. Tests: `tests.rs`.

use std::sync::Arc;
use std::time::Duration;

use havre_core::route::settings::network::Network;
use havre_core::route::settings::rate::{RateKey, RateLimit};
use sha2::{Digest, Sha256};

use super::auth::Known;
use super::{Check, Limiter, Pass, Policy, Reply, Verdict, View, compress, cors, sign, sticky};
use crate::h1::Refusal;
use crate::page::Trouble;
use crate::trust::client_key;

/// Carries the secret that passes maintenance; never reaches a task.
pub(super) const BYPASS_HEADER: &str = "havre-bypass";

/// The same as a cookie.
const BYPASS_COOKIE: &str = "havre_bypass";

/// When to come back during maintenance, in seconds.
const MAINTENANCE_RETRY: u32 = 60;

impl Policy {
    /// Decides about one request.
    pub fn judge(self: &Arc<Self>, view: &View<'_>) -> Verdict {
        let mut pass = Pass::new(self, view);
        if let Some(reply) = self.refuse(view, &mut pass) {
            return Verdict::Answer(reply, pass);
        }
        match self.sign_in(view) {
            SignIn::Done => {}
            SignIn::Refused(reply) => return Verdict::Answer(reply, pass),
            SignIn::Unchecked(check) => return Verdict::Wait(check),
        }
        pass.target = self.strip(view.target);
        if self.settings.compress && view.method != "HEAD" {
            pass.coding = compress::accepted((view.header)("accept-encoding"));
        }
        if let Some(sticky) = &self.sticky {
            pass.task = (view.header)("cookie").and_then(|header| sticky.task(header)).map(Into::into);
        }
        Verdict::Pass(pass)
    }

    /// The answer of the first rule that keeps a request from its target, passwords aside.
    fn refuse(&self, view: &View<'_>, pass: &mut Pass) -> Option<Reply> {
        let settings = &self.settings;
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(view.client));
        if is_in(&settings.deny) || (!settings.allow.is_empty() && !is_in(&settings.allow)) {
            return Some(trouble(Trouble::Forbidden));
        }
        if let Some(reply) = self.redirect(view) {
            return Some(reply);
        }
        if settings.limits.head.is_some_and(|most| view.head_size > most.as_bytes()) {
            return Some(trouble(Trouble::Refused(Refusal::LongHead)));
        }
        if let Some(cors) = &settings.cors {
            pass.cors = cors::lines(cors, view);
            if let Some(preflight) = cors::preflight(cors, view) {
                return Some(Reply::Plain(204, preflight));
            }
        }
        if let Some(digest) = &self.maintenance
            && !is_in(&settings.maintenance.allow)
            && !knows_secret(view, digest)
        {
            let retry = ("Retry-After", MAINTENANCE_RETRY.to_string());
            return Some(Reply::Trouble(Trouble::Maintenance, vec![retry]));
        }
        self.limit(view)
    }

    fn redirect(&self, view: &View<'_>) -> Option<Reply> {
        let (path, query) = match view.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (view.target, None),
        };
        let (redirect, rest) = self
            .settings
            .redirects
            .iter()
            .find_map(|redirect| redirect.from.rest(path).map(|rest| (redirect, rest)))?;
        let lines = vec![("Location", redirect.to.fill(rest, query))];
        Some(Reply::Plain(redirect.status.into(), lines))
    }

    /// Counts a request; the answer to one that comes too soon.
    fn limit(&self, view: &View<'_>) -> Option<Reply> {
        if view.is_again {
            return None;
        }
        let wait = self
            .settings
            .rate_limits
            .iter()
            .zip(&self.limiters)
            .filter_map(|(limit, limiter)| take(limit, limiter, view).err())
            .max()?;
        Some(too_often(wait))
    }

    fn sign_in(&self, view: &View<'_>) -> SignIn {
        let Some(gate) = &self.gate else { return SignIn::Done };
        match gate.judge((view.header)("authorization")) {
            Known::Right => SignIn::Done,
            Known::Wrong => {
                let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", gate.settings.realm);
                let lines = vec![("WWW-Authenticate", challenge)];
                SignIn::Refused(Reply::Trouble(Trouble::Unauthorized, lines))
            }
            Known::Unchecked(sent) => match self.attempts.take(client_key(view.client), view.now) {
                Ok(()) => SignIn::Unchecked(Check { gate: Arc::clone(gate), sent }),
                Err(wait) => SignIn::Refused(too_often(wait)),
            },
        }
    }

    /// The target without the prefix that is taken off; it always starts with a slash.
    pub(super) fn strip(&self, target: &str) -> Option<Box<str>> {
        let prefix = self.settings.strip_prefix.as_ref()?.as_str().trim_end_matches('/');
        let rest = target.strip_prefix(prefix)?;
        match rest.as_bytes().first() {
            None => Some("/".into()),
            Some(b'?') => Some(format!("/{rest}").into()),
            Some(b'/') if !prefix.is_empty() => Some(rest.into()),
            _ => None,
        }
    }
}

/// What is known about who asks.
enum SignIn {
    Done,
    Refused(Reply),
    Unchecked(Check),
}

fn trouble(trouble: Trouble) -> Reply {
    Reply::Trouble(trouble, Vec::new())
}

fn too_often(wait: Duration) -> Reply {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Reply::Trouble(Trouble::TooOften, vec![("Retry-After", seconds.max(1).to_string())])
}

fn take(limit: &RateLimit, limiter: &Limiter, view: &View<'_>) -> Result<(), Duration> {
    let sent = match &limit.by {
        RateKey::Header(name) => (view.header)(name.as_str()),
        RateKey::Client => None,
    };
    match sent {
        Some(value) => limiter.take(value, view.now),
        None => limiter.take(client_key(view.client), view.now),
    }
}

/// Whether a request carries the secret that passes maintenance.
fn knows_secret(view: &View<'_>, digest: &[u8; 32]) -> bool {
    let cookie = || sticky::cookie((view.header)("cookie")?, BYPASS_COOKIE).map(str::as_bytes);
    let sent = (view.header)(BYPASS_HEADER).or_else(cookie);
    sent.is_some_and(|sent| sign::is_same(&Sha256::digest(sent), digest))
}
