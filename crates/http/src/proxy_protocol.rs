//! The PROXY protocol, versions 1 and 2: what a trusted load balancer says of its client before the client's first
//! byte. Pure parser; strict, because whoever is believed here names the address that limits and applications see.
//! Who is believed is configuration. Tests at the end of the file and in `tests/it/proxy_protocol.rs` of the edge.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// First bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// Most bytes behind the fixed part of version 2: addresses, and extensions that are skipped.
const MOST_EXTENSIONS: usize = 2048;
/// Longest header of either version.
pub const LONGEST: usize = 16 + MOST_EXTENSIONS;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The connection is the client's.
    Client(SocketAddr),
    /// The sender speaks for itself, such as in a health check.
    Itself,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// Not a whole header yet; this many more bytes belong to it for certain.
    More(usize),
    /// A header of this many bytes.
    Header(usize, Said),
}

/// Not a header of the PROXY protocol, or one that leaves its meaning open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a header of the PROXY protocol")]
pub struct NoHeader;

/// Judges the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Result<Parsed, NoHeader> {
    let start = bytes.len().min(SIGNATURE.len());
    if bytes[..start] == SIGNATURE[..start] && !bytes.is_empty() {
        return if start < SIGNATURE.len() { Ok(Parsed::More(16 - start)) } else { parse_2(bytes) };
    }
    parse_1(bytes)
}

fn parse_1(bytes: &[u8]) -> Result<Parsed, NoHeader> {
    const START: &[u8] = b"PROXY ";
    // The shortest line there is.
    const SHORTEST: usize = b"PROXY UNKNOWN\r\n".len();
    let start = bytes.len().min(START.len());
    if bytes[..start] != START[..start] {
        return Err(NoHeader);
    }
    let Some(end) = bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') else {
        return match bytes.len() {
            LONGEST_LINE.. => Err(NoHeader),
            length => Ok(Parsed::More(SHORTEST.saturating_sub(length).max(1))),
        };
    };
    let line = bytes[START.len()..end].strip_suffix(b"\r").ok_or(NoHeader)?;
    let line = std::str::from_utf8(line).map_err(|_| NoHeader)?;
    let said = match line.split_once(' ').unwrap_or((line, "")) {
        // What follows is to be ignored, says the specification.
        ("UNKNOWN", _) => Said::Itself,
        ("TCP4", rest) => Said::Client(addresses::<Ipv4Addr>(rest)?),
        ("TCP6", rest) => Said::Client(addresses::<Ipv6Addr>(rest)?),
        _ => return Err(NoHeader),
    };
    Ok(Parsed::Header(end + 1, said))
}

/// `source destination source-port destination-port`, one space between each.
fn addresses<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<SocketAddr, NoHeader> {
    let mut parts = text.split(' ');
    let mut next = || parts.next().ok_or(NoHeader);
    let (source, destination) = (next()?, next()?);
    let (source_port, destination_port) = (next()?, next()?);
    let address = |text: &str| text.parse::<A>().map_err(|_| NoHeader);
    let port = |text: &str| {
        let is_number = text == "0" || (text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0'));
        if is_number { text.parse::<u16>().map_err(|_| NoHeader) } else { Err(NoHeader) }
    };
    let client = SocketAddr::new(address(source)?.into(), port(source_port)?);
    address(destination)?;
    port(destination_port)?;
    if parts.next().is_some() { Err(NoHeader) } else { Ok(client) }
}

fn parse_2(bytes: &[u8]) -> Result<Parsed, NoHeader> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<16>() else {
        return Ok(Parsed::More(16 - bytes.len()));
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MOST_EXTENSIONS {
        return Err(NoHeader);
    }
    let is_local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(NoHeader),
    };
    if rest.len() < length {
        return Ok(Parsed::More(length - rest.len()));
    }
    let rest = &rest[..length];
    let said = match fixed[13] {
        _ if is_local => Said::Itself,
        0x11 => {
            let (source, rest) = rest.split_first_chunk::<4>().ok_or(NoHeader)?;
            Said::Client(SocketAddr::new(Ipv4Addr::from(*source).into(), source_port(rest, 4)?))
        }
        0x21 => {
            let (source, rest) = rest.split_first_chunk::<16>().ok_or(NoHeader)?;
            Said::Client(SocketAddr::new(Ipv6Addr::from(*source).into(), source_port(rest, 16)?))
        }
        0x00 => Said::Itself,
        // Datagrams and local sockets do not come here.
        _ => return Err(NoHeader),
    };
    Ok(Parsed::Header(16 + length, said))
}

