//! Adds and removes single TXT values at a provider, through dns-update. Never replaces a set: what others wrote at the same
//! name stays. Tests: `tests/it/dns.rs` against BIND (RFC 2136) and PowerDNS's protocol; other providers are dns-update's word.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use dns_update::providers::ovh::OvhEndpoint;
use dns_update::providers::rfc2136::DnsAddress;
use dns_update::providers::route53::Route53Config;
use dns_update::{DnsRecord, DnsRecordType, DnsUpdater, Error, TsigAlgorithm};
use havre_core::dns::TxtRecord;
use havre_core::dns::provider::{Provider, ProviderKind};
use tokio::time::timeout;

use crate::error::DnsError;

/// One request to a provider; some take a while to write their zones.
const REQUEST: Duration = Duration::from_secs(30);
/// A whole write, which is up to three requests.
const WHOLE: Duration = Duration::from_secs(90);
/// The longest of the shortest lifetimes that providers accept. Issuers ask the zone's own servers, so nobody waits for it.
const TTL: u32 = 600;

pub(super) async fn set(provider: &Provider, record: &TxtRecord) -> Result<(), DnsError> {
    let what = format!("add a TXT record at {}", record.place.name);
    let updater = updater(provider).await?;
    let (name, zone) = (record.place.name.as_str(), record.place.zone.as_str());
    let value = vec![DnsRecord::TXT(record.value.clone())];
    let written = timeout(WHOLE, updater.add_to_rrset(name, DnsRecordType::TXT, TTL, value, zone)).await;
    concluded(provider, what, written)
}

pub(super) async fn clear(provider: &Provider, record: &TxtRecord) -> Result<(), DnsError> {
    let what = format!("remove a TXT record at {}", record.place.name);
    let updater = updater(provider).await?;
    let (name, zone) = (record.place.name.as_str(), record.place.zone.as_str());
    let value = vec![DnsRecord::TXT(record.value.clone())];
    let written = timeout(WHOLE, updater.remove_from_rrset(name, DnsRecordType::TXT, value, zone)).await;
    concluded(provider, what, written)
}

pub(super) async fn check(provider: &Provider) -> Result<(), DnsError> {
    updater(provider).await.map(|_| ())
}

fn concluded(
    provider: &Provider,
    what: String,
    written: Result<dns_update::Result<()>, tokio::time::error::Elapsed>,
) -> Result<(), DnsError> {
    let provider = provider.kind().title().to_owned();
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(classed(provider, what, &error)),
        Err(_) => {
            Err(DnsError::Unavailable { what, provider, message: format!("no answer within {WHOLE:?}") })
        }
    }
}

/// dns-update tells most things as text; what it says of the status or the code decides.
fn classed(provider: String, what: String, error: &Error) -> DnsError {
    let message: String = error.to_string().chars().filter(|c| !c.is_control()).take(500).collect();
    let lower = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match error {
        Error::Unauthorized => DnsError::Denied { what, provider, message },
        // The last four are how a name server and hickory speak of a wrong or unknown TSIG key.
        _ if says(&["http 403", "query refused", "not authorized", "tsig", "hmac", "dnssec"]) => {
            let is_key = says(&["tsig", "hmac", "dnssec"]);
            let message =
                if is_key { "the key or its secret is not the server's".to_owned() } else { message };
            DnsError::Denied { what, provider, message }
        }
        Error::BadRequest | Error::NotFound | Error::Unsupported(_) | Error::InvalidRegion => {
            DnsError::Refused { what, provider, message }
        }
        Error::Api(_) if says(&["badrequest", "http 4"]) && !says(&["http 429", "http 408"]) => {
            DnsError::Refused { what, provider, message }
        }
        Error::Parse(_) => DnsError::BadSettings { provider, message },
        _ => DnsError::Unavailable { what, provider, message },
    }
}

fn bad_settings(provider: &Provider, message: impl std::fmt::Display) -> DnsError {
    DnsError::BadSettings { provider: provider.kind().title().to_owned(), message: message.to_string() }
}

async fn updater(provider: &Provider) -> Result<DnsUpdater, DnsError> {
    let made = match provider.kind() {
        ProviderKind::Rfc2136 => return rfc2136(provider).await,
        ProviderKind::Ovh => ovh(provider),
        ProviderKind::Route53 => route53(provider),
        _ => by_http(provider),
    };
    made.map_err(|error| bad_settings(provider, error))
}

async fn rfc2136(provider: &Provider) -> Result<DnsUpdater, DnsError> {
    let address =
        server_address(provider.value("server")).await.map_err(|message| bad_settings(provider, message))?;
    let secret = base64::prelude::BASE64_STANDARD
        .decode(provider.value("secret").trim())
        .map_err(|_| bad_settings(provider, "`secret` is not base64, which tsig-keygen writes"))?;
    let algorithm = match provider.value("algorithm").to_ascii_lowercase().as_str() {
        "" | "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        _ => {
            return Err(bad_settings(
                provider,
                "`algorithm` is none of hmac-sha256, hmac-sha384 and hmac-sha512",
            ));
        }
    };
    // TCP: an update must not get lost, and a forged answer to a datagram must not be believed.
    DnsUpdater::new_rfc2136_tsig(DnsAddress::Tcp(address), provider.value("key"), secret, algorithm)
        .map_err(|error| bad_settings(provider, error))
}

