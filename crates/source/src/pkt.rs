//! pkt-lines, the frames of git's protocols: four hex digits of length, then so many bytes (gitprotocol-common(5)).
//! Pure: bytes in, frames out. Knows no command and no report; those are in [`crate::push`]. Tests at the end of the file.

/// Longest pkt-line, its four digits included (LARGE_PACKET_MAX of git).
pub const PKT_MAX: usize = 65_520;
/// The pkt-line that ends a list.
pub const FLUSH: &[u8; 4] = b"0000";
/// Digits of a length.
const DIGITS: usize = 4;

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pkt<'a> {
    /// `0000`: the end of a list.
    Flush,
    /// `0001`: the end of a section (protocol 2).
    Delimiter,
    /// `0002`: the end of an answer (protocol 2, stateless).
    ResponseEnd,
    /// What is behind the length, which may be nothing.
    Data(&'a [u8]),
}

/// Which of the three streams inside of one a piece belongs to (`side-band-64k`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// The answer itself.
    Data = 1,
    /// Words for the person at the other end, shown as `remote: ...`.
    Progress = 2,
}

/// Bytes where a pkt-line should begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not the length of a pkt-line")]
pub struct PktError {
    shown: String,
}

/// Reads the pkt-line at the start of `bytes`: what it is and how many bytes it takes. `None` while it is not whole.
///
/// # Errors
/// [`PktError`] when the first four bytes are no length, or one above [`PKT_MAX`].
pub fn decode(bytes: &[u8]) -> Result<Option<(Pkt<'_>, usize)>, PktError> {
    let Some((digits, rest)) = bytes.split_first_chunk::<DIGITS>() else { return Ok(None) };
    let wrong = || PktError { shown: digits.escape_ascii().to_string() };
    match length(digits).ok_or_else(wrong)? {
        0 => Ok(Some((Pkt::Flush, DIGITS))),
        1 => Ok(Some((Pkt::Delimiter, DIGITS))),
        2 => Ok(Some((Pkt::ResponseEnd, DIGITS))),
        length @ DIGITS..=PKT_MAX => Ok(rest.get(..length - DIGITS).map(|data| (Pkt::Data(data), length))),
        _ => Err(wrong()),
    }
}

fn length(digits: &[u8; DIGITS]) -> Option<usize> {
    let mut length = 0;
    for digit in digits {
        length = length * 16 + char::from(*digit).to_digit(16)? as usize;
    }
    Some(length)
}

/// Appends `data` as one pkt-line, as several where it is longer than one can be. Nothing for no data.
pub fn encode(out: &mut Vec<u8>, data: &[u8]) {
    for part in data.chunks(PKT_MAX - DIGITS) {
        out.extend_from_slice(format!("{:04x}", part.len() + DIGITS).as_bytes());
        out.extend_from_slice(part);
    }
}

/// Appends `data` as pkt-lines of a band.
pub fn encode_band(out: &mut Vec<u8>, band: Band, data: &[u8]) {
    for part in data.chunks(PKT_MAX - DIGITS - 1) {
        out.extend_from_slice(format!("{:04x}", part.len() + DIGITS + 1).as_bytes());
        out.push(band as u8);
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes, and the frame they begin with.
    type Row = (&'static [u8], Option<(Pkt<'static>, usize)>);

    #[test]
    fn frames() {
        let table: [Row; 10] = [
            (b"", None),
            (b"000", None),
            (b"0000", Some((Pkt::Flush, 4))),
            (b"0001x", Some((Pkt::Delimiter, 4))),
            (b"0002", Some((Pkt::ResponseEnd, 4))),
            (b"0004", Some((Pkt::Data(b""), 4))),
            (b"0006a", None),
            (b"0006ab", Some((Pkt::Data(b"ab"), 6))),
            (b"000Aabcdefgh", Some((Pkt::Data(b"abcdef"), 10))),
            (b"fff0", None),
        ];
        for (bytes, expected) in table {
            assert_eq!(decode(bytes), Ok(expected), "{}", bytes.escape_ascii());
        }
        let wrong: [&[u8]; 6] = [b"0003", b"fff1", b"ffff", b"PACK", b"-001", b"00\xff0"];
        for wrong in wrong {
            assert!(decode(wrong).is_err(), "{} must be refused", wrong.escape_ascii());
        }
        assert_eq!(
            decode(b"\x1b[3m").expect_err("is none").to_string(),
            r"`\x1b[3m` is not the length of a pkt-line"
        );
    }

    #[test]
    fn long_data_is_split() {
        let data = vec![b'x'; PKT_MAX * 2];
        for band in [false, true] {
            let mut out = Vec::new();
            if band {
                encode_band(&mut out, Band::Progress, &data)
            } else {
                encode(&mut out, &data)
            }
            let mut read = Vec::new();
            let mut at = 0;
            while let Some((pkt, length)) = decode(&out[at..]).expect("is well formed") {
                let Pkt::Data(part) = pkt else { panic!("only data was written: {pkt:?}") };
                read.extend_from_slice(if band { &part[1..] } else { part });
                at += length;
            }
            assert_eq!((at, read.len()), (out.len(), data.len()));
        }
        let mut out = Vec::new();
        encode(&mut out, b"");
        encode(&mut out, b"ab\n");
        encode_band(&mut out, Band::Data, b"c");
        assert_eq!(out, b"0007ab\n0006\x01c");
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_is_decoded(data in proptest::collection::vec(proptest::num::u8::ANY, 1..200)) {
            let mut out = Vec::new();
            encode(&mut out, &data);
            for cut in 0..out.len() {
                proptest::prop_assert_eq!(decode(&out[..cut]), Ok(None));
            }
            proptest::prop_assert_eq!(decode(&out), Ok(Some((Pkt::Data(&data), data.len() + 4))));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            if let Ok(Some((_, length))) = decode(&bytes) {
                proptest::prop_assert!((4..=bytes.len()).contains(&length));
            }
        }
    }
}
