//! `havre issuer set`: a preset by name, or any ACME directory.

use std::io::Read as _;
use std::path::PathBuf;

use havre_api::certificate::{Issuer, SetIssuerRequest};
use havre_core::certificate::challenge::ChallengeKind;
use havre_core::certificate::issuer::DirectoryUrl;
use havre_core::name::IssuerName;
use hyper::Method;

use crate::certificate::upload;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// letsencrypt, google, zerossl, or a name of your own with --directory
    name: IssuerName,
    /// Agree to the issuer's terms
    #[arg(long)]
    agree_tos: bool,
    /// Mail address it may write to
    #[arg(long, value_name = "ADDRESS")]
    contact: Option<String>,
    /// Its ACME directory
    #[arg(long, value_name = "URL")]
    directory: Option<DirectoryUrl>,
    /// Its staging directory, for rehearsals
    #[arg(long, value_name = "URL")]
    staging: Option<DirectoryUrl>,
    /// The lowest is asked first, the others when it fails [default: 10]
    #[arg(long, value_name = "N")]
    rank: Option<u32>,
    /// http-01, tls-alpn-01, dns-01, in the order they are tried [default: all]
    #[arg(long, value_name = "KIND")]
    challenge: Vec<ChallengeKind>,
    /// Key id of an external account binding; its key is read from standard input
    #[arg(long, value_name = "ID")]
    eab_key_id: Option<String>,
    /// Root in PEM to trust for talking to it, for an issuer of your own
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let eab_key = match &options.eab_key_id {
        Some(_) => Some(read_key()?),
        None => None,
    };
    let request = SetIssuerRequest {
        directory: options.directory,
        staging: options.staging,
        rank: options.rank,
        contact: options.contact,
        terms_agreed: options.agree_tos,
        challenges: Some(options.challenge).filter(|kinds| !kinds.is_empty()),
        eab_key_id: options.eab_key_id,
        eab_key,
        root_pem: options.root.as_deref().map(upload::read).transpose()?,
    };
    let client = invocation.client()?;
    let issuer: Issuer = client.call(Method::PUT, &format!("/v1/issuers/{}", options.name), &request).await?;
    if invocation.global.json {
        output::json(&issuer)?;
        return Ok(Exit::Ok);
    }
    output::say(&format!("issuer {} is set: {}", issuer.name, issuer.directory));
    output::say("certificates are ordered as services want them; see `havre certificate list`");
    Ok(Exit::Ok)
}

/// A secret never stands in an argument, where every process of the machine can read it.
fn read_key() -> Result<String, CliError> {
    let mut text = String::new();
    let read = std::io::stdin().take(16 * 1024).read_to_string(&mut text);
    read.map_err(|error| CliError::io("read the key from standard input", &error))?;
    Ok(text.trim().to_owned())
}
