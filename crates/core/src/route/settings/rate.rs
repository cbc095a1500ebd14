//! How often a client may ask. The arithmetic is the edge's (`havre_edge::policy::rate`).

use serde::{Deserialize, Serialize};

use super::text::HeaderName;
use crate::quantity::Span;

/// A bucket of `burst` requests that is refilled with `requests` in each `per`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Whose requests are counted together.
    pub by: RateKey,
    /// Requests in each period.
    pub requests: u32,
    /// The period.
    pub per: Span,
    /// Most requests at once.
    pub burst: u32,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKey {
    /// Of one client address; of one /64 with IPv6.
    Client,
    /// With one value of this header; of one client address where a request has none.
    Header(HeaderName),
}
