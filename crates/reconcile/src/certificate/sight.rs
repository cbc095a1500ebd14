//! What was seen of one certificate's world, in memory only: after a restart it is looked at again, which costs an issuer
//! nothing.

use havre_core::route::https;
use havre_core::time::Timestamp;
use havre_decide::certificate::seen::{Look, NamesSeen};

/// The last look at each thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Sight {
    pub(super) names: Option<Look<NamesSeen>>,
    pub(super) gave: Option<Look<Result<(), String>>>,
    pub(super) zone: Option<Look<Result<(), String>>>,
    pub(super) asked_issuer_at: Option<Timestamp>,
    pub(super) tidied_at: Option<Timestamp>,
    pub(super) published: Option<Published>,
}

/// Answers, and the generation of the route table that was the first to be seen with them. Later ones hold them too, so an edge
/// need not have the newest table of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) files: Vec<https::Challenge>,
    pub(super) handshakes: Vec<https::Certificate>,
    pub(super) generation: u64,
}
