//! Networks of client addresses, in CIDR form. Tests at the end of the file.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::text::text_json;

/// A network such as `10.0.0.0/8` or `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

/// Text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither address nor network.
    #[error(
        "`{0}` is no network: write an address, or one with its prefix such as 10.0.0.0/8 or 2001:db8::/32"
    )]
    Syntax(String),
    /// It names one address of the network it means.
    #[error("`{text}` has bits beyond its prefix; did you mean {meant}?")]
    HostBits {
        /// What was written.
        text: String,
        /// What is meant.
        meant: String,
    },
}

impl Network {
    /// Whether an address belongs to it. An IPv4 address inside IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let shown = || text.chars().take(64).flat_map(char::escape_default).collect::<String>();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address)));
        }
        let network: IpNet = text.parse().map_err(|_| NetworkError::Syntax(shown()))?;
        if network.trunc() != network {
            return Err(NetworkError::HostBits { text: shown(), meant: network.trunc().to_string() });
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

text_json! { Network }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_single_addresses_of_both_kinds() {
        let network: Network = "10.0.0.0/8".parse().unwrap();
        assert!(network.contains("10.9.9.9".parse().unwrap()));
        assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!network.contains("11.0.0.1".parse().unwrap()));
        let one: Network = "2001:db8::1".parse().unwrap();
        assert_eq!(one.to_string(), "2001:db8::1");
        assert!(!one.contains("2001:db8::2".parse().unwrap()));
        assert_eq!(
            "10.0.0.1/8".parse::<Network>().unwrap_err().to_string(),
            "`10.0.0.1/8` has bits beyond its prefix; did you mean 10.0.0.0/8?"
        );
        for text in ["", "10.0.0/8", "10.0.0.0/33", "localhost", "::/129"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
