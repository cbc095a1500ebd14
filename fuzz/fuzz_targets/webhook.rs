//! Deliveries of webhooks: only the right signature is believed, and what is read of a body keeps its promises and can be judged.
#![no_main]

use havre_webhook::delivery::Delivery;
use havre_webhook::headers::Headers;
use havre_webhook::judge::{Rules, Verdict, judge};
use havre_webhook::payload::{EVENTS_MAX, Event, read};
use havre_webhook::provider::Provider;
use havre_webhook::verify::{sign, verify};
use libfuzzer_sys::fuzz_target;

const SECRET: &[u8] = b"correct horse battery staple";

/// What this sender writes into its header.
fn proof(provider: Provider, body: &[u8]) -> Vec<u8> {
    let digits: String = sign(SECRET, body).iter().map(|byte| format!("{byte:02x}")).collect();
    match provider {
        Provider::GitHub | Provider::Bitbucket | Provider::Generic => format!("sha256={digits}").into_bytes(),
        Provider::Gitea => digits.into_bytes(),
        Provider::GitLab => SECRET.to_vec(),
        Provider::Registry => [b"Bearer ", SECRET].concat(),
    }
}

fuzz_target!(|bytes: &[u8]| {
    // Sender, event and proof in lines of their own, the body behind them.
    let parts: Vec<&[u8]> = bytes.splitn(4, |byte| *byte == b'\n').collect();
    let [sender, event, given, body] = parts[..] else { return };
    let Ok(provider) = String::from_utf8_lossy(sender).parse::<Provider>() else { return };
    let right = proof(provider, body);
    for value in [given, right.as_slice()] {
        let events = provider.event_headers().iter().take(1).map(|header| (*header, event));
        let proofs = provider.signature_headers().iter().map(|header| (*header, value));
        let lines: Vec<(&str, &[u8])> = events.chain(proofs).collect();
        let headers = Headers::new(&lines);
        // White space around it and the case of `Bearer` do not count.
        let is_right = value.trim_ascii().to_ascii_lowercase() == right.to_ascii_lowercase();
        let is_believed = verify(provider, SECRET, &headers, body).is_ok();
        assert!(!is_believed || is_right || provider == Provider::Registry);
        assert!(is_believed || value != right.as_slice());
        assert!(Delivery::read(provider, &headers, body).is_ok(), "no id is sent, so the body is one");
        let Ok(contents) = read(provider, &headers, body) else { continue };
        assert!((1..=EVENTS_MAX).contains(&contents.events.len()));
        for event in &contents.events {
            if let Event::Push(push) | Event::Tag(push) = event {
                assert_eq!(push.is_deleted, push.after.is_zero());
                assert_eq!(matches!(event, Event::Tag(_)), push.reference.tag().is_some());
            }
            let project = "orrery".parse().expect("is a name");
            let verdict = judge(event, &Rules { project, provider, remote: None, images: Vec::new() });
            // Without a remote repository and without images nothing can follow.
            let is_quiet = matches!(verdict, Verdict::Ignored { .. } | Verdict::Pong);
            assert!(is_quiet, "{verdict:?}");
        }
    }
});
