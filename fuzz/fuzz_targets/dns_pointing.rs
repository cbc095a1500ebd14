//! Answers of servers of names: "it points here" needs the zone's own word and a resolver's, and no word against it.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use havre_core::dns::pointing::{Pointing, judge_pointing};
use havre_core::dns::{LookupFailure, Server, View};
use libfuzzer_sys::fuzz_target;

fn addresses<'w>(words: impl Iterator<Item = &'w str>) -> Vec<IpAddr> {
    words.filter_map(|word| word.parse().ok()).collect()
}

/// From `own`, `zone` or `resolver`, then what is wrong or the addresses.
fn view(line: &str) -> Option<View<IpAddr>> {
    let mut words = line.split(' ').peekable();
    let address = SocketAddr::from(([192, 0, 2, 53], 53));
    let name = "ns.example.org".to_owned();
    let server = match words.next()? {
        "own" => Server::Authoritative { name, address },
        "zone" => Server::Zone { name },
        "resolver" => Server::Resolver { address },
        _ => return None,
    };
    let answer = match words.peek().copied().unwrap_or_default() {
        "nx" => Err(LookupFailure::NoSuchName),
        "lame" => Err(LookupFailure::Lame),
        "timeout" => Err(LookupFailure::Timeout),
        _ => Ok(addresses(words)),
    };
    Some(View { server, answer })
}

fuzz_target!(|text: &str| {
    // Our addresses in the first line, a server in each further one.
    let mut lines = text.split('\n');
    let here = addresses(lines.next().unwrap_or_default().split(' '));
    let mut views: Vec<View<IpAddr>> = lines.filter_map(view).collect();
    let verdict = judge_pointing(&views, &here);
    let json = serde_json::to_string(&verdict).expect("write");
    assert_eq!(serde_json::from_str::<Pointing>(&json).expect("what is written is read"), verdict);
    assert!(!verdict.to_string().is_empty());

    let is_ours =
        |found: &Vec<IpAddr>| !found.is_empty() && found.iter().all(|address| here.contains(address));
    let is_against = |view: &View<IpAddr>| match &view.answer {
        Ok(found) => !is_ours(found),
        Err(failure) => *failure == LookupFailure::NoSuchName,
    };
    let has_word = |is_own: bool| {
        views.iter().any(|view| view.server.is_authoritative() == is_own && view.answer.is_ok())
    };
    let is_here = has_word(true) && has_word(false) && !views.iter().any(is_against);
    assert_eq!(verdict == Pointing::Here, is_here);
    match &verdict {
        Pointing::Elsewhere { found, .. } => assert!(found.iter().any(|address| !here.contains(address))),
        Pointing::Spreading { .. } => {
            let mut own = views.iter().filter(|view| view.server.is_authoritative());
            assert!(has_word(true) && !own.any(is_against), "the zone itself says so already");
        }
        _ => {}
    }
    views.reverse();
    assert_eq!(judge_pointing(&views, &here) == Pointing::Here, is_here, "order means nothing");
});
