//! What proxies say of a client is believed only as far as trust goes.
#![no_main]

use std::net::IpAddr;

use havre_http::trust::{Forwarded, Networks};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: (Vec<&[u8]>, Vec<&[u8]>, Vec<&[u8]>)| {
    let (chain, scheme, standard) = lines;
    let forwarded = Forwarded { chain, scheme, standard };
    let peer = IpAddr::from([192, 0, 2, 1]);
    let _ = forwarded.is_https();
    assert_eq!(forwarded.client(peer, &Networks::default()), peer);
    let all = Networks::parse(["0.0.0.0/0", "::/0"]).expect("networks");
    let _ = forwarded.client(peer, &all);
});
