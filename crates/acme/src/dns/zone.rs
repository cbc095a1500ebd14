//! Finds the zone of a name, the zone's own servers, and what each of them says. Tests: `tests/it/dns.rs`.

use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use havre_core::dns::{LookupFailure, Server, View};
use havre_core::name::DnsName;
use havre_decide::dns::public::is_public;
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};

use super::ask::ask;
use super::client::DnsClient;

/// CNAMEs that are followed; more is a loop or a mistake.
pub(super) const HOPS_MAX: usize = 8;
/// Servers of one zone that are asked, and addresses of each.
const SERVERS_MAX: usize = 8;
const ADDRESSES_MAX: usize = 2;

/// Our form of a name in an answer; `None` for what is none of ours, such as the root.
pub(super) fn name_of(name: &Name) -> Option<DnsName> {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase().parse().ok()
}

/// Where the CNAMEs of an answer lead from `start`.
pub(super) fn target(answer: &Message, start: &DnsName) -> DnsName {
    let mut at = start.clone();
    for _ in 0..HOPS_MAX {
        let next = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(to) if name_of(&record.name).as_ref() == Some(&at) => name_of(&to.0),
            _ => None,
        });
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

impl DnsClient {
    /// Asks resolvers one after the other until one answers. That a name does not exist is an answer.
    pub(super) async fn recurse(&self, name: &DnsName, kind: RecordType) -> Result<Message, LookupFailure> {
        let mut last = LookupFailure::Unreachable { message: "no resolver is known".to_owned() };
        for resolver in &self.settings.resolvers {
            match ask(*resolver, name, kind, true, self.settings.patience).await {
                Err(failure) if failure != LookupFailure::NoSuchName => last = failure,
                answer => return answer,
            }
        }
        Err(last)
    }

    /// The zone a name is in: the nearest name above it that has an SOA record of its own.
    pub(super) async fn zone_of(&self, name: &DnsName) -> Result<DnsName, LookupFailure> {
        let mut at = Some(name.clone());
        let mut missing = None;
        while let Some(candidate) = at {
            match self.recurse(&candidate, RecordType::SOA).await {
                Ok(answer) => {
                    let is_soa = answer.answers.iter().any(|record| {
                        record.record_type() == RecordType::SOA
                            && name_of(&record.name).as_ref() == Some(&candidate)
                    });
                    if is_soa {
                        return Ok(candidate);
                    }
                }
                Err(LookupFailure::NoSuchName) => missing = Some(LookupFailure::NoSuchName),
                Err(failure) => return Err(failure),
            }
            at = candidate.parent();
        }
        Err(missing
            .unwrap_or_else(|| LookupFailure::Unreachable { message: "no zone above it answers".to_owned() }))
    }

    /// The servers a zone names.
    async fn servers_of(&self, zone: &DnsName) -> Result<Vec<(String, SocketAddr)>, LookupFailure> {
        let answer = self.recurse(zone, RecordType::NS).await?;
        let names: Vec<DnsName> = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::NS(server) => name_of(&server.0),
                _ => None,
            })
            .take(SERVERS_MAX)
            .collect();
        let mut servers = Vec::new();
        for (name, addresses) in join_all(names.into_iter().map(|name| self.addresses_of_server(name))).await
        {
            servers.extend(addresses.into_iter().map(|address| (name.to_string(), address)));
        }
        if servers.is_empty() {
            let message = format!("none of the servers of {zone} has an address that may be asked");
            return Err(LookupFailure::Unreachable { message });
        }
        Ok(servers)
    }

    async fn addresses_of_server(&self, name: DnsName) -> (DnsName, Vec<SocketAddr>) {
        let mut found = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            if let Ok(answer) = self.recurse(&name, kind).await {
                found.extend(addresses_in(&answer));
            }
        }
        // An IPv6 address is no use to a machine without IPv6, and the other one may be.
        found.sort_by_key(IpAddr::is_ipv6);
        let allowed = found.into_iter().filter(|address| self.settings.allow_private || is_public(*address));
        let port = self.settings.authoritative_port;
        (name, allowed.take(ADDRESSES_MAX).map(|address| SocketAddr::new(address, port)).collect())
    }

    /// What each server of a name's own zone answers to questions of these kinds; CNAMEs into other zones are followed, and
    /// then it is the servers of the last zone that are heard.
    pub(super) async fn authoritative(&self, name: &DnsName, kinds: &[RecordType]) -> Vec<View<Message>> {
        let mut at = name.clone();
        for _ in 0..HOPS_MAX {
            let servers = match self.zone_of(&at).await {
                Ok(zone) => self.servers_of(&zone).await,
                Err(failure) => Err(failure),
            };
            let servers = match servers {
                Ok(servers) => servers,
                Err(failure) => {
                    return vec![View {
                        server: Server::Zone { name: at.to_string() },
                        answer: Err(failure),
                    }];
                }
            };
            let asked = servers.into_iter().map(|(name, address)| self.ask_server(name, address, &at, kinds));
            let views = join_all(asked).await;
            let leads_on = views.iter().flat_map(|view| view.answer.iter().flatten()).find_map(|answer| {
                let to = target(answer, &at);
                let has_any = answer.answers.iter().any(|record| kinds.contains(&record.record_type()));
                (to != at && !has_any).then_some(to)
            });
            match leads_on {
                Some(next) => at = next,
                None => return views,
            }
        }
        let failure = LookupFailure::Unreachable {
            message: format!("more than {HOPS_MAX} CNAMEs lead on from {name}"),
        };
        vec![View { server: Server::Zone { name: name.to_string() }, answer: Err(failure) }]
    }

    async fn ask_server(
        &self,
        name: String,
        address: SocketAddr,
        at: &DnsName,
        kinds: &[RecordType],
    ) -> View<Message> {
        let answers = kinds.iter().copied().map(|kind| ask(address, at, kind, false, self.settings.patience));
        let answer = join_all(answers).await.into_iter().map(owned).collect();
        View { server: Server::Authoritative { name, address }, answer }
    }
}

/// A server that does not answer for the zone itself was not worth asking.
fn owned(answer: Result<Message, LookupFailure>) -> Result<Message, LookupFailure> {
    match answer {
        Ok(message) if !message.metadata.authoritative => Err(LookupFailure::Lame),
        Err(LookupFailure::Failed { code }) if code == "REFUSED" || code == "NOTAUTH" => {
            Err(LookupFailure::Lame)
        }
        answer => answer,
    }
}

pub(super) fn addresses_in(answer: &Message) -> Vec<IpAddr> {
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    };
    answer.answers.iter().filter_map(|record| address(&record.data)).collect()
}
