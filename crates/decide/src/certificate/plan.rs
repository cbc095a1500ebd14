//! What to do next about one certificate: one match over its state. Golden plans: `tests/it/certificate/plan.rs`.
//!
//! The order of the questions is the point: nobody is asked for anything before DNS points here, the edges have given an
//! answer of our own, and the budget has room. What stands in the way is a [`Blocker`], which `havre certificate list` shows.

use std::time::Duration;

use serde::Serialize;

use crate::certificate::renewal::renew_at;
use crate::certificate::seen::{Look, Seen, Wanted, look_again_at};
use havre_core::certificate::budget::{self, Ask, Exhausted};
use havre_core::certificate::challenge::{self, ChallengeKind, Proof};
use havre_core::certificate::issuer::{self, Issuer};
use havre_core::certificate::{Attempt, Certificate, Phase, Side, Source, Stage, State};
use havre_core::dns::TxtRecord;
use havre_core::dns::pointing::Pointing;
use havre_core::name::{CertificateName, HostName, IssuerName};
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// Bounds of the pause between two looks at DNS or at the edges.
const LOOK_LEAST: Span = Span::seconds(5);
const LOOK_MOST: Span = Span::seconds(600);
/// Bounds of the pause between two questions to an issuer about an open order.
const POLL_LEAST: Span = Span::seconds(1);
const POLL_MOST: Span = Span::seconds(15);
/// Longest time in which the edges give an answer; then DNS is looked at again.
const ASKING_MAX: Duration = Duration::from_secs(600);
/// Longest life of an order before we give it up; issuers let them live for days, users do not.
const ORDER_MAX: Duration = Duration::from_secs(3600);
/// Longest life of one that waits for its DNS provider: an order less than every week is what no limit of an issuer notices.
/// Let's Encrypt keeps orders for seven days; an issuer that keeps them for less says so when it is told to look.
const STALLED_MAX: Duration = Duration::from_secs(6 * 24 * 3600);
/// A rehearsal that passed is good for this long.
const REHEARSAL_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Pause between two attempts to take records away.
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// What to do now, and what is waited for. At most one step: what follows depends on its result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    /// To be done now.
    pub step: Option<Step>,
    /// State to store without doing anything.
    pub next: Option<State>,
    /// What is waited for.
    pub waiting_on: Vec<Blocker>,
    /// When to look again, if nothing happens before.
    pub look_again_at: Option<Timestamp>,
}

/// Something to do; its result goes to [`crate::certificate::conclude`]. All but [`Step::PlaceOrder`] may run twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step")]
#[expect(missing_docs, reason = "fields are named after what they are, and the variants say what is done")]
pub enum Step {
    /// Ask servers of names where the hosts point, and who may sign for them.
    LookUp,
    /// Make the certificates that the edges present in a trial by TLS.
    MakeTrial,
    /// Ask every edge for the answers it was given.
    AskEdges,
    /// Record an order, then place it. The budget is asked again in the transaction that records it.
    PlaceOrder { attempt: Attempt, is_renewal: bool, is_retry: bool },
    /// Ask the issuer what it wants for an order.
    ReadOrder { url: String, challenge: ChallengeKind },
    /// Write records at the DNS provider.
    WriteRecords { records: Vec<TxtRecord> },
    /// Ask the zone's own servers whether they show the records.
    LookAtZone { records: Vec<TxtRecord> },
    /// Tell the issuer to look.
    Answer { url: String, challenge: ChallengeKind },
    /// Ask the issuer how the order stands; hand in the request or fetch the certificate where it is time.
    Proceed { url: String },
    /// Give an open order up.
    GiveUp { side: Side, message: String },
    /// Ask the issuer when it wants the certificate renewed.
    AskRenewal { issuer: IssuerName },
    /// Take records away that have served.
    ClearRecords { records: Vec<TxtRecord> },
}