/// The port behind a destination address of `length` bytes; the destination's own must be there too.
fn source_port(rest: &[u8], length: usize) -> Result<u16, NoHeader> {
    match rest.get(length..length + 4) {
        Some(&[high, low, _, _]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(NoHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    #[test]
    fn headers_of_both_versions() {
        let client = |text: &str| Ok(Said::Client(text.parse().unwrap()));
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x1f, 0x90, 0, 80];
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 7, 80);
        let with_extensions = [&v4[..], &[3, 0, 1, 9]].concat();
        let rows: Vec<(Vec<u8>, Result<Said, NoHeader>)> = vec![
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\r\n".to_vec(), client("192.0.2.1:8080")),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n".to_vec(), client("[2001:db8::1]:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Ok(Said::Itself)),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Ok(Said::Itself)),
            (version_2(0x21, 0x11, &v4), client("192.0.2.1:8080")),
            (version_2(0x21, 0x11, &with_extensions), client("192.0.2.1:8080")),
            (version_2(0x21, 0x21, &v6), client("[::1]:7")),
            (version_2(0x20, 0x00, b""), Ok(Said::Itself)),
            (version_2(0x20, 0x11, &v4), Ok(Said::Itself)),
            (version_2(0x21, 0x00, b"anything"), Ok(Said::Itself)),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 8080 80\n".to_vec(), Err(NoHeader)),
            (b"PROXY TCP4  192.0.2.1 192.0.2.2 8080 80\r\n".to_vec(), Err(NoHeader)),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 8080 80 \r\n".to_vec(), Err(NoHeader)),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 08080 80\r\n".to_vec(), Err(NoHeader)),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 +80 80\r\n".to_vec(), Err(NoHeader)),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n".to_vec(), Err(NoHeader)),
            (b"PROXY TCP4 192.0.2.01 192.0.2.2 1 80\r\n".to_vec(), Err(NoHeader)),
            (b"PROXY TCP4 ::1 ::2 1 80\r\n".to_vec(), Err(NoHeader)),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n".to_vec(), Err(NoHeader)),
            (b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(), Err(NoHeader)),
            (b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(), Err(NoHeader)),
            (b"GET / HTTP/1.1\r\n".to_vec(), Err(NoHeader)),
            (format!("PROXY UNKNOWN {}\r\n", "x".repeat(100)).into_bytes(), Err(NoHeader)),
            (version_2(0x21, 0x11, &v4[..11]), Err(NoHeader)),
            (version_2(0x21, 0x12, &v4), Err(NoHeader)),
            (version_2(0x22, 0x11, &v4), Err(NoHeader)),
            (version_2(0x11, 0x11, &v4), Err(NoHeader)),
            (version_2(0x21, 0x11, &[0; 2049]), Err(NoHeader)),
        ];
        for (bytes, expected) in rows {
            let length = bytes.len();
            let followed = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            let expected = expected.map(|said| Parsed::Header(length, said));
            assert_eq!(parse(&followed), expected, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    proptest! {
        /// Whoever reads what is asked for ends with the header and never takes a byte of what follows it.
        #[test]
        fn reading_what_is_asked_for_ends_exactly_at_the_end(
            source: SocketAddr, is_new: bool, extensions in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let bytes = match (is_new, source) {
                (false, SocketAddr::V4(v4)) => format!("PROXY TCP4 {} 0.0.0.0 {} 80\r\n", v4.ip(), v4.port()).into_bytes(),
                (false, SocketAddr::V6(v6)) => format!("PROXY TCP6 {} :: {} 80\r\n", v6.ip(), v6.port()).into_bytes(),
                (true, source) => {
                    let (family, address) = match source.ip() {
                        IpAddr::V4(ip) => (0x11, ip.octets().to_vec()),
                        IpAddr::V6(ip) => (0x21, ip.octets().to_vec()),
                    };
                    let zero = vec![0; address.len()];
                    let ports = [source.port().to_be_bytes(), [0, 80]].concat();
                    version_2(0x21, family, &[address, zero, ports, extensions].concat())
                }
            };
            let mut read = 0;
            let parsed = loop {
                match parse(&bytes[..read]) {
                    Ok(Parsed::More(more)) => read += more,
                    parsed => break parsed,
                }
                prop_assert!(read <= bytes.len());
            };
            let source = match source {
                SocketAddr::V6(v6) => SocketAddr::new((*v6.ip()).into(), v6.port()),
                v4 => v4,
            };
            prop_assert_eq!(parsed, Ok(Parsed::Header(bytes.len(), Said::Client(source))));
            prop_assert_eq!(read, bytes.len());
        }

        #[test]
        fn any_bytes_are_judged_without_end_or_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            if let Ok(Parsed::More(more)) = parse(&bytes) {
                prop_assert!(more > 0 && bytes.len() + more <= LONGEST);
            }
        }
    }
}
