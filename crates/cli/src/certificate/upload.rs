//! `havre certificate upload`: a certificate of one's own. Chain and key are read here and sent; nothing is kept.

use std::path::{Path, PathBuf};

use havre_api::certificate::{UploadCertificateRequest, UploadCertificateResponse};
use havre_core::certificate::joined;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

/// Longest file that is read; the server takes less.
const FILE_MAX: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The chain in PEM, the certificate itself first (fullchain.pem)
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// Its private key in PEM, not encrypted (privkey.pem)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Check the pair on the server and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let request = UploadCertificateRequest {
        chain: read(&options.chain)?,
        key: read(&options.key)?,
        dry_run: options.dry_run,
    };
    let client = invocation.client()?;
    let done: UploadCertificateResponse = client.call(Method::POST, "/v1/certificates", &request).await?;
    if invocation.global.json {
        output::json(&done)?;
        return Ok(Exit::Ok);
    }
    output::warn(&done.warnings);
    let one = &done.certificate;
    let is = match &done.id {
        Some(id) => format!("certificate {id} is in use"),
        None => "the pair is fine; nothing was changed".to_owned(),
    };
    output::say(&format!(
        "{is}: {}, signed by {}, valid until {}",
        joined(&one.names),
        output::printable(&one.signed_by),
        one.not_after
    ));
    Ok(Exit::Ok)
}

/// A small text file.
pub(crate) fn read(path: &Path) -> Result<String, CliError> {
    let doing = format!("read {}", path.display());
    let length = std::fs::metadata(path).map_err(|error| CliError::io(&doing, &error))?.len();
    if length > FILE_MAX {
        return Err(CliError::usage(format!("{} is too large for what it should be", path.display())));
    }
    std::fs::read_to_string(path).map_err(|error| CliError::io(&doing, &error))
}
