//! The head of a push and git's frames: whatever comes in whatever pieces is read the same, and what is let through is what git would read.
#![no_main]

use havre_source::pkt::{self, PKT_MAX, Pkt};
use havre_source::push::{COMMANDS_MAX, Head, HeadReader, PushRules, check, refuse};
use havre_source::tail::Tail;
use libfuzzer_sys::fuzz_target;

/// Whether all of it is pkt-lines.
fn is_framed(bytes: &[u8]) -> bool {
    let mut at = 0;
    loop {
        match pkt::decode(&bytes[at..]) {
            Ok(Some((pkt, length))) => {
                assert!((4..=PKT_MAX).contains(&length) && at + length <= bytes.len());
                if let Pkt::Data(data) = pkt {
                    assert_eq!(data.len() + 4, length);
                }
                at += length;
            }
            Ok(None) => return at == bytes.len(),
            Err(_) => return false,
        }
    }
}

/// Reads in pieces of this size: the head, if it is whole, and every byte that was given for it.
fn read(bytes: &[u8], size: usize) -> Option<(Head, Vec<u8>)> {
    let mut reader = HeadReader::new();
    for piece in bytes.chunks(size) {
        if reader.push(piece).ok()? {
            return Some(reader.into_parts());
        }
    }
    None
}

fuzz_target!(|bytes: &[u8]| {
    // Words for the person who pushes go between frames, never into one.
    let mut tail = Tail::new();
    let mut sent = tail.push(bytes).to_vec();
    let said = tail.message("built b12\x1b");
    sent.extend_from_slice(&said);
    sent.extend_from_slice(&tail.finish());
    assert_eq!(sent.len(), bytes.len() + said.len());
    if is_framed(bytes) {
        assert!(is_framed(&sent));
    }

    let whole = read(bytes, bytes.len().max(1));
    let pieces = read(bytes, 7);
    assert_eq!(whole.is_some(), pieces.is_some());
    let (Some((head, given)), Some((again, _))) = (whole, pieces) else { return };
    assert_eq!(head, again);
    assert_eq!(given, bytes, "git reads every byte again");
    assert!(head.updates.len() <= COMMANDS_MAX);
    let rules = PushRules { protected: vec!["main".parse().expect("is a branch")] };
    match check(&head, &rules) {
        Ok(commands) => {
            assert_eq!(commands.len(), head.updates.len());
            for (command, update) in commands.iter().zip(&head.updates) {
                assert_eq!(command.name.as_str(), update.name);
                let is_main = command.name.as_str() == "refs/heads/main";
                assert!(command.new.is_some() || !is_main);
            }
        }
        Err(error) => {
            let answer = refuse(&head.updates, head.capabilities, &error.to_string());
            assert!(answer.is_empty() || is_framed(&answer));
        }
    }
});
