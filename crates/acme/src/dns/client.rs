//! The real [`Dns`]: asks resolvers and the zones' own servers directly, and writes records through dns-update.
//! Remembers nothing. Tests: `tests/it/dns.rs` against BIND, `tests/it/abuse.rs` against servers that misbehave.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use havre_core::dns::provider::Provider;
use havre_core::dns::{CaaRecord, CaaSet, LookupFailure, Server, TxtPlace, TxtRecord, View};
use havre_core::name::{CertificateName, DnsName, HostName};
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, RecordType};

use super::ask::ask;
use super::zone::{HOPS_MAX, addresses_in, target};
use super::{Dns, write};
use crate::error::DnsError;

/// Whom to ask, and how patiently.
#[derive(Debug, Clone)]
pub struct DnsSettings {
    /// Resolvers. Two of different operators see more than one.
    pub resolvers: Vec<SocketAddr>,
    /// How long one try of one question may take.
    pub patience: Duration,
    /// Whether zones may be served from addresses that are not public.
    pub allow_private: bool,
    /// Port of the zones' own servers. 53 everywhere but in tests.
    pub authoritative_port: u16,
}

impl DnsSettings {
    /// The usual patience, for these resolvers.
    pub fn new(resolvers: Vec<SocketAddr>) -> Self {
        Self { resolvers, patience: Duration::from_secs(3), allow_private: false, authoritative_port: 53 }
    }
}

/// The resolvers in the text of a `resolv.conf`; at most three count, as for everybody else.
pub fn system_resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let is_server = words.next() == Some("nameserver");
        let address: IpAddr = words.next().filter(|_| is_server)?.parse().ok()?;
        Some(SocketAddr::new(address, 53))
    };
    resolv_conf.lines().filter_map(address).take(3).collect()
}

/// Asks and writes over the network.
#[derive(Debug)]
pub struct DnsClient {
    pub(super) settings: DnsSettings,
    /// One lock for each zone that was written to: many providers can only replace a whole set of values, so that two who add
    /// one each at the same time would leave one.
    writing: Mutex<BTreeMap<DnsName, Arc<tokio::sync::Mutex<()>>>>,
}

impl DnsClient {
    /// With these settings.
    pub fn new(settings: DnsSettings) -> Self {
        Self { settings, writing: Mutex::default() }
    }

    fn turn(&self, zone: &DnsName) -> Arc<tokio::sync::Mutex<()>> {
        let mut zones = self.writing.lock().expect("nothing panics while it holds the list of locks");
        Arc::clone(zones.entry(zone.clone()).or_default())
    }

    /// Whether a provider's settings can be used at all. Asks the provider nothing.
    ///
    /// # Errors
    /// [`DnsError::BadSettings`].
    pub async fn check_provider(&self, provider: &Provider) -> Result<(), DnsError> {
        write::check(provider).await
    }

    async fn ask_resolver(&self, address: SocketAddr, name: &DnsName, kinds: &[RecordType]) -> View<Message> {
        let asked = kinds.iter().copied().map(|kind| ask(address, name, kind, true, self.settings.patience));
        View { server: Server::Resolver { address }, answer: join_all(asked).await.into_iter().collect() }
    }

    /// Like [`View`]s of messages, but one failed kind does not hide the other: a zone with A records and a server that
    /// cannot answer for AAAA is common, and issuers put up with it.
    async fn addresses_by_kind(&self, name: &DnsName) -> Vec<View<IpAddr>> {
        let kinds = [RecordType::A, RecordType::AAAA];
        let own = async {
            join_all(kinds.map(|kind| async move { self.authoritative(name, &[kind]).await })).await
        };
        let resolvers = async {
            join_all(self.settings.resolvers.iter().copied().map(|address| async move {
                let views = join_all(
                    kinds.map(|kind| async move { self.ask_resolver(address, name, &[kind]).await }),
                )
                .await;
                views.into_iter().collect::<Vec<_>>()
            }))
            .await
        };
        let (own, resolvers) = tokio::join!(own, resolvers);
        let mut all: Vec<View<IpAddr>> = Vec::new();
        for view in own.into_iter().flatten().chain(resolvers.into_iter().flatten()) {
            let answer = view.answer.map(|answers| answers.iter().flat_map(addresses_in).collect::<Vec<_>>());
            match all.iter_mut().find(|known| known.server == view.server) {
                Some(known) => {
                    known.answer = merged(std::mem::replace(&mut known.answer, Ok(Vec::new())), answer)
                }
                None => all.push(View { server: view.server, answer }),
            }
        }
        all
    }
}

