//! Whose word about others is believed: networks of load balancers and proxies in front of the edge. Nobody's by
//! default. Pure. Tests at the end of the file.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Networks in CIDR form; a plain address is a network of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<IpNet>);

/// Text that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address such as 192.0.2.1 nor a network such as 192.0.2.0/24")]
pub struct NoNetwork(String);

impl Networks {
    /// Whether `address` is in one of them. IPv4 in IPv6 form counts as IPv4.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Reads one network after another.
    ///
    /// # Errors
    /// The first text that is none.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, NoNetwork> {
        let one = |text: &str| {
            let address = IpAddr::from_str(text).map(IpNet::from);
            let network = address.or_else(|_| IpNet::from_str(text));
            network.map_err(|_| NoNetwork(text.chars().take(64).collect()))
        };
        texts.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }
}

/// What limits count a client by: IPv6 users have a whole /64 each.
pub fn client_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
    }
}

/// What a request says of who is behind a proxy: values of header lines, in order.
#[derive(Debug, Default)]
pub struct Forwarded<'h> {
    /// `X-Forwarded-For`.
    pub chain: Vec<&'h [u8]>,
    /// `X-Forwarded-Proto`.
    pub scheme: Vec<&'h [u8]>,
    /// `Forwarded` (RFC 7239), for those who do not say the others.
    pub standard: Vec<&'h [u8]>,
}

impl Forwarded<'_> {
    /// The client, as far as trusted proxies vouch for it: each address of the chain is the word of the one to its
    /// right, and the rightmost is the word of `peer`.
    pub fn client(&self, peer: IpAddr, trusted: &Networks) -> IpAddr {
        let told: Vec<Option<IpAddr>> = match self.chain.is_empty() {
            false => elements(&self.chain).map(address).collect(),
            true => elements(&self.standard).map(|element| address(parameter(element, "for")?)).collect(),
        };
        let mut client = peer;
        for told in told.into_iter().rev() {
            match told {
                Some(told) if trusted.has(client) => client = told,
                _ => break,
            }
        }
        client
    }

    /// Whether the client speaks HTTPS, if the nearest proxy says so.
    pub fn is_https(&self) -> Option<bool> {
        let said = match self.scheme.is_empty() {
            false => elements(&self.scheme).last()?,
            true => parameter(elements(&self.standard).last()?, "proto")?,
        };
        match said {
            said if said.eq_ignore_ascii_case("https") => Some(true),
            said if said.eq_ignore_ascii_case("http") => Some(false),
            _ => None,
        }
    }
}

/// Elements of a list that may stand in several lines. A line that is no text says nothing.
fn elements<'h>(lines: &'h [&'h [u8]]) -> impl Iterator<Item = &'h str> {
    lines.iter().flat_map(|line| std::str::from_utf8(line).unwrap_or("").split(',')).map(str::trim)
}

/// A parameter of an element of `Forwarded`.
fn parameter<'e>(element: &'e str, name: &str) -> Option<&'e str> {
    let value = element.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })?;
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// An address, with brackets and a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok();
    let address: IpAddr = plain.or_else(with_port).or_else(|| in_brackets().map(IpAddr::from))?;
    Some(address.to_canonical())
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(" "))
    }
}

impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Self::parse(texts.iter().map(String::as_str)).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_single_addresses() {
        let networks = Networks::parse(["192.0.2.1", "10.0.0.0/8", "2001:db8::/32"]).unwrap();
        for (address, expected) in [
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(networks.has(address.parse().unwrap()), expected, "{address}");
        }
        assert!(!Networks::default().has("127.0.0.1".parse().unwrap()));
        let error = serde_json::from_str::<Networks>("[\"10.0.0.0/33\"]").unwrap_err().to_string();
        assert!(error.starts_with("`10.0.0.0/33` is neither"), "{error}");
    }

    #[test]
    fn a_client_is_who_the_last_trusted_proxy_says() {
        let trusted = Networks::parse(["10.0.0.0/8", "fd00::/8"]).unwrap();
        let rows: [(&str, &[&str], &str); 11] = [
            ("10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            // What the client itself made up stands to the left of its own address.
            ("10.0.0.1", &["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.1", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("192.0.2.9", &["192.0.2.1"], "192.0.2.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1, , 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711, [fd00::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
        ];
        for (peer, chain, expected) in rows {
            let chain = chain.iter().map(|line| line.as_bytes()).collect();
            let forwarded = Forwarded { chain, ..Forwarded::default() };
            let client = forwarded.client(peer.parse().unwrap(), &trusted);
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{forwarded:?}");
        }
    }

    #[test]
    fn the_standard_header_is_read_where_the_usual_ones_are_missing() {
        let trusted = Networks::parse(["10.0.0.0/8"]).unwrap();
        let standard =
            vec![&b"for=198.51.100.1;proto=http, for=\"[2001:db8::1]:4711\"; Proto=https;by=_x"[..]];
        let forwarded = Forwarded { standard: standard.clone(), ..Forwarded::default() };
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(forwarded.client(peer, &trusted), "2001:db8::1".parse::<IpAddr>().unwrap());
        assert_eq!(forwarded.is_https(), Some(true));
        let usual = Forwarded { chain: vec![b"192.0.2.1"], scheme: vec![b"https, http"], standard };
        assert_eq!(usual.client(peer, &trusted), "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(usual.is_https(), Some(false));
        assert_eq!(Forwarded { scheme: vec![b"gopher"], ..Forwarded::default() }.is_https(), None);
    }
}
