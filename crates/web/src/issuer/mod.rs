//! Issuers: who is asked for certificates. Setting one agrees to its terms and asks nobody anything yet.

pub mod list;
pub mod remove;
pub mod set;

use havre_api::certificate::{Issuer, IssuerAccount};
use havre_core::certificate::issuer;
use havre_store::View;

use crate::error::Refusal;

/// A row on the wire.
pub(crate) fn wire(view: &View<'_>, row: issuer::Issuer) -> Result<Issuer, Refusal> {
    let accounts = view.list_account_urls(&row.name)?;
    Ok(Issuer {
        accounts: accounts.into_iter().map(|(stage, url)| IssuerAccount { stage, url }).collect(),
        name: row.name,
        rank: row.rank,
        directory: row.directory,
        staging: row.staging,
        contact: row.contact,
        challenges: row.challenges,
        eab_key_id: row.eab_key_id,
        has_root: row.root_pem.is_some(),
    })
}