/// Why nothing more can be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "blocker")]
#[expect(missing_docs, reason = "`Display` says each in words")]
pub enum Blocker {
    NoIssuer,
    NotPublic { name: CertificateName, issuer: IssuerName },
    NoProvider { name: CertificateName },
    NoWay { issuer: IssuerName },
    NoAddress,
    Points { host: HostName, pointing: Box<Pointing> },
    Forbidden { message: String },
    NoEdge,
    EdgesLearn,
    EdgeSilent { message: String },
    ZoneLags { message: String },
    Stalled { until: Timestamp, tries: u32, is_passing: bool, message: String },
    Budget { issuer: IssuerName, stage: Stage, exhausted: Box<Exhausted> },
    IssuerLooks { issuer: IssuerName, stage: Stage, since: Timestamp },
    BackingOff { until: Timestamp, failures: u32, message: String },
    Expires { at: Timestamp },
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoIssuer => f.write_str(
                "no issuer is set: `havre issuer set letsencrypt --contact you@example.org --agree-tos`",
            ),
            Self::NotPublic { name, issuer } => write!(
                f,
                "{name} is not a name of the public internet, so {issuer} cannot sign for it; upload a certificate, or set an issuer of your own"
            ),
            Self::NoProvider { name } => {
                write!(f, "{name} can be proven by DNS only: `havre dns-provider set` for its zone")
            }
            Self::NoWay { issuer } => {
                write!(f, "{issuer} is set up with dns-01 only, and the zone has no DNS provider here")
            }
            Self::NoAddress => f.write_str(
                "the public addresses of this machine are not known: set `public_addresses` in havred.toml",
            ),
            Self::Points { host, pointing } => write!(f, "{host}: {pointing}"),
            Self::Forbidden { message } => f.write_str(message),
            Self::NoEdge => f.write_str("no edge reports; is `havred edge` running?"),
            Self::EdgesLearn => f.write_str("the edges are being told what to answer"),
            Self::EdgeSilent { message } => {
                write!(f, "the edge does not give the answer it should: {message}")
            }
            Self::ZoneLags { message } => write!(f, "the zone does not show the record yet: {message}"),
            Self::Stalled { until, tries, is_passing: true, message } => write!(
                f,
                "the DNS provider did not take the record {tries} times; the order is kept, the provider asked again at {until}: {message}"
            ),
            Self::Stalled { until, is_passing: false, message, .. } => write!(
                f,
                "this does not pass by itself: {message}; the order is kept, the provider asked again once it is set anew (`havre dns-provider set`), at the latest at {until}"
            ),
            Self::Budget { issuer, stage, exhausted } => {
                write!(f, "the budget of {issuer} ({}) is used up: {exhausted}", stage.as_str())
            }
            Self::IssuerLooks { issuer, stage, since } => {
                write!(f, "{issuer} ({}) is looking since {since}", stage.as_str())
            }
            Self::BackingOff { until, failures, message } => {
                write!(f, "failed {failures} times, tried again at {until}: {message}")
            }
            Self::Expires { at } => {
                write!(f, "it was uploaded and expires at {at}: upload the next one before")
            }
        }
    }
}

fn step(step: Step) -> Plan {
    Plan { step: Some(step), ..Plan::default() }
}

fn next(state: State) -> Plan {
    Plan { next: Some(state), ..Plan::default() }
}

fn wait(blocker: Blocker, look_again_at: Option<Timestamp>) -> Plan {
    Plan { waiting_on: vec![blocker], look_again_at, ..Plan::default() }
}

/// Whether a new certificate is needed now.
pub fn is_due(certificate: &Certificate, now: Timestamp) -> bool {
    if certificate.source == Source::Uploaded || !certificate.is_wanted {
        return false;
    }
    match &certificate.current {
        None => true,
        Some(current) => {
            certificate.record.is_renewal_asked
                || !current.is_valid(now)
                || now >= renew_at(certificate.id, current)
        }
    }
}

/// Chooses.
pub fn plan(certificate: &Certificate, wanted: &Wanted, seen: &Seen, now: Timestamp) -> Plan {
    let case = Case { certificate, wanted, seen, now };
    match &certificate.state {
        State::Resting { since } => case.tidy().unwrap_or_else(|| case.resting(*since)),
        State::BackingOff { since, until } => case.tidy().unwrap_or_else(|| case.backing_off(*since, *until)),
        State::Asking { since, trial } => case.asking(*since, trial),
        State::Ordering { since, attempt, phase, .. } => case.ordering(*since, attempt, phase),
    }
}

struct Case<'a> {
    certificate: &'a Certificate,
    wanted: &'a Wanted,
    seen: &'a Seen,
    now: Timestamp,
}

