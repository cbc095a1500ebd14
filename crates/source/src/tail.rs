//! The end of what receive-pack answers: passes the answer through as it comes but keeps the last flush back, so that words for
//! the person who pushes can still be added. Pure; knows nothing about what is said. Tests at the end of the file.

use std::mem;

use bytes::Bytes;

use crate::pkt::{self, Band, FLUSH, Pkt};

/// An answer on its way. Only whole pkt-lines leave, so a message never lands inside of one.
///
/// Whether the client takes messages (`side-band-64k`) is seen in the answer itself: its pieces then begin with the
/// number of a band, which no line of a plain report does.
#[derive(Debug, Default)]
pub struct Tail {
    /// A pkt-line that is not whole yet; shorter than [`pkt::PKT_MAX`] between calls.
    waiting: Vec<u8>,
    is_flush_held: bool,
    has_bands: bool,
    /// It was not pkt-lines, so that nothing is known about where a message might go.
    is_foreign: bool,
}

impl Tail {
    /// Before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes in and answers what to send now.
    pub fn push(&mut self, bytes: &[u8]) -> Bytes {
        if self.is_foreign {
            return Bytes::copy_from_slice(bytes);
        }
        let mut waiting = mem::take(&mut self.waiting);
        waiting.extend_from_slice(bytes);
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            match pkt::decode(&waiting[at..]) {
                Ok(None) => break,
                Ok(Some((Pkt::Flush, length))) => {
                    self.release(&mut out);
                    self.is_flush_held = true;
                    at += length;
                }
                Ok(Some((pkt, length))) => {
                    self.release(&mut out);
                    self.has_bands |= matches!(pkt, Pkt::Data([1..=3, ..]));
                    out.extend_from_slice(&waiting[at..at + length]);
                    at += length;
                }
                Err(_) => {
                    self.release(&mut out);
                    self.is_foreign = true;
                    out.extend_from_slice(&waiting[at..]);
                    at = waiting.len();
                    break;
                }
            }
        }
        waiting.drain(..at);
        self.waiting = waiting;
        out.into()
    }

    /// What to send so that the person who pushes reads `text`, each line behind `remote: `. Nothing when their client did
    /// not ask for messages, and before the first pkt-line. Control characters are replaced: it ends on a terminal.
    pub fn message(&mut self, text: &str) -> Bytes {
        if !self.has_bands || self.is_foreign {
            return Bytes::new();
        }
        let mut text: String =
            text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let mut out = Vec::new();
        pkt::encode_band(&mut out, Band::Progress, text.as_bytes());
        out.into()
    }

    /// What to send at the end. An answer that broke off is not completed: the client must see that it did.
    pub fn finish(mut self) -> Bytes {
        let mut out = Vec::new();
        self.release(&mut out);
        out.append(&mut self.waiting);
        out.into()
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        if mem::take(&mut self.is_flush_held) {
            out.extend_from_slice(FLUSH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `answer` in pieces cut at `cuts`, then the message, then the end.
    fn send(answer: &[u8], cuts: &[usize], message: Option<&str>) -> Vec<u8> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (answer.len() + 1)).collect();
        cuts.push(answer.len());
        cuts.sort_unstable();
        let (mut tail, mut sent, mut at) = (Tail::new(), Vec::new(), 0);
        for cut in cuts {
            sent.extend_from_slice(&tail.push(&answer[at..cut]));
            at = cut;
        }
        if let Some(message) = message {
            sent.extend_from_slice(&tail.message(message));
        }
        sent.extend_from_slice(&tail.finish());
        sent
    }

    /// What git answers to a push of one branch: with bands, and without.
    const BANDS: &[u8] = b"002e\x01000eunpack ok\n0017ok refs/heads/four\n00000000";
    const PLAIN: &[u8] = b"000eunpack ok\n0017ok refs/heads/five\n0000";

    #[test]
    fn a_message_goes_before_the_last_flush() {
        assert_eq!(
            send(BANDS, &[], Some("built b12\x1b")),
            b"002e\x01000eunpack ok\n0017ok refs/heads/four\n00000010\x02built b12?\n0000"
        );
        assert_eq!(send(PLAIN, &[], Some("dropped")), PLAIN);
        assert_eq!(send(b"0000", &[], Some("nobody asked")), b"0000");
        assert_eq!(send(b"", &[], Some("nobody asked")), b"");
    }

    #[test]
    fn flushes_in_the_middle_stay_there() {
        assert_eq!(send(b"0006\x02a00000006\x01b0000", &[], None), b"0006\x02a00000006\x01b0000");
        assert_eq!(send(b"0006\x02a00000000", &[], Some("x")), b"0006\x02a00000007\x02x\n0000");
    }

    #[test]
    fn nothing_but_the_last_flush_is_held_back() {
        let mut tail = Tail::new();
        assert_eq!(&tail.push(BANDS)[..], &BANDS[..BANDS.len() - 4]);
        assert_eq!(&tail.finish()[..], b"0000");
    }

    #[test]
    fn what_broke_off_or_is_foreign_is_left_as_it_is() {
        for answer in [&b"002e\x01000e"[..], b"0006\x02aPACK0000", b"fatal: no"] {
            assert_eq!(send(answer, &[3, 5], None), answer);
        }
        assert_eq!(send(b"0006\x02aPACK0000", &[], Some("x")), b"0006\x02aPACK0000");
    }

    proptest::proptest! {
        #[test]
        fn any_cut_gives_the_same_bytes(
            pieces in proptest::collection::vec((0_u8..6, "[a-z\n]{0,9}"), 0..12),
            cuts in proptest::collection::vec(0_usize..400, 0..12),
            message in proptest::option::of("[a-z]{0,9}"),
        ) {
            let mut answer = Vec::new();
            for (kind, text) in &pieces {
                match kind {
                    0 => answer.extend_from_slice(FLUSH),
                    1 => pkt::encode(&mut answer, text.as_bytes()),
                    2 => answer.extend_from_slice(b"0004"),
                    3 => answer.extend_from_slice(b"0001"),
                    _ => pkt::encode_band(&mut answer, Band::Progress, text.as_bytes()),
                }
            }
            let message = message.as_deref();
            proptest::prop_assert_eq!(send(&answer, &cuts, None), answer.clone());
            proptest::prop_assert_eq!(send(&answer, &cuts, message), send(&answer, &[], message));
        }

        #[test]
        fn any_bytes_pass(
            answer in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            proptest::prop_assert_eq!(send(&answer, &cuts, None), answer);
        }
    }
}
