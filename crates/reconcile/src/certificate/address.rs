//! Public addresses of this machine: those it was told, else those its default routes begin from. Tests at the end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The addresses names should point to.
pub fn public_addresses(configured: &[IpAddr]) -> Vec<IpAddr> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    // Addresses of documentation (RFC 5737, RFC 3849): connecting a UDP socket sends nothing, it only asks for the route.
    let v4 = source(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)), Ipv4Addr::UNSPECIFIED.into());
    let v6 = source(
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9)),
        Ipv6Addr::UNSPECIFIED.into(),
    );
    v4.into_iter().chain(v6).filter(|address| is_public(*address)).collect()
}

fn source(to: SocketAddr, any: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether the internet may know this address. Behind an address translator it does not, and must be told.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || is_shared)
        }
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_wins_and_private_ones_do_not_count() {
        let told: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap()];
        assert_eq!(public_addresses(&told), told);
        for private in ["10.1.2.3", "192.168.1.1", "100.64.0.1", "127.0.0.1", "fe80::1", "fd00::1", "::1"] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        assert!(is_public("203.0.113.7".parse().unwrap()) && is_public("2a01:4f8::1".parse().unwrap()));
    }
}
