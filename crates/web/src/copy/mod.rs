//! Copies into databases: asked for, read and cancelled here; made by the loop. Dumps out of them and into them, and what belongs to one
//! person, as streams that say their end.

pub mod cancel;
pub mod create;
pub mod dump;
pub mod erase;
pub mod export;
pub mod get;
pub mod import;
pub mod list;

mod frames;
mod person;

use havre_core::copy::state::State;
use havre_core::copy::{DatabaseCopy, Unfit};
use havre_decide::copy::sql::Names;
use havre_store::View;

use crate::error::{Code, Refusal};

/// The wire form.
pub(crate) fn wire(view: &View<'_>, row: DatabaseCopy) -> Result<havre_api::copy::Copy, Refusal> {
    let stays =
        matches!(row.state, State::Succeeded { .. }) && !row.wish.drop_old && row.wish.beside.is_none();
    let names = Names::new(&row.name, row.id, row.wish.beside.as_ref());
    let waiting = match row.state.is_final() {
        true => String::new(),
        false => view.waiting("copy", row.id.row())?.unwrap_or_default(),
    };
    Ok(havre_api::copy::Copy {
        id: row.id,
        place: row.place(),
        masked: row.is_masked(),
        drop_old: row.wish.drop_old,
        before: stays.then_some(names.before),
        attempt: row.attempt,
        is_final: row.state.is_final(),
        failure: row.state.failure().map_or_else(String::new, ToString::to_string),
        waiting,
        cancel_requested: row.cancel_requested,
        ended_at: row.state.ended_at(),
        created_at: row.created_at,
        origin: row.origin,
        beside: row.wish.beside,
        state: row.state,
    })
}

/// What breaks a rule of copies, with what to do next.
pub(crate) fn unfit(unfit: Unfit) -> Refusal {
    let hint = match &unfit {
        Unfit::Unmasked(_) => {
            "name the rules with --mask privacy.toml; --unmasked copies personal data as it is, and an event says so"
        }
        Unfit::Newer { .. } => "make a database of the newer version, and copy into that",
        Unfit::DropsProduction(_) => "leave --drop-old out; drop it by hand once nobody misses anything",
        Unfit::OtherServer(..) | Unfit::Itself(_) => "",
    };
    Refusal::new(Code::CopyRefused, unfit.to_string()).hint(hint)
}
