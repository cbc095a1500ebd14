//! Files of PostgreSQL's WAL, by what their names say and how they begin. A name that is none of these reaches no command and no path: what is
//! half written (`.partial`, a leading dot) is none. Segments have the size every official image makes them with. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of a segment.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// Segments that one part of a name counts before the next part does.
const IN_A_LOG: u64 = 0x1_0000_0000 / SEGMENT_BYTES;
/// Bytes of the beginning of a segment that are looked at.
pub const HEAD_BYTES: usize = 40;
/// The first byte of the mark of every version from 14 to 18, which is written with the other one first.
const MAGIC: u8 = 0xd1;
/// Says that the first page of a segment describes the whole.
const LONG_HEADER: u16 = 2;

/// A place in the WAL of a cluster, as the server counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

/// Text that names nothing of a WAL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a file, nor a place, of a WAL")]
pub struct WalError(String);

pub(super) fn refused(text: &str) -> WalError {
    WalError(text.chars().take(48).flat_map(char::escape_default).collect())
}

impl FromStr for Lsn {
    type Err = WalError;

    fn from_str(text: &str) -> Result<Self, WalError> {
        let part = |part: &str| {
            let is_hex = (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_hex { u64::from_str_radix(part, 16).ok() } else { None }
        };
        let (high, low) = text.split_once('/').ok_or_else(|| refused(text))?;
        match (part(high), part(low)) {
            (Some(high), Some(low)) => Ok(Self(high << 32 | low)),
            _ => Err(refused(text)),
        }
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// A segment: which one of which timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its timeline.
    pub timeline: u32,
    /// Counted from the beginning of the cluster.
    pub number: u64,
}

impl Segment {
    /// The one that holds the byte at this place.
    pub const fn holding(timeline: u32, at: Lsn) -> Self {
        Self { timeline, number: at.0 / SEGMENT_BYTES }
    }

    /// Its first byte.
    pub const fn start(self) -> Lsn {
        Lsn(self.number.saturating_mul(SEGMENT_BYTES))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.number / IN_A_LOG, self.number % IN_A_LOG)
    }
}

impl FromStr for Segment {
    type Err = WalError;

    fn from_str(text: &str) -> Result<Self, WalError> {
        if text.len() != 24 {
            return Err(refused(text));
        }
        let part = |range: std::ops::Range<usize>| text.get(range).and_then(hex).ok_or_else(|| refused(text));
        let (timeline, log, rest) = (part(0..8)?, part(8..16)?, part(16..24)?);
        if timeline == 0 || u64::from(rest) >= IN_A_LOG {
            return Err(refused(text));
        }
        Ok(Self { timeline, number: u64::from(log) * IN_A_LOG + u64::from(rest) })
    }
}

/// Eight digits as the server writes them.
fn hex(text: &str) -> Option<u32> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    if text.len() != 8 || !text.bytes().all(is_digit) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

/// A file that a server hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WalFile {
    /// A segment.
    Segment(Segment),
    /// Says where a base backup began and ended: `….00000028.backup`.
    Label {
        /// In which it began.
        segment: Segment,
        /// At which of its bytes.
        offset: u32,
    },
    /// Says where a timeline left the one before: `00000002.history`.
    History {
        /// Which.
        timeline: u32,
    },
}

impl WalFile {
    /// Its timeline.
    pub const fn timeline(self) -> u32 {
        match self {
            Self::Segment(segment) | Self::Label { segment, .. } => segment.timeline,
            Self::History { timeline } => timeline,
        }
    }
}

impl fmt::Display for WalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Label { segment, offset } => write!(f, "{segment}.{offset:08X}.backup"),
            Self::History { timeline } => write!(f, "{timeline:08X}.history"),
        }
    }
}

impl FromStr for WalFile {
    type Err = WalError;

    fn from_str(text: &str) -> Result<Self, WalError> {
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            [name] => Ok(Self::Segment(name.parse()?)),
            [name, offset, "backup"] => {
                let offset = hex(offset).ok_or_else(|| refused(text))?;
                Ok(Self::Label { segment: name.parse()?, offset })
            }
            [timeline, "history"] => match hex(timeline) {
                Some(timeline) if timeline > 0 => Ok(Self::History { timeline }),
                _ => Err(refused(text)),
            },
            _ => Err(refused(text)),
        }
    }
}