impl Case<'_> {
    /// Records that have served are taken away first, unless that was tried a moment ago.
    fn tidy(&self) -> Option<Plan> {
        let records = &self.certificate.record.leftovers;
        let is_time = self.seen.tidied_at.is_none_or(|at| self.now.since(at) >= TIDY_EVERY);
        (!records.is_empty() && is_time).then(|| step(Step::ClearRecords { records: records.clone() }))
    }

    fn backing_off(&self, since: Timestamp, until: Timestamp) -> Plan {
        // A clock that was set back must not make us wait for longer than was meant.
        let is_over = self.now >= until || self.now < since;
        if is_over || !is_due(self.certificate, self.now) {
            return next(State::Resting { since: self.now });
        }
        let message =
            self.certificate.record.last_failure.as_ref().map_or("", |failure| failure.message.as_str());
        let failures = self.certificate.record.failures;
        wait(Blocker::BackingOff { until, failures, message: message.to_owned() }, Some(until))
    }

    fn resting(&self, since: Timestamp) -> Plan {
        if !is_due(self.certificate, self.now) {
            return self.content();
        }
        let issuer = match self.issuer() {
            Ok(issuer) => issuer,
            Err(blocker) => return wait(blocker, None),
        };
        match self.challenge(issuer) {
            Err(blocker) => wait(blocker, None),
            Ok(ChallengeKind::Dns01) => self.place(issuer, ChallengeKind::Dns01),
            Ok(_) => self.look(since),
        }
    }

    /// Nothing is needed; when something will be.
    fn content(&self) -> Plan {
        let Some(current) = &self.certificate.current else { return Plan::default() };
        if self.certificate.source == Source::Uploaded {
            let at = current.not_after;
            let soon = self.now.after(Duration::from_secs(21 * 24 * 3600)) >= at;
            return if soon { wait(Blocker::Expires { at }, None) } else { Plan::default() };
        }
        let issuer =
            current.issuer.as_ref().filter(|name| self.wanted.issuers.iter().any(|i| i.name == **name));
        if let (Some(issuer), true, true) =
            (issuer, self.certificate.is_wanted, self.now >= current.ask_again_at)
        {
            return step(Step::AskRenewal { issuer: issuer.clone() });
        }
        Plan { look_again_at: Some(renew_at(self.certificate.id, current)), ..Plan::default() }
    }

    fn issuer(&self) -> Result<&Issuer, Blocker> {
        let failures = self.certificate.record.issuer_failures;
        let issuer = issuer::choose(&self.wanted.issuers, failures).ok_or(Blocker::NoIssuer)?;
        let private = self.certificate.names.iter().find(|name| !issuer::is_public_name(name));
        match private {
            Some(name) if issuer.is_public() => {
                Err(Blocker::NotPublic { name: name.clone(), issuer: issuer.name.clone() })
            }
            _ => Ok(issuer),
        }
    }

    fn challenge(&self, issuer: &Issuer) -> Result<ChallengeKind, Blocker> {
        let names = &self.certificate.names;
        let failures = self.certificate.record.failures;
        let mut ways = issuer.challenges.clone();
        // Its turn would never end where an edge has nowhere to present a certificate.
        if self.seen.edges.lack_https && ways.contains(&ChallengeKind::Http01) {
            ways.retain(|way| *way != ChallengeKind::TlsAlpn01);
        }
        challenge::choose(names, self.wanted.has_provider, &ways, failures).ok_or_else(|| {
            match names.iter().find(|name| name.is_wildcard()) {
                Some(name) => Blocker::NoProvider { name: name.clone() },
                None => Blocker::NoWay { issuer: issuer.name.clone() },
            }
        })
    }

    /// Do the names point here?
    fn look(&self, since: Timestamp) -> Plan {
        if self.wanted.here.is_empty() {
            return wait(Blocker::NoAddress, None);
        }
        let Some(look) = self.seen.names.as_ref().filter(|look| self.is_fresh(look, since)) else {
            return step(Step::LookUp);
        };
        let mut waiting_on: Vec<Blocker> = look
            .seen
            .hosts
            .iter()
            .filter(|(_, pointing)| *pointing != Pointing::Here)
            .map(|(host, pointing)| Blocker::Points {
                host: host.clone(),
                pointing: Box::new(pointing.clone()),
            })
            .collect();
        waiting_on.extend(
            look.seen.forbidden.iter().map(|message| Blocker::Forbidden { message: message.clone() }),
        );
        if waiting_on.is_empty() {
            return next(State::Asking { since: self.now, trial: Vec::new() });
        }
        let look_again_at = Some(look_again_at(look.at, since, LOOK_LEAST, LOOK_MOST));
        Plan { waiting_on, look_again_at, ..Plan::default() }
    }

    fn is_fresh<T>(&self, look: &Look<T>, since: Timestamp) -> bool {
        // A look from before this state began says nothing about it.
        look.at >= since && self.now < look_again_at(look.at, since, LOOK_LEAST, LOOK_MOST)
    }

    fn asking(&self, since: Timestamp, trial: &[Proof]) -> Plan {
        let (issuer, challenge) = match self.issuer().and_then(|issuer| Ok((issuer, self.challenge(issuer)?)))
        {
            Ok(found) if is_due(self.certificate, self.now) => found,
            _ => return next(State::Resting { since: self.now }),
        };
        if self.now.since(since) > ASKING_MAX {
            return next(State::Resting { since: self.now });
        }
        match challenge {
            ChallengeKind::TlsAlpn01 if trial.is_empty() && self.seen.edges.count > 0 => {
                return step(Step::MakeTrial);
            }
            // The way has changed since: what the edges present is not what an issuer would look at.
            ChallengeKind::Http01 | ChallengeKind::Dns01 if !trial.is_empty() => {
                return next(State::Resting { since: self.now });
            }
            _ => {}
        }
        self.edges(since, challenge).unwrap_or_else(|| self.place(issuer, challenge))
    }

    /// What is still to be done until the edges give the answers; `None` when they do.
    fn edges(&self, since: Timestamp, challenge: ChallengeKind) -> Option<Plan> {
        let edges = &self.seen.edges;
        if edges.count == 0 {
            return Some(wait(Blocker::NoEdge, None));
        }
        if !edges.know {
            return Some(wait(Blocker::EdgesLearn, None));
        }
        if challenge == ChallengeKind::Dns01 {
            return None;
        }
        let Some(look) = edges.gave.as_ref().filter(|look| self.is_fresh(look, since)) else {
            return Some(step(Step::AskEdges));
        };
        let message = look.seen.clone().err()?;
        let again = look_again_at(look.at, since, LOOK_LEAST, LOOK_MOST);
        Some(wait(Blocker::EdgeSilent { message }, Some(again)))
    }

    fn place(&self, issuer: &Issuer, challenge: ChallengeKind) -> Plan {
        let certificate = self.certificate;
        let is_own =
            certificate.current.as_ref().is_some_and(|current| current.issuer.as_ref() == Some(&issuer.name));
        let is_renewal = is_own || self.seen.has_been_issued(&issuer.name, &certificate.names);
        let is_retry = certificate.record.failures > 0;
        let stage = if self.rehearses(issuer, is_renewal) { Stage::Rehearsal } else { Stage::Production };
        let ask = Ask { issuer: &issuer.name, stage, names: &certificate.names, is_renewal, is_retry };
        if let Err(exhausted) = budget::ask(&self.seen.history, &issuer.limits(stage), &ask, self.now) {
            let look_again_at = Some(exhausted.until);
            let exhausted = Box::new(exhausted);
            return wait(Blocker::Budget { issuer: issuer.name.clone(), stage, exhausted }, look_again_at);
        }
        let attempt = Attempt { issuer: issuer.name.clone(), stage, challenge };
        step(Step::PlaceOrder { attempt, is_renewal, is_retry })
    }

    /// Whether the staging directory comes first: after any failure, and for first orders when there is reason for caution.
    fn rehearses(&self, issuer: &Issuer, is_renewal: bool) -> bool {
        if issuer.staging.is_none() {
            return false;
        }
        let record = &self.certificate.record;
        if record.rehearsed_at.is_some_and(|at| self.now.since(at) < REHEARSAL_LIFE) {
            return false;
        }
        record.failures > 0
            || (!is_renewal && budget::is_cautious(&self.seen.history, self.seen.newcomers, self.now))
    }

    fn ordering(&self, placed: Timestamp, attempt: &Attempt, phase: &Phase) -> Plan {
        // What comes after a stall has its hour from there.
        let since = match phase {
            Phase::Publishing { since: Some(since), .. } | Phase::Validating { since, .. } => *since,
            _ => placed,
        };
        if !matches!(phase, Phase::Stalled { .. }) && self.now.since(since) > ORDER_MAX {
            let message = format!("the order came to no end in an hour while {}", phase.doing());
            return step(Step::GiveUp { side: Side::Issuer, message });
        }
        if !self.wanted.issuers.iter().any(|issuer| issuer.name == attempt.issuer) {
            let message = format!("the issuer {} was removed", attempt.issuer);
            return step(Step::GiveUp { side: Side::Ours, message });
        }
        match phase {
            // Placing ends within one step, unless control was stopped in it. The order may exist and counts.
            Phase::Placing => next(State::Resting { since: self.now }),
            Phase::Placed { url } => step(Step::ReadOrder { url: url.clone(), challenge: attempt.challenge }),
            Phase::Publishing { url, proofs, .. } => self.publishing(since, attempt, url, proofs),
            Phase::Stalled { .. } => self.stalled(placed, attempt, phase),
            Phase::Validating { url, .. } => self.validating(since, attempt, url),
        }
    }

    /// Is the order still worth keeping? Then its time to try again comes, and nobody else is asked.
    fn stalled(&self, placed: Timestamp, attempt: &Attempt, phase: &Phase) -> Plan {
        let Phase::Stalled { url, proofs, since, until, is_passing, message } = phase else {
            return Plan::default();
        };
        let over = if self.now.since(placed) > STALLED_MAX {
            Some(format!("the order is given up after six days in which {}: {message}", phase.doing()))
        } else if !is_due(self.certificate, self.now) {
            Some("the certificate of the order that was kept is not needed any more".to_owned())
        } else if !self.wanted.has_provider {
            Some("the DNS provider was removed while the order waited for it".to_owned())
        } else {
            None
        };
        if let Some(message) = over {
            return step(Step::GiveUp { side: Side::Ours, message });
        }
        // A clock that was set back must not make us wait for longer than was meant.
        if self.now < *until && self.now >= *since {
            let (tries, message) = (self.certificate.record.stalls, message.clone());
            let blocker = Blocker::Stalled { until: *until, tries, is_passing: *is_passing, message };
            return wait(blocker, Some(*until));
        }
        let (url, proofs, challenge) = (url.clone(), proofs.clone(), attempt.challenge);
        if proofs.is_empty() {
            return step(Step::ReadOrder { url, challenge });
        }
        let mut state = self.certificate.state.clone();
        if let State::Ordering { phase, .. } = &mut state {
            *phase = Phase::Publishing { url, proofs, since: Some(self.now) };
        }
        next(state)
    }

    fn publishing(&self, since: Timestamp, attempt: &Attempt, url: &str, proofs: &[Proof]) -> Plan {
        let challenge = attempt.challenge;
        let waited = self.now.since(since);
        let records: Vec<TxtRecord> = proofs
            .iter()
            .filter_map(|proof| match proof {
                Proof::Txt { record } => Some(record.clone()),
                Proof::File { .. } | Proof::Handshake { .. } => None,
            })
            .collect();
        let plan = match challenge {
            _ if proofs.is_empty() => None,
            ChallengeKind::Dns01 => self.zone(since, records),
            ChallengeKind::Http01 | ChallengeKind::TlsAlpn01 => self.edges(since, challenge),
        };
        let Some(plan) = plan else { return step(Step::Answer { url: url.to_owned(), challenge }) };
        match plan.waiting_on.first() {
            Some(blocker) if waited > ASKING_MAX => {
                step(Step::GiveUp { side: Side::Ours, message: blocker.to_string() })
            }
            _ => plan,
        }
    }

    fn zone(&self, since: Timestamp, records: Vec<TxtRecord>) -> Option<Plan> {
        let Some(look) = self.seen.zone.as_ref().filter(|look| look.at >= since) else {
            return Some(step(Step::WriteRecords { records }));
        };
        let message = look.seen.clone().err()?;
        let again = look_again_at(look.at, since, LOOK_LEAST, LOOK_MOST);
        if self.now >= again {
            return Some(step(Step::LookAtZone { records }));
        }
        Some(wait(Blocker::ZoneLags { message }, Some(again)))
    }

    fn validating(&self, since: Timestamp, attempt: &Attempt, url: &str) -> Plan {
        let asked = self.seen.asked_issuer_at.filter(|at| *at >= since);
        let again = asked.map(|at| look_again_at(at, since, POLL_LEAST, POLL_MOST));
        match again {
            Some(again) if self.now < again => {
                let (issuer, stage) = (attempt.issuer.clone(), attempt.stage);
                wait(Blocker::IssuerLooks { issuer, stage, since }, Some(again))
            }
            _ => step(Step::Proceed { url: url.to_owned() }),
        }
    }
}