type Found = Result<Vec<IpAddr>, LookupFailure>;

fn merged(one: Found, two: Found) -> Found {
    match (one, two) {
        (Ok(one), Ok(two)) => Ok([one, two].concat()),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    }
}

fn caa_in(answer: &Message) -> Vec<CaaRecord> {
    let record = |data: &RData| match data {
        RData::CAA(caa) => Some(CaaRecord::new(caa.issuer_critical, &caa.tag, &caa.value)),
        _ => None,
    };
    answer.answers.iter().filter_map(|one| record(&one.data)).collect()
}

fn txt_in(answer: &Message) -> Vec<String> {
    let value = |data: &RData| match data {
        RData::TXT(txt) => {
            Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect())
        }
        _ => None,
    };
    answer.answers.iter().filter_map(|record| value(&record.data)).collect()
}

#[async_trait]
impl Dns for DnsClient {
    async fn addresses(&self, host: &HostName) -> Vec<View<IpAddr>> {
        self.addresses_by_kind(&host.clone().into()).await
    }

    async fn caa(&self, host: &HostName) -> Result<Option<CaaSet>, LookupFailure> {
        let mut name = Some(DnsName::from(host.clone()));
        while let Some(at) = name {
            match self.recurse(&at, RecordType::CAA).await {
                Ok(answer) => {
                    let records = caa_in(&answer);
                    if !records.is_empty() {
                        return Ok(Some(CaaSet { at, records }));
                    }
                }
                Err(LookupFailure::NoSuchName) => {}
                Err(failure) => return Err(failure),
            }
            name = at.parent();
        }
        Ok(None)
    }

    async fn txt(&self, name: &DnsName) -> Vec<View<String>> {
        let views = self.authoritative(name, &[RecordType::TXT]).await;
        let text = |view: View<Message>| {
            let answer = match view.answer {
                Ok(answers) => Ok(answers.iter().flat_map(txt_in).collect()),
                // Nothing has been written there yet: no failure of the server.
                Err(LookupFailure::NoSuchName) if matches!(view.server, Server::Authoritative { .. }) => {
                    Ok(Vec::new())
                }
                Err(failure) => Err(failure),
            };
            View { server: view.server, answer }
        };
        views.into_iter().map(text).collect()
    }

    async fn challenge_place(&self, name: &CertificateName) -> Result<TxtPlace, DnsError> {
        let no_zone = |message: String| DnsError::NoZone { name: name.to_string(), message };
        let mut at = name
            .challenge_record()
            .ok_or_else(|| no_zone("it is too long to have a challenge record".to_owned()))?;
        for _ in 0..HOPS_MAX {
            let next = match self.recurse(&at, RecordType::CNAME).await {
                Ok(answer) => target(&answer, &at),
                Err(LookupFailure::NoSuchName) => break,
                Err(failure) => return Err(no_zone(failure.to_string())),
            };
            if next == at {
                break;
            }
            at = next;
        }
        let zone = self.zone_of(&at).await.map_err(|failure| no_zone(failure.to_string()))?;
        Ok(TxtPlace { name: at, zone })
    }

    async fn set_txt(&self, provider: &Provider, record: &TxtRecord) -> Result<(), DnsError> {
        let turn = self.turn(&record.place.zone);
        let _mine = turn.lock().await;
        write::set(provider, record).await
    }

    async fn clear_txt(&self, provider: &Provider, record: &TxtRecord) -> Result<(), DnsError> {
        let turn = self.turn(&record.place.zone);
        let _mine = turn.lock().await;
        write::clear(provider, record).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read_as_everybody_reads_them() {
        let text = "# by hand\nsearch example.org\nnameserver 192.0.2.1\n nameserver 2001:db8::1 # two\nnameserver x\noptions nameserver 1.1.1.1\n";
        let found: Vec<String> = system_resolvers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
    }
}
