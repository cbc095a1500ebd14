//! Certificates: what is served, what is on its way and why it waits.

pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod renew;
pub(crate) mod show;
pub(crate) mod upload;

use havre_api::certificate::{Certificate, CertificateList};
use havre_core::certificate::joined;
use havre_core::id::CertificateId;
use havre_core::name::CertificateName;
use havre_core::time::Timestamp;

use crate::exit::{CliError, Exit};
use crate::http::Client;

/// The certificate that was named by id (`c3`) or by a name it is for.
pub(crate) async fn find(client: &Client, named: &str) -> Result<Certificate, CliError> {
    if let Ok(id) = named.parse::<CertificateId>() {
        return client.get(&format!("/v1/certificates/{id}")).await;
    }
    let name: CertificateName = named.parse().map_err(|_| {
        CliError::usage(format!("`{named}` is neither an id such as c3 nor a name such as api.example.org"))
    })?;
    let list: CertificateList = client.get("/v1/certificates").await?;
    let has = |certificate: &&Certificate| {
        certificate.names.contains(&name)
            || certificate.current.as_ref().is_some_and(|current| current.names.contains(&name))
    };
    let found: Vec<&Certificate> = list.certificates.iter().filter(has).collect();
    match found.as_slice() {
        [only] => Ok((*only).clone()),
        [] => Err(CliError::new(Exit::Absent, format!("there is no certificate for {name}"))
            .hint("`havre certificate list` shows all of them")),
        several => {
            let ids: Vec<String> = several.iter().map(|one| one.id.to_string()).collect();
            Err(CliError::usage(format!("several are for {name}: name one by id")).hint(ids.join(", ")))
        }
    }
}

/// State in a word or two.
pub(crate) fn state(certificate: &Certificate, now: Timestamp) -> &'static str {
    let is_valid = |certificate: &Certificate| {
        certificate.current.as_ref().is_some_and(|one| one.not_before <= now && now < one.not_after)
    };
    match (is_valid(certificate), &certificate.current, certificate.state.as_str()) {
        (true, ..) => "valid",
        (false, Some(_), _) => "expired",
        (false, None, "backing_off") => "failed",
        (false, None, "ordering") => "ordering",
        (false, None, _) => "waiting",
    }
}

/// What there is to say besides: what it waits for, else what happens.
pub(crate) fn remark(certificate: &Certificate) -> String {
    if !certificate.waiting.is_empty() {
        return certificate.waiting.clone();
    }
    match &certificate.order {
        Some(order) => format!("{} at {} ({})", order.doing, order.issuer, order.stage.as_str()),
        None if !certificate.is_wanted => "wanted by no service any more".to_owned(),
        None => String::new(),
    }
}

/// Names in one line.
pub(crate) fn names(certificate: &Certificate) -> String {
    joined(&certificate.names)
}
