//! Swaps and upgrades of databases: asked for, read and cancelled here; done by the loop. Tests: `tests/it/swap.rs`.

pub mod cancel;
pub mod create;
pub mod get;
pub mod list;

use havre_decide::swap::{Swap, Unfit, Wish};
use havre_store::View;

use crate::error::{Code, Refusal};

/// The wire form.
pub(crate) fn wire(view: &View<'_>, row: Swap) -> Result<havre_api::swap::Swap, Refusal> {
    let waiting = match row.state.is_final() {
        true => String::new(),
        false => view.waiting("swap", row.id.row())?.unwrap_or_default(),
    };
    Ok(havre_api::swap::Swap {
        id: row.id,
        place: row.place(),
        version: match row.wish {
            Wish::Exchange => None,
            Wish::Upgrade { version, .. } => Some(version),
        },
        status: row.state.name().to_owned(),
        is_final: row.state.is_final(),
        failure: row.state.failure().map_or_else(String::new, ToString::to_string),
        waiting,
        cancel_requested: row.cancel_requested,
        ended_at: row.state.ended_at(),
        created_at: row.created_at,
        other: row.names.other,
        aside: row.names.aside,
    })
}

/// What breaks a rule of swaps.
pub(crate) fn unfit(unfit: Unfit) -> Refusal {
    Refusal::new(Code::SpecInvalid, unfit.to_string())
}
