//! What a dump says of itself at its beginning: how it is written, and for which version of PostgreSQL. Read before anything is done with it.
//! Tests at the end of the file.

use havre_core::copy::DumpFormat;

/// Most bytes until a dump has said what it is.
pub const HEADER_MAX: usize = 64 * 1024;

/// What every archive of `pg_dump` begins with.
const MAGIC: &[u8] = b"PGDMP";
/// Kind of archive that can be read from a stream.
const CUSTOM: u8 = 1;
/// Minor version of the archive since which compression is one byte.
const ONE_BYTE: u8 = 15;
/// Numbers of the time it was made at.
const TIMES: usize = 7;

const FROM: &str = "-- Dumped from database version ";
const BY: &str = "-- Dumped by pg_dump version ";
/// What stands at the end of every whole dump of text.
pub const TRAILER: &str = "-- PostgreSQL database dump complete";

/// What a dump is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How it is written.
    pub format: DumpFormat,
    /// Major version of PostgreSQL that is needed to read it: of the server it is of, or of the `pg_dump` that wrote it.
    pub major: u32,
}

/// Why something is no dump that can be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Something else.
    #[error(
        "it is no dump of pg_dump, neither text nor custom format; SQL of your own goes through `havre db psql`"
    )]
    Unknown,
    /// Packed.
    #[error("it is packed: unpack it on the way, such as `gunzip -c FILE | havre db import NAME -`")]
    Packed,
    /// All databases of a server.
    #[error("it is a dump of a whole server (pg_dumpall): dump one database with pg_dump")]
    Cluster,
    /// An archive of many files.
    #[error("it is an archive in another format than custom: dump with --format=custom or --format=plain")]
    OtherArchive,
}

/// What the beginning of a dump says; `None` while more of it is needed.
///
/// # Errors
/// It is none, whatever follows.
pub fn read_header(begin: &[u8]) -> Result<Option<Header>, HeaderError> {
    if begin.len() < MAGIC.len() {
        return Ok(None);
    }
    if begin.starts_with(MAGIC) {
        return match read_archive(begin)? {
            None if begin.len() >= HEADER_MAX => Err(HeaderError::Unknown),
            found => Ok(found),
        };
    }
    if begin.starts_with(&[0x1f, 0x8b])
        || begin.starts_with(b"BZh")
        || begin.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    {
        return Err(HeaderError::Packed);
    }
    if !begin.starts_with(b"--\n") && !begin.starts_with(b"--\r\n") {
        return Err(HeaderError::Unknown);
    }
    // A piece may end in the middle of a letter; what is looked for has none of more than one byte.
    let text = String::from_utf8_lossy(&begin[..begin.len().min(HEADER_MAX)]);
    if text.contains("-- PostgreSQL database cluster dump") {
        return Err(HeaderError::Cluster);
    }
    let version = |start: &str| {
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.find_map(|line| line.strip_prefix(start)).and_then(major)
    };
    match (version(FROM), version(BY)) {
        (Some(from), Some(by)) => Ok(Some(Header { format: DumpFormat::Plain, major: from.max(by) })),
        _ if begin.len() >= HEADER_MAX => Err(HeaderError::Unknown),
        _ => Ok(None),
    }
}

/// `15.14 (Debian 15.14-1)`, `18beta1`.
fn major(version: &str) -> Option<u32> {
    let end = version.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

fn read_archive(begin: &[u8]) -> Result<Option<Header>, HeaderError> {
    let mut reader = Reader { rest: &begin[MAGIC.len()..], int: 0 };
    let Some([_, minor, _, int, _, format]) = reader.bytes::<6>() else { return Ok(None) };
    if format != CUSTOM {
        return Err(HeaderError::OtherArchive);
    }
    if !(1..=8).contains(&int) {
        return Err(HeaderError::Unknown);
    }
    reader.int = usize::from(int);
    Ok(reader.versions(minor).map(|major| Header { format: DumpFormat::Custom, major }))
}

/// Reads numbers and texts of an archive; `None` where more bytes are needed.
struct Reader<'a> {
    rest: &'a [u8],
    /// Bytes of a number, without its sign.
    int: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A number that is not negative; 0 for one that is.
    fn number(&mut self) -> Option<usize> {
        let sign = self.take(1)?[0];
        let bytes = self.take(self.int)?;
        let number = bytes.iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        if sign == 0 { usize::try_from(number).ok() } else { Some(0) }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    /// The larger one of the two versions it names.
    fn versions(&mut self, minor: u8) -> Option<u32> {
        if minor >= ONE_BYTE {
            self.take(1)?;
        } else {
            self.number()?;
        }
        for _ in 0..TIMES {
            self.number()?;
        }
        self.text()?;
        let (from, by) = (self.text()?, self.text()?);
        let version = |text: &[u8]| std::str::from_utf8(text).ok().and_then(major).unwrap_or(u32::MAX);
        Some(version(from).max(version(by)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n\
        -- Dumped from database version 15.14 (Debian 15.14-1)\n-- Dumped by pg_dump version 16.2\n\nSET a = 0;\n";

    fn archive(minor: u8, from: &str, by: &str) -> Vec<u8> {
        let mut bytes = b"PGDMP\x01".to_vec();
        bytes.extend([minor, 0, 4, 8, 1]);
        let number = |bytes: &mut Vec<u8>, number: u32| {
            bytes.push(0);
            bytes.extend(number.to_le_bytes());
        };
        if minor >= 15 {
            bytes.push(1)
        } else {
            number(&mut bytes, 6)
        }
        for time in [1, 2, 3, 4, 5, 125, 0] {
            number(&mut bytes, time);
        }
        for text in ["db", from, by] {
            number(&mut bytes, u32::try_from(text.len()).expect("is short"));
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn the_newer_of_both_versions_counts_whatever_the_pieces() {
        let header = read_header(PLAIN.as_bytes());
        assert_eq!(header, Ok(Some(Header { format: DumpFormat::Plain, major: 16 })));
        let end = PLAIN.find("16.2\n").expect("is there") + 4;
        for length in 0..=end {
            assert_eq!(read_header(&PLAIN.as_bytes()[..length]), Ok(None), "{length}");
        }
        for (minor, from, by, major) in [(14, "15.4", "14.1", 15), (16, "16.1 (x)", "17beta1", 17)] {
            let whole = archive(minor, from, by);
            let expected = Header { format: DumpFormat::Custom, major };
            assert_eq!(read_header(&whole), Ok(Some(expected)));
            for length in 0..whole.len() {
                assert_eq!(read_header(&whole[..length]), Ok(None), "{length}");
            }
        }
    }

    #[test]
    fn what_is_none_is_told_apart() {
        let mut tar = archive(14, "15", "15");
        tar[10] = 3;
        for (bytes, expected) in [
            (b"\x1f\x8b\x08\x00\x00\x00".to_vec(), HeaderError::Packed),
            (b"DROP TABLE users;\n".to_vec(), HeaderError::Unknown),
            (b"--\n-- PostgreSQL database cluster dump\n--\n".to_vec(), HeaderError::Cluster),
            (format!("--\n{}", " ".repeat(HEADER_MAX)).into_bytes(), HeaderError::Unknown),
            (tar, HeaderError::OtherArchive),
        ] {
            assert_eq!(read_header(&bytes), Err(expected));
        }
    }
}
