//! `havre dns-provider set`: what the provider wants to know comes from standard input, `name = value` on each line.

use std::collections::BTreeMap;
use std::io::Read as _;

use havre_api::certificate::{DnsProvider, SetDnsProviderRequest};
use havre_core::dns::provider::ProviderKind;
use havre_core::name::DnsName;
use hyper::Method;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The zone, such as example.org
    zone: DnsName,
    /// Who has it, such as infomaniak or rfc2136
    #[arg(long, value_name = "NAME")]
    provider: ProviderKind,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let wants: Vec<&str> = options.provider.fields().iter().map(|field| field.name).collect();
    output::say(&format!("reading {} from standard input, `name = value` on each line", wants.join(", ")));
    let mut text = String::new();
    let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
    read.map_err(|error| CliError::io("read standard input", &error))?;
    let request = SetDnsProviderRequest { kind: options.provider, fields: parse(&text)? };
    let client = invocation.client()?;
    let set: DnsProvider =
        client.call(Method::PUT, &format!("/v1/dns-providers/{}", options.zone), &request).await?;
    if invocation.global.json {
        output::json(&set)?;
        return Ok(Exit::Ok);
    }
    output::say(&format!("records of {} are written at {}", set.zone, set.kind.title()));
    Ok(Exit::Ok)
}

/// Lines of `name = value`. A line without a name belongs to the value before it, as in a private key.
fn parse(text: &str) -> Result<BTreeMap<String, String>, CliError> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        let named = line.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        match (named, &last) {
            (Some((name, value)), _) if is_name(name) => {
                fields.insert(name.to_owned(), value.to_owned());
                last = Some(name.to_owned());
            }
            (_, Some(name)) if !line.trim().is_empty() => {
                let value = fields.entry(name.clone()).or_default();
                value.push('\n');
                value.push_str(line);
            }
            _ if line.trim().is_empty() => {}
            _ => return Err(CliError::usage("standard input does not begin with `name = value`")),
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_lines_and_keys_may_have_several() {
        let text =
            "user = me\nprivate-key = -----BEGIN PRIVATE KEY-----\nAbc=\n-----END PRIVATE KEY-----\n\n";
        let fields = parse(text).expect("fields");
        assert_eq!(fields["user"], "me");
        assert_eq!(fields["private-key"], "-----BEGIN PRIVATE KEY-----\nAbc=\n-----END PRIVATE KEY-----");
        assert!(parse("just a token").is_err());
        assert_eq!(parse("token=a=b").expect("fields")["token"], "a=b");
    }
}
