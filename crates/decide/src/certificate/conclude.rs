//! What the result of a step means: the next state, what is remembered, what is told. Pure. Tests:
//! `tests/it/certificate/plan.rs`, `tests/it/certificate/laws.rs`.

use crate::certificate::backoff::{pause, stall};
use crate::certificate::check::check_replacement;
use crate::certificate::renewal::ask_again_at;
use havre_core::certificate::Window;
use havre_core::certificate::budget::End;
use havre_core::certificate::challenge::Proof;
use havre_core::certificate::event::Event;
use havre_core::certificate::{Certificate, Current, Failure, Phase, Side, Stage, State};
use havre_core::id::OrderId;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;

/// What a step led to. Looks at DNS, edges and zones are no results: they are seen, and kept in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There are certificates for the edges to try.
    TrialMade {
        /// What they present.
        proofs: Vec<Proof>,
    },
    /// The issuer has the order.
    Placed {
        /// Where it is.
        url: String,
    },
    /// What the issuer wants to be shown.
    Wants {
        /// Empty when it knows everything already.
        proofs: Vec<Proof>,
    },
    /// The records could not be written; the issuer has nothing to do with it, so the order is kept.
    Stalled {
        /// It can end without anybody changing anything.
        is_passing: bool,
        /// What was said.
        message: String,
    },
    /// It was told to look.
    Answered,
    /// There is a certificate; a rehearsal's is thrown away.
    Issued {
        /// What it is.
        current: Box<Current>,
    },
    /// It came to nothing.
    Failed {
        /// Whose doing.
        side: Side,
        /// What was said.
        message: String,
        /// How long the issuer wants to be left alone.
        retry_after: Option<Span>,
    },
    /// The issuer said when it wants the certificate renewed, or that it does not say.
    Renewal {
        /// When.
        window: Option<Window>,
        /// When to ask again.
        retry_after: Option<Span>,
    },
    /// Records are gone.
    Cleared,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The row as it shall be.
    pub certificate: Certificate,
    /// How the order ended, if it did.
    pub end: Option<(OrderId, End)>,
    /// What is told.
    pub event: Option<Event>,
}

/// Longest text of an issuer that is kept.
const MESSAGE_MAX: usize = 1000;
/// Longest time an issuer can make us wait by saying so.
const RETRY_MOST: Span = Span::seconds(7 * 24 * 3600);

/// Concludes.
pub fn conclude(certificate: &Certificate, outcome: Outcome, now: Timestamp) -> Conclusion {
    let mut done = Conclusion { certificate: certificate.clone(), end: None, event: None };
    match outcome {
        Outcome::TrialMade { proofs } => {
            if let State::Asking { trial, .. } = &mut done.certificate.state {
                *trial = proofs;
            }
        }
        Outcome::Placed { url } => set_phase(&mut done.certificate, Phase::Placed { url }),
        Outcome::Wants { proofs } => wants(&mut done.certificate, proofs, now),
        Outcome::Stalled { is_passing, message } => stalled(&mut done, is_passing, &message, now),
        Outcome::Answered => answered(&mut done.certificate, now),
        Outcome::Issued { current } => issued(&mut done, *current, now),
        Outcome::Failed { side, message, retry_after } => failed(&mut done, side, &message, retry_after, now),
        Outcome::Renewal { window, retry_after } => {
            if let Some(current) = &mut done.certificate.current {
                current.window = window;
                current.ask_again_at = ask_again_at(now, retry_after);
            }
        }
        Outcome::Cleared => done.certificate.record.leftovers.clear(),
    }
    done
}

fn set_phase(certificate: &mut Certificate, to: Phase) {
    if let State::Ordering { phase, .. } = &mut certificate.state {
        *phase = to;
    }
}

fn wants(certificate: &mut Certificate, proofs: Vec<Proof>, now: Timestamp) {
    let State::Ordering { phase, .. } = &mut certificate.state else { return };
    let (Phase::Placed { url } | Phase::Stalled { url, .. }) = phase else { return };
    // Remembered before they are written: a crash in between leaves nothing behind in the zone.
    let records = proofs.iter().filter_map(|proof| match proof {
        Proof::Txt { record } => Some(record.clone()),
        Proof::File { .. } | Proof::Handshake { .. } => None,
    });
    certificate.record.leftovers.extend(records);
    *phase = Phase::Publishing { url: std::mem::take(url), proofs, since: Some(now) };
}

