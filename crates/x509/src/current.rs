//! What was inspected as a certificate that can be served: a row's worth of facts, without the key. Tests: those of `web` and
//! of the loop, which both use it.

use havre_core::certificate::Current;
use havre_core::name::IssuerName;
use havre_core::time::Timestamp;

use crate::inspect::Inspected;

/// The facts, as they stand in rows. `issuer` is whom it was ordered from, `None` for one that was brought.
pub fn current(inspected: &Inspected, issuer: Option<IssuerName>, now: Timestamp) -> Current {
    Current {
        digest: inspected.material.digest().parse().expect("a digest is 64 hex digits"),
        names: inspected.names.clone(),
        signed_by: inspected.signed_by.clone(),
        issuer,
        serial: inspected.serial.clone(),
        not_before: inspected.not_before,
        not_after: inspected.not_after,
        since: now,
        window: None,
        ask_again_at: now,
    }
}
