//! Does a name point at this machine? From what each server says to one verdict with its reason. Asks nobody.
//! Tests at the end of the file.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{LookupFailure, Server, View, listed};

/// Where a name points, seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Pointing {
    /// Everybody who answered says: here.
    Here,
    /// The zone says so, and a resolver still has an older answer in its cache. Passes by itself.
    Spreading {
        /// The resolver.
        server: Server,
        /// What it still says.
        found: Vec<IpAddr>,
    },
    /// It has an address that is not ours. One is enough: an issuer may pick it, and prefers IPv6.
    Elsewhere {
        /// Who says so.
        server: Server,
        /// All it said.
        found: Vec<IpAddr>,
        /// The addresses of this machine.
        here: Vec<IpAddr>,
    },
    /// There is no such name.
    NoSuchName {
        /// Who says so.
        server: Server,
    },
    /// The name exists and has no address.
    NoAddress {
        /// Who says so.
        server: Server,
    },
    /// Too few answered to know. Passes by itself, or with the server that failed.
    Unclear {
        /// Who failed; `None` when nobody was asked.
        server: Option<Server>,
        /// How.
        failure: Option<LookupFailure>,
    },
}

impl std::fmt::Display for Pointing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here => f.write_str("it points here"),
            Self::Spreading { server, found } => write!(
                f,
                "the zone points here already, but {server} still says {}; it will follow when its cache runs out",
                if found.is_empty() { "nothing".to_owned() } else { listed(found) }
            ),
            Self::Elsewhere { server, found, here } => write!(
                f,
                "it points to {}, says {server}, and this machine is {}; change its A and AAAA records",
                listed(found),
                if here.is_empty() { "not known by any public address".to_owned() } else { listed(here) }
            ),
            Self::NoSuchName { server } => {
                write!(f, "there is no such name, says {server}; add an A record that points here")
            }
            Self::NoAddress { server } => {
                write!(f, "it has no address, says {server}; add an A record that points here")
            }
            Self::Unclear { server: Some(server), failure: Some(failure) } => {
                write!(f, "where it points is not known: {server}: {failure}")
            }
            Self::Unclear { .. } => f.write_str("where it points is not known: no server of names was asked"),
        }
    }
}

/// Judges what was seen of one name against the public addresses of this machine.
///
/// The zone's own servers count most: one of them must have answered, and every one that did must say "here". One resolver
/// at least must have answered too, and those that did must agree, because visitors come through them.
pub fn judge_pointing(views: &[View<IpAddr>], here: &[IpAddr]) -> Pointing {
    let (own, others): (Vec<_>, Vec<_>) = views.iter().partition(|view| view.server.is_authoritative());
    for view in &own {
        if let Some(verdict) = wrong(view, here) {
            return verdict;
        }
    }
    if !own.iter().any(|view| view.answer.is_ok()) {
        // Resolvers may know more about why: a name nobody has, or an answer that is plainly another machine's.
        let hint = others.iter().find_map(|view| wrong(view, here));
        return hint.unwrap_or_else(|| unclear(own.first().or(others.first()).copied()));
    }
    for view in &others {
        if wrong(view, here).is_some() {
            let found = view.answer.clone().unwrap_or_default();
            return Pointing::Spreading { server: view.server.clone(), found };
        }
    }
    if !others.iter().any(|view| view.answer.is_ok()) {
        return unclear(others.first().copied());
    }
    Pointing::Here
}

/// What one answer says against pointing here; failures to answer say nothing.
fn wrong(view: &View<IpAddr>, here: &[IpAddr]) -> Option<Pointing> {
    let server = view.server.clone();
    match &view.answer {
        Err(LookupFailure::NoSuchName) => Some(Pointing::NoSuchName { server }),
        Err(_) => None,
        Ok(found) if found.is_empty() => Some(Pointing::NoAddress { server }),
        Ok(found) if found.iter().all(|address| here.contains(address)) => None,
        Ok(found) => Some(Pointing::Elsewhere { server, found: found.clone(), here: here.to_vec() }),
    }
}

