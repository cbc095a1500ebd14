//! `havre secret provider add`: who keeps values, and how it is asked. Tests at the end of the file.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use havre_api::secret_provider::{SecretProvider, SetSecretProviderRequest};
use havre_core::name::ProviderName;
use havre_core::secret::value::scope_text;
use havre_decide::secret::provider::setting::{
    CA_MAX, CREDENTIAL_MAX, CaText, ProviderSpec, RoleId, ServerUrl, SettingPath,
};
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::secret::provider::provider_path;
use crate::secret::set::read_value;

/// Where Bitwarden is, unless something else is said.
const BITWARDEN: &str = "https://bitwarden.com";

/// What keeps the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Vault or OpenBao, engines KV of version 1 and 2
    Vault,
    /// 1Password, by a Connect server
    Onepassword,
    /// Bitwarden Secrets Manager
    Bitwarden,
    /// Files of the server, in the folder its administrator allows
    File,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Its name, which references begin with, such as vault-main
    name: ProviderName,
    /// What it is
    kind: Kind,
    /// Where it answers, such as `https://vault.example.org:8200`; for bitwarden `https://bitwarden.com` where nothing is said
    #[arg(long)]
    url: Option<ServerUrl>,
    /// The role of AppRole that logs in to a Vault; its secret id comes from standard input. Without one a token does
    #[arg(long, value_name = "ID")]
    role_id: Option<RoleId>,
    /// Where AppRole is mounted, if not at `approle`
    #[arg(long, value_name = "PATH", requires = "role_id")]
    auth_mount: Option<SettingPath>,
    /// The namespace of a Vault
    #[arg(long, value_name = "PATH")]
    namespace: Option<SettingPath>,
    /// File with the certificates of its authority in PEM, which is trusted in place of those of the server's machine
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let name = options.name.clone();
    let settings = spec(options)?;
    let credential = match settings.credential() {
        Some(what) => Some(read_value(&format!("{what} of {name}"), CREDENTIAL_MAX)?),
        None => None,
    };
    let project = invocation.scope()?.project;
    let environment = invocation.global.environment.clone();
    let request = SetSecretProviderRequest { environment, settings, credential };
    let set: SecretProvider =
        invocation.client()?.call(Method::PUT, &provider_path(&project, &name), &request).await?;
    if invocation.global.json {
        output::json(&set)?;
        return Ok(Exit::Ok);
    }
    let scope = scope_text(set.environment.as_ref());
    output::say(&format!(
        "{name} is a provider of {project} {scope}; `havre secret provider test {name}` asks it, and ${{secrets.{name}:PLACE}} in `env` of a \
         service takes a value of it"
    ));
    Ok(Exit::Ok)
}

/// What is said, where it fits the kind.
fn spec(options: Options) -> Result<ProviderSpec, CliError> {
    let Options { kind, url, role_id, auth_mount, namespace, ca, .. } = options;
    if kind != Kind::Vault && (role_id.is_some() || namespace.is_some()) {
        return Err(CliError::usage("--role-id, --auth-mount and --namespace are for vault only"));
    }
    if kind == Kind::File && (url.is_some() || ca.is_some()) {
        return Err(CliError::usage("files have neither --url nor --ca"));
    }
    let ca = ca.map(|path| read_ca(&path)).transpose()?;
    let needs_url = || CliError::usage("--url is missing: where does it answer?");
    Ok(match kind {
        Kind::Vault => {
            ProviderSpec::Vault { url: url.ok_or_else(needs_url)?, namespace, role_id, auth_mount, ca }
        }
        Kind::Onepassword => ProviderSpec::OnePassword { url: url.ok_or_else(needs_url)?, ca },
        Kind::Bitwarden => {
            let url = url.map_or_else(|| BITWARDEN.parse::<ServerUrl>(), Ok);
            ProviderSpec::Bitwarden { url: url.map_err(|error| CliError::usage(error.to_string()))?, ca }
        }
        Kind::File => ProviderSpec::File {},
    })
}

fn read_ca(path: &Path) -> Result<CaText, CliError> {
    let failed = |error: std::io::Error| CliError::io(format!("read {}", path.display()), &error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    // One more than allowed, so that a longer one is refused and not cut.
    let most = u64::try_from(CA_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_string(&mut text).map_err(failed)?;
    text.parse::<CaText>().map_err(|error| CliError::usage(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn said(line: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from(["add"].iter().chain(line)).map_err(|error| error.to_string())?;
        let spec = spec(line.options).map_err(|error| format!("{error:?}"))?;
        Ok(serde_json::to_string(&spec).expect("is JSON"))
    }

    #[test]
    fn each_kind_takes_what_it_wants() {
        let url = ["--url", "https://vault.example.org"];
        assert_eq!(
            said(&["v", "vault", url[0], url[1], "--role-id", "app", "--namespace", "team"]).expect("fits"),
            r#"{"kind":"vault","url":"https://vault.example.org","namespace":"team","role_id":"app"}"#
        );
        assert_eq!(
            said(&["b", "bitwarden"]).expect("fits"),
            r#"{"kind":"bitwarden","url":"https://bitwarden.com"}"#
        );
        assert_eq!(said(&["f", "file"]).expect("fits"), r#"{"kind":"file"}"#);
        for line in [
            vec!["v", "vault"],
            vec!["v", "vault", "--url", "vault.example.org"],
            vec!["v", "vault", url[0], url[1], "--auth-mount", "x"],
            vec!["o", "onepassword", url[0], url[1], "--role-id", "app"],
            vec!["f", "file", url[0], url[1]],
            vec!["V", "vault", url[0], url[1]],
            vec!["v", "vault", url[0], url[1], "--token", "hvs.x"],
        ] {
            assert!(said(&line).is_err(), "{line:?}");
        }
    }
}