fn stalled(done: &mut Conclusion, is_passing: bool, message: &str, now: Timestamp) {
    let certificate = &mut done.certificate;
    let id = certificate.id;
    let State::Ordering { order, phase, .. } = &mut certificate.state else { return };
    let (url, proofs) = match phase {
        Phase::Placed { url } => (std::mem::take(url), Vec::new()),
        Phase::Publishing { url, proofs, .. } | Phase::Stalled { url, proofs, .. } => {
            (std::mem::take(url), std::mem::take(proofs))
        }
        Phase::Placing | Phase::Validating { .. } => return,
    };
    let tries = certificate.record.stalls.saturating_add(1);
    certificate.record.stalls = tries;
    let until = now.after(stall(id, tries, is_passing).duration());
    let message = kept(message);
    *phase = Phase::Stalled { url, proofs, since: now, until, is_passing, message: message.clone() };
    done.event = Some(Event::OrderStalled { certificate: id, order: *order, is_passing, message, until });
}

fn answered(certificate: &mut Certificate, now: Timestamp) {
    let State::Ordering { phase, .. } = &mut certificate.state else { return };
    let Phase::Publishing { url, proofs, .. } = phase else { return };
    *phase = Phase::Validating { url: std::mem::take(url), proofs: std::mem::take(proofs), since: now };
    certificate.record.stalls = 0;
}

fn issued(done: &mut Conclusion, current: Current, now: Timestamp) {
    let certificate = &mut done.certificate;
    let State::Ordering { order, attempt, .. } = certificate.state.clone() else { return };
    let id = certificate.id;
    done.end = Some((order, End::Issued { at: now }));
    if attempt.stage == Stage::Rehearsal {
        certificate.record.rehearsed_at = Some(now);
        certificate.state = State::Resting { since: now };
        done.event = Some(Event::Rehearsed { certificate: id, order });
        return;
    }
    if let Err(violation) = check_replacement(certificate, &current, now) {
        let reason = violation.to_string();
        failed(done, Side::Issuer, &reason, None, now);
        // The order did give a certificate, and counts as one.
        done.end = Some((order, End::Issued { at: now }));
        return;
    }
    let (digest, not_after) = (current.digest.hex().to_owned(), current.not_after);
    let leftovers = std::mem::take(&mut certificate.record.leftovers);
    certificate.record =
        havre_core::certificate::Record { leftovers, ..havre_core::certificate::Record::default() };
    certificate.current = Some(current);
    certificate.state = State::Resting { since: now };
    done.event = Some(Event::Issued { certificate: id, order, digest, not_after });
}

fn failed(done: &mut Conclusion, side: Side, message: &str, retry_after: Option<Span>, now: Timestamp) {
    let certificate = &mut done.certificate;
    let attempt = match &certificate.state {
        State::Ordering { order, attempt, .. } => {
            done.end = Some((*order, End::Failed { at: now, side }));
            Some(attempt.clone())
        }
        _ => None,
    };
    let id = certificate.id;
    let record = &mut certificate.record;
    record.failures = record.failures.saturating_add(1);
    if matches!(side, Side::Issuer | Side::Limit) {
        record.issuer_failures = record.issuer_failures.saturating_add(1);
    }
    // A trouble of the issuer's own says nothing against a rehearsal that passed; all else does.
    if side == Side::Domain {
        record.rehearsed_at = None;
    }
    record.is_renewal_asked = false;
    let message = kept(message);
    record.last_failure = Some(Failure { at: now, attempt: attempt.clone(), side, message: message.clone() });
    let wait = pause(id, record.failures).max(retry_after.unwrap_or(Span::seconds(0)).min(RETRY_MOST));
    let until = now.after(wait.duration());
    certificate.state = State::BackingOff { since: now, until };
    done.event = Some(Event::Failed { certificate: id, attempt, side, message, until });
}

/// What was said, as it is kept: one line of bounded length.
fn kept(message: &str) -> String {
    message.chars().take(MESSAGE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
