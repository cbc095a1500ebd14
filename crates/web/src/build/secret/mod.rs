//! Secrets of builds. Values go in and never come out; builds get them from a loop.

pub mod list;
pub mod remove;
pub mod set;

use havre_api::build::BuildSecret;
use havre_store::BuildSecretRow;

/// The wire form.
fn wire(row: BuildSecretRow) -> BuildSecret {
    BuildSecret { name: row.name, set_at: row.set_at }
}