/// Whether a file is the segment its name says; why not, in words.
///
/// # Errors
/// Its size or its beginning is another one's.
pub fn check_segment(segment: Segment, size: u64, head: &[u8]) -> Result<(), String> {
    if size != SEGMENT_BYTES {
        return Err(format!("{segment} has {size} bytes, and a segment has {SEGMENT_BYTES}"));
    }
    let Some([magic, info, timeline, place, bytes]) = fields(head) else {
        return Err(format!("{segment} has no beginning"));
    };
    let is_wal = magic >> 8 == u64::from(MAGIC) && info & u64::from(LONG_HEADER) != 0;
    // The first page of a timeline's first segment may be of the timeline before.
    let is_its = place == segment.start().0 && (1..=u64::from(segment.timeline)).contains(&timeline);
    if is_wal && is_its && bytes == SEGMENT_BYTES {
        return Ok(());
    }
    Err(format!("{segment} does not begin as that segment does"))
}

/// Of the first page: its mark, what it is, its timeline, its place, and the size of the segment.
fn fields(head: &[u8]) -> Option<[u64; 5]> {
    let number = |from: usize, length: usize| {
        let bytes = head.get(from..from + length)?;
        Some(bytes.iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte)))
    };
    Some([number(0, 2)?, number(2, 2)?, number(4, 4)?, number(8, 8)?, number(32, 4)?])
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn segment(number: u64) -> Segment {
        Segment { timeline: 1, number }
    }

    /// How a segment begins.
    pub(crate) fn head(segment: Segment) -> Vec<u8> {
        let mut head = vec![0x10, MAGIC, 6, 0];
        head.extend(segment.timeline.to_le_bytes());
        head.extend(segment.start().0.to_le_bytes());
        head.extend([0; 8]);
        head.extend([0xd6, 0x75, 5, 0x22, 0x5f, 0x6a, 9, 0x6b]);
        head.extend([0, 0, 0, 1, 0, 0x20, 0, 0]);
        head
    }

    #[test]
    fn names_are_those_of_the_server() {
        for text in ["000000010000000000000002", "0000000200000001000000FF", "0000000A.history"] {
            assert_eq!(text.parse::<WalFile>().expect("is one").to_string(), text);
        }
        let label = "000000010000000000000002.00000028.backup".parse::<WalFile>().expect("is one");
        assert_eq!(label, WalFile::Label { segment: segment(2), offset: 0x28 });
        for wrong in [
            "",
            "000000010000000000000002.partial",
            ".000000010000000000000002.part",
            "00000001000000000000000a",
            "000000010000000000000100",
            "000000000000000000000001",
            "00000000.history",
            "000000010000000000000002.28.backup",
            "0000000100000000000002",
            "../00000100000000000002",
            "00000001000000000000000é",
        ] {
            assert!(wrong.parse::<WalFile>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn places_are_counted_over_all_segments() {
        let at: Lsn = "1/2000028".parse().expect("is a place");
        assert_eq!(at.to_string(), "1/2000028");
        assert_eq!(Segment::holding(1, at).to_string(), "000000010000000100000002");
        for wrong in ["", "1", "1/", "/1", "1/2/3", "g/1", "123456789/1", "+1/1"] {
            assert!(wrong.parse::<Lsn>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn a_segment_begins_as_its_name_says() {
        let two = segment(2);
        assert_eq!(check_segment(two, SEGMENT_BYTES, &head(two)), Ok(()));
        assert_eq!(check_segment(Segment { timeline: 3, ..two }, SEGMENT_BYTES, &head(two)), Ok(()));
        for (size, head) in [
            (SEGMENT_BYTES - 1, head(two)),
            (SEGMENT_BYTES, head(segment(3))),
            (SEGMENT_BYTES, head(Segment { timeline: 2, ..two })),
            (SEGMENT_BYTES, vec![0; HEAD_BYTES]),
            (SEGMENT_BYTES, Vec::new()),
        ] {
            assert!(check_segment(two, size, &head).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_segment_has_one_name(timeline in 1_u32.., number in 0_u64..0x1_0000_0000 * IN_A_LOG) {
            let one = Segment { timeline, number };
            prop_assert_eq!(one.to_string().parse::<Segment>().expect("is one"), one);
            prop_assert_eq!(Segment::holding(timeline, one.start()), one);
        }

        #[test]
        fn no_text_is_read_as_what_it_is_not(text in "[0-9A-Fa-f.]{0,44}") {
            if let Ok(file) = text.parse::<WalFile>() {
                prop_assert_eq!(file.to_string(), text);
            }
        }
    }
}
