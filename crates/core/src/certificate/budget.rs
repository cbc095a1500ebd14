//! How many orders an issuer lets us place, from the history of those that were placed: a crash, a restart or a hundred broken
//! domains change nothing about it. Tests: `tests/it/certificate/budget.rs` of `decide`.
//!
//! Issuers count with buckets that refill bit by bit; we count whole windows, which is stricter, and keep below what they
//! publish. What we cannot see, such as another program with the same domain, is why an issuer's own refusal is obeyed too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Side, Stage};
use crate::name::{CertificateName, IssuerName};
use crate::time::Timestamp;

/// How often an issuer may be asked. A window is a sliding one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Orders of the account in [`ORDERS_WINDOW`].
    pub orders: u32,
    /// First certificates below one registered domain in [`WEEK`]; renewals do not count.
    pub per_domain: u32,
    /// Certificates for exactly the same names in [`WEEK`].
    pub duplicates: u32,
    /// Failed validations of one name in [`HOUR`].
    pub failed_validations: u32,
}

/// Window of [`Limits::orders`].
pub const ORDERS_WINDOW: Duration = Duration::from_secs(3 * 3600);
/// Window of [`Limits::per_domain`] and [`Limits::duplicates`].
pub const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Window of [`Limits::failed_validations`].
pub const HOUR: Duration = Duration::from_secs(3600);

impl Limits {
    /// Published: 300, 50, 5 and 5 (<https://letsencrypt.org/docs/rate-limits/>, read in November 2026). We keep below by a tenth, and
    /// by one where there are five.
    pub const LETS_ENCRYPT: Self = Self { orders: 270, per_domain: 45, duplicates: 4, failed_validations: 4 };

    /// Published: 1500, 30000, 30000 and 60 (<https://letsencrypt.org/docs/staging-environment/>).
    pub const LETS_ENCRYPT_STAGING: Self =
        Self { orders: 1350, per_domain: 27_000, duplicates: 27_000, failed_validations: 54 };

    /// For issuers that publish no numbers, or your own: nobody needs more, and a loop gone wild stays small.
    pub const OTHER: Self = Self { orders: 300, per_domain: 1000, duplicates: 5, failed_validations: 5 };
}

/// Share of [`Limits::orders`] that names with failures may use, so that they never use up what a good one needs: a half.
const SHARE_OF_BROKEN: u32 = 2;

/// An order that was placed, as the budget sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// At whom.
    pub issuer: IssuerName,
    /// In which directory.
    pub stage: Stage,
    /// For exactly these names, sorted.
    pub names: Vec<CertificateName>,
    /// The same names had a certificate of this issuer before.
    pub is_renewal: bool,
    /// Their certificate had failed before it was placed.
    pub is_retry: bool,
    /// When.
    pub at: Timestamp,
    /// How it ended; `None` while it is open, or when a crash kept us from knowing.
    pub end: Option<End>,
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "end")]
pub enum End {
    /// With a certificate.
    Issued {
        /// When.
        at: Timestamp,
    },
    /// Without.
    Failed {
        /// When.
        at: Timestamp,
        /// Whose doing.
        side: Side,
    },
}

/// An order somebody wants to place.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// At whom.
    pub issuer: &'a IssuerName,
    /// In which directory.
    pub stage: Stage,
    /// For these names, sorted.
    pub names: &'a [CertificateName],
    /// The same names had a certificate of this issuer before.
    pub is_renewal: bool,
    /// Their certificate has failed since its last success.
    pub is_retry: bool,
}

/// Which limit stands in the way, and when it no longer does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhausted {
    /// Which.
    pub limit: Limit,
    /// The number we keep to.
    pub most: u32,
    /// When there is room again.
    pub until: Timestamp,
}

/// The limits by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "limit")]
pub enum Limit {
    /// Orders of the account.
    Orders,
    /// The share of them for names that failed before.
    OrdersAfterFailure,
    /// Certificates below one registered domain.
    Domain {
        /// The domain.
        domain: String,
    },
    /// Certificates for exactly these names.
    Duplicates,
    /// Failed validations of a name.
    Validations {
        /// The name.
        name: CertificateName,
    },
}

impl std::fmt::Display for Exhausted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let most = self.most;
        match &self.limit {
            Limit::Orders => write!(f, "{most} orders in 3 hours are placed")?,
            Limit::OrdersAfterFailure => {
                write!(
                    f,
                    "{most} orders in 3 hours are placed for names that failed before; the rest is kept for good ones"
                )?;
            }
            Limit::Domain { domain } => {
                write!(f, "{most} certificates below {domain} in a week are ordered")?
            }
            Limit::Duplicates => {
                write!(f, "{most} certificates for exactly these names in a week are ordered")?
            }
            Limit::Validations { name } => write!(f, "{most} validations of {name} failed within an hour")?,
        }
        write!(f, "; there is room again at {}", self.until)
    }
}

