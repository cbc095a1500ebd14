//! Webhooks: who may say that something was pushed, and what follows when somebody does. Deliveries are read and judged in
//! `havre-webhook`; here they are taken in, remembered, and turned into what should be fetched.

pub mod list;
pub(crate) mod pull;
pub mod receive;
pub mod remove;
pub mod set;

mod image;

use havre_core::name::ProjectName;
use havre_webhook::provider::Provider;

/// Path of the address a sender calls.
fn path(project: &ProjectName, provider: Provider) -> String {
    format!("/v1/hooks/{project}/{provider}")
}
