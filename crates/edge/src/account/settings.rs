//! What the access log keeps: the `[edge.access_log]` section of the bootstrap file.
//! Tests at the end of the file and of `config`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use havre_core::quantity::ByteSize;
use serde::{Deserialize, Serialize};

/// Which requests get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// None.
    Off,
    /// Those that ended with 5xx or without an answer.
    Errors,
    /// Those, and every `one_in`th of the others.
    Sampled,
    /// All.
    Full,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object.
    Json,
    /// Words with spaces between them; `-` for what is not known.
    Text,
}

/// How much of a client's address is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAddress {
    /// The network only: /24 of IPv4, /48 of IPv6.
    Truncated,
    /// All of it: personal data in the sense of the GDPR.
    Full,
    /// Nothing.
    None,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogConfig {
    /// Which requests: `off`, `errors`, `sampled`, `full`. Default `full`.
    pub mode: Mode,
    /// With `sampled`: one in this many. Default 100.
    pub one_in: u32,
    /// `json` or `text`. Default `json`.
    pub format: Format,
    /// Folder of `access.log`. Default: `access-log` in the edge's state folder.
    pub folder: Option<PathBuf>,
    /// A file is put aside when it is this large. Default 32 MB.
    pub file_size: ByteSize,
    /// All files together; the oldest goes first. Default 256 MB.
    pub keep_size: ByteSize,
    /// `truncated`, `full` or `none`. Default `truncated`.
    pub client: ClientAddress,
    /// Keep query strings, which carry tokens and names more often than one thinks. Default false.
    pub query: bool,
}

impl Default for AccessLogConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Full,
            one_in: 100,
            format: Format::Json,
            folder: None,
            file_size: ByteSize::mebibytes(32),
            keep_size: ByteSize::mebibytes(256),
            client: ClientAddress::Truncated,
            query: false,
        }
    }
}

impl ClientAddress {
    /// What of `address` may be kept.
    pub fn keep(self, address: IpAddr) -> Option<IpAddr> {
        match (self, address) {
            (Self::None, _) => None,
            (Self::Full, address) => Some(address),
            (Self::Truncated, IpAddr::V4(address)) => {
                Some(IpAddr::V4(Ipv4Addr::from(u32::from(address) & (u32::MAX << 8))))
            }
            (Self::Truncated, IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => self.keep(IpAddr::V4(address)),
                None => Some(IpAddr::V6(Ipv6Addr::from(u128::from(address) & (u128::MAX << 80)))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_network_only() {
        for (address, kept) in [
            ("203.0.113.77", "203.0.113.0"),
            ("2001:db8:1234:5678::9", "2001:db8:1234::"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(ClientAddress::Truncated.keep(address), Some(kept.parse().unwrap()));
            assert_eq!(ClientAddress::Full.keep(address), Some(address));
            assert_eq!(ClientAddress::None.keep(address), None);
        }
    }
}