/// Whether the order may be placed now. `history` holds every order of the last week, in any order.
///
/// # Errors
/// The limit that stands in the way the longest.
pub fn ask(history: &[Placed], limits: &Limits, ask: &Ask<'_>, now: Timestamp) -> Result<(), Exhausted> {
    let same = |placed: &&Placed| placed.issuer == *ask.issuer && placed.stage == ask.stage;
    let same: Vec<&Placed> = history.iter().filter(same).collect();
    let mut blocks = vec![full(same.iter().map(|p| p.at), ORDERS_WINDOW, limits.orders, Limit::Orders, now)];
    if ask.is_retry {
        let retries = same.iter().filter(|placed| placed.is_retry).map(|placed| placed.at);
        let most = (limits.orders / SHARE_OF_BROKEN).max(1);
        blocks.push(full(retries, ORDERS_WINDOW, most, Limit::OrdersAfterFailure, now));
    }
    if !ask.is_renewal {
        for domain in registered_domains(ask.names) {
            // An order that failed for certain gave no certificate; one whose end is not known may have.
            let below = same.iter().filter(|placed| !placed.is_renewal && !has_failed(placed));
            let below = below.filter(|placed| registered_domains(&placed.names).contains(&domain));
            blocks.push(full(
                below.map(|p| p.at),
                WEEK,
                limits.per_domain,
                Limit::Domain { domain: domain.clone() },
                now,
            ));
        }
    }
    let duplicates = same.iter().filter(|placed| placed.names == ask.names && !has_failed(placed));
    blocks.push(full(duplicates.map(|p| p.at), WEEK, limits.duplicates, Limit::Duplicates, now));
    for name in ask.names {
        // An order that is open, or whose end we never saw, may still fail.
        let failed =
            same.iter().filter(|placed| placed.names.contains(name)).filter_map(|placed| match placed.end {
                None => Some(placed.at),
                Some(End::Failed { at, .. }) => Some(at),
                Some(End::Issued { .. }) => None,
            });
        blocks.push(full(
            failed,
            HOUR,
            limits.failed_validations,
            Limit::Validations { name: name.clone() },
            now,
        ));
    }
    match blocks.into_iter().flatten().max_by_key(|block| block.until) {
        Some(block) => Err(block),
        None => Ok(()),
    }
}

fn has_failed(placed: &Placed) -> bool {
    matches!(placed.end, Some(End::Failed { .. }))
}

/// Whether `most` of these instants lie in the window before `now`, and until when one too many does.
fn full(
    instants: impl Iterator<Item = Timestamp>,
    window: Duration,
    most: u32,
    limit: Limit,
    now: Timestamp,
) -> Option<Exhausted> {
    // An instant ahead of a clock that was set back counts as now: never fewer than there are.
    let mut inside: Vec<Timestamp> = instants.filter(|at| now.since(*at) < window).collect();
    let count = usize::try_from(most).unwrap_or(usize::MAX);
    if inside.len() < count {
        return None;
    }
    inside.sort_unstable();
    let leaves = inside.len().checked_sub(count).and_then(|index| inside.get(index)).copied().unwrap_or(now);
    Some(Exhausted { limit, most, until: leaves.after(window) })
}

/// The registered domains of names, coarser than the public suffix list would make them: the last two labels. So two
/// customers below `co.uk` share one count here; never the other way round, in which a limit could be exceeded.
pub fn registered_domains(names: &[CertificateName]) -> Vec<String> {
    let mut domains: Vec<String> = names
        .iter()
        .map(|name| {
            let host = name.host();
            let mut labels: Vec<&str> = host.as_str().rsplit('.').take(2).collect();
            labels.reverse();
            labels.join(".")
        })
        .collect();
    domains.sort();
    domains.dedup();
    domains
}

/// So many orders of names that never had one, or failures of so many different names in an hour, call for caution: then
/// every first order rehearses, so that a mistake made for all of them costs the production directory nothing.
pub const CAUTION_AFTER: usize = 3;

/// Whether first orders rehearse now: `newcomers` wait to place theirs, or several names failed lately.
pub fn is_cautious(history: &[Placed], newcomers: usize, now: Timestamp) -> bool {
    let mut failed: Vec<&[CertificateName]> = history
        .iter()
        .filter(|placed| match placed.end {
            Some(End::Failed { at, side: Side::Domain }) => now.since(at) < HOUR,
            _ => false,
        })
        .map(|placed| placed.names.as_slice())
        .collect();
    failed.sort_unstable();
    failed.dedup();
    failed.len() >= CAUTION_AFTER || newcomers > CAUTION_AFTER
}