fn unclear(view: Option<&View<IpAddr>>) -> Pointing {
    Pointing::Unclear {
        server: view.map(|view| view.server.clone()),
        failure: view.and_then(|view| view.answer.clone().err()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own(last: u8, answer: Result<Vec<&str>, LookupFailure>) -> View<IpAddr> {
        let server = Server::Authoritative {
            name: "ns1.example.org".to_owned(),
            address: ([192, 0, 2, last], 53).into(),
        };
        View { server, answer: answer.map(|list| list.iter().map(|text| text.parse().unwrap()).collect()) }
    }

    fn resolver(answer: Result<Vec<&str>, LookupFailure>) -> View<IpAddr> {
        let server = Server::Resolver { address: ([9, 9, 9, 9], 53).into() };
        View { server, answer: answer.map(|list| list.iter().map(|text| text.parse().unwrap()).collect()) }
    }

    fn judged(views: &[View<IpAddr>]) -> String {
        let here: Vec<IpAddr> = vec!["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        judge_pointing(views, &here).to_string()
    }

    #[test]
    fn each_verdict_says_who_what_and_what_to_do() {
        let ok = || Ok(vec!["203.0.113.7"]);
        let lines = [
            judged(&[own(1, ok()), own(2, Ok(vec!["203.0.113.7", "2001:db8::7"])), resolver(ok())]),
            judged(&[own(1, ok()), own(2, Err(LookupFailure::Timeout)), resolver(ok())]),
            judged(&[own(1, ok()), resolver(Ok(vec!["198.51.100.1"]))]),
            judged(&[own(1, ok()), resolver(Err(LookupFailure::NoSuchName))]),
            judged(&[own(1, Ok(vec!["203.0.113.7", "2001:db8::1"])), resolver(ok())]),
            judged(&[own(1, Err(LookupFailure::NoSuchName)), resolver(ok())]),
            judged(&[own(1, Ok(vec![])), resolver(ok())]),
            judged(&[own(1, Err(LookupFailure::Lame)), resolver(ok())]),
            judged(&[
                own(1, Err(LookupFailure::Failed { code: "SERVFAIL".into() })),
                resolver(Ok(vec!["198.51.100.1"])),
            ]),
            judged(&[own(1, ok()), resolver(Err(LookupFailure::Timeout))]),
            judged(&[own(1, ok())]),
            judged(&[]),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }

    fn any_view() -> impl Strategy<Value = View<IpAddr>> {
        let address = prop_oneof![Just("203.0.113.7"), Just("2001:db8::7"), Just("198.51.100.1")];
        let answer = prop_oneof![
            proptest::collection::vec(address, 0..3).prop_map(Ok),
            Just(Err(LookupFailure::NoSuchName)),
            Just(Err(LookupFailure::Timeout)),
            Just(Err(LookupFailure::Lame)),
        ];
        (any::<bool>(), answer)
            .prop_map(|(is_own, answer)| if is_own { own(1, answer) } else { resolver(answer) })
    }

    proptest! {
        // The law that protects the issuer's limits: "here" is never said while anybody sees another machine, and never
        // without a word of the zone itself.
        #[test]
        fn here_means_that_nobody_disagrees(views in proptest::collection::vec(any_view(), 0..6)) {
            let here: Vec<IpAddr> = vec!["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
            if judge_pointing(&views, &here) == Pointing::Here {
                prop_assert!(views.iter().any(|view| view.server.is_authoritative() && view.answer.is_ok()));
                prop_assert!(views.iter().any(|view| !view.server.is_authoritative() && view.answer.is_ok()));
                for view in views {
                    match view.answer {
                        Ok(found) => prop_assert!(!found.is_empty() && found.iter().all(|one| here.contains(one))),
                        Err(failure) => prop_assert_ne!(failure, LookupFailure::NoSuchName),
                    }
                }
            }
        }
    }
}