/// An address, with or without a port, or a name to look up.
async fn server_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(address) = text.parse() {
        return Ok(SocketAddr::new(address, 53));
    }
    let with_port = if text.contains(':') { text.to_owned() } else { format!("{text}:53") };
    let found = timeout(REQUEST, tokio::net::lookup_host(&with_port)).await;
    let mut found = found
        .map_err(|_| "`server` could not be looked up in time")?
        .map_err(|error| format!("`server`: {error}"))?;
    found.next().ok_or_else(|| "`server` has no address".to_owned())
}

fn ovh(provider: &Provider) -> dns_update::Result<DnsUpdater> {
    let endpoint = match provider.value("region") {
        "" | "eu" => OvhEndpoint::OvhEu,
        "us" => OvhEndpoint::OvhUs,
        "ca" => OvhEndpoint::OvhCa,
        _ => return Err(Error::Parse("`region` is none of eu, us and ca".to_owned())),
    };
    let value = |field| provider.value(field);
    DnsUpdater::new_ovh(
        value("application-key"),
        value("application-secret"),
        value("consumer-key"),
        endpoint,
        Some(REQUEST),
    )
}

fn route53(provider: &Provider) -> dns_update::Result<DnsUpdater> {
    DnsUpdater::new_route53(Route53Config {
        access_key_id: provider.value("access-key-id").to_owned(),
        secret_access_key: provider.value("secret-access-key").to_owned(),
        session_token: None,
        region: given(provider, "region"),
        hosted_zone_id: given(provider, "zone-id"),
        private_zone_only: None,
        endpoint: None,
    })
}

fn given(provider: &Provider, field: &str) -> Option<String> {
    Some(provider.value(field)).filter(|value| !value.is_empty()).map(str::to_owned)
}

/// Those that take their fields as they are.
fn by_http(provider: &Provider) -> dns_update::Result<DnsUpdater> {
    let value = |field| provider.value(field);
    let (token, wait) = (value("token"), Some(REQUEST));
    match provider.kind() {
        ProviderKind::Infomaniak => DnsUpdater::new_infomaniak(token, wait),
        ProviderKind::Bunny => DnsUpdater::new_bunny(token, wait),
        ProviderKind::Cloudflare => DnsUpdater::new_cloudflare(token, wait),
        ProviderKind::ClouDns => {
            DnsUpdater::new_cloudns(Some(value("auth-id")), None::<&str>, value("password"), wait)
        }
        ProviderKind::Desec => DnsUpdater::new_desec(token, wait),
        ProviderKind::DigitalOcean => DnsUpdater::new_digitalocean(token, wait),
        ProviderKind::DnsMadeEasy => DnsUpdater::new_dnsmadeeasy(value("key"), value("secret"), wait),
        ProviderKind::Dnsimple => DnsUpdater::new_dnsimple(token, value("account"), wait),
        ProviderKind::Domeneshop => DnsUpdater::new_domeneshop(value("key"), value("secret"), wait),
        ProviderKind::Exoscale => DnsUpdater::new_exoscale(value("key"), value("secret"), wait),
        ProviderKind::Gandi => DnsUpdater::new_gandiv5(token, wait),
        ProviderKind::Gcore => DnsUpdater::new_gcore(token, wait),
        ProviderKind::Glesys => DnsUpdater::new_glesys(value("user"), value("key"), wait),
        ProviderKind::Godaddy => DnsUpdater::new_godaddy(value("key"), value("secret"), wait),
        ProviderKind::Hetzner => DnsUpdater::new_hetzner(token, wait),
        ProviderKind::HostingDe => DnsUpdater::new_hostingde(token, wait),
        ProviderKind::Hostinger => DnsUpdater::new_hostinger(token, wait),
        ProviderKind::Inwx => DnsUpdater::new_inwx(value("user"), value("password"), false, wait),
        ProviderKind::Ionos => DnsUpdater::new_ionos(token, wait),
        ProviderKind::Linode => DnsUpdater::new_linode(token, wait),
        ProviderKind::LuaDns => DnsUpdater::new_luadns(value("user"), token, wait),
        ProviderKind::MythicBeasts => DnsUpdater::new_mythicbeasts(value("user"), value("password"), wait),
        ProviderKind::NameDotCom => DnsUpdater::new_namedotcom(value("user"), token, wait),
        ProviderKind::Netcup => {
            DnsUpdater::new_netcup(value("customer"), value("key"), value("password"), wait)
        }
        ProviderKind::Netlify => DnsUpdater::new_netlify(token, wait),
        ProviderKind::Ns1 => DnsUpdater::new_ns1(token, wait),
        ProviderKind::Porkbun => DnsUpdater::new_porkbun(value("key"), value("secret"), wait),
        ProviderKind::PowerDns => {
            DnsUpdater::new_pdns(value("key"), given(provider, "url"), given(provider, "server"), wait)
        }
        ProviderKind::Scaleway => DnsUpdater::new_scaleway(token, wait),
        ProviderKind::SimplyCom => DnsUpdater::new_simplycom(value("user"), value("key"), wait),
        ProviderKind::TransIp => DnsUpdater::new_transip(value("user"), value("private-key"), true, wait),
        ProviderKind::Vercel => DnsUpdater::new_vercel(token, given(provider, "team"), wait),
        ProviderKind::Vultr => DnsUpdater::new_vultr(token, wait),
        ProviderKind::ZoneEu => DnsUpdater::new_zoneeu(value("user"), value("key"), wait),
        ProviderKind::Rfc2136 | ProviderKind::Ovh | ProviderKind::Route53 => {
            Err(Error::Unsupported("made in a function of its own".to_owned()))
        }
    }
}
