//! A TCP connection to an address that was checked. The name is looked up once, so that it cannot mean another address between the check
//! and the connection. Which addresses may be reached is the caller's. Tests at the end of the file.

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;

/// Addresses of one name that are tried before giving up.
const ADDRESSES_MAX: usize = 3;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// The name means addresses where nothing may be asked.
    Barred(String),
    /// Nobody answers there, or the name means nothing. Later it may.
    Broken(String),
}

/// Connects to the host, which stands without brackets, at the first of its addresses that may be reached and answers. How long it may
/// take is for the caller to say.
pub(crate) async fn dial(
    host: &str,
    port: u16,
    may_reach: impl Fn(IpAddr) -> bool,
) -> Result<TcpStream, NoWay> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| NoWay::Broken(format!("its name could not be looked up: {error}")))?;
    let found: Vec<SocketAddr> = found.collect();
    let is_allowed = |address: &&SocketAddr| may_reach(address.ip());
    let allowed: Vec<SocketAddr> = found.iter().filter(is_allowed).take(ADDRESSES_MAX).copied().collect();
    if let (true, Some(other)) = (allowed.is_empty(), found.first()) {
        return Err(NoWay::Barred(format!("it is at {}, where nothing may be asked", other.ip())));
    }
    let mut last = "its name has no address".to_owned();
    for address in allowed {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A request is written in few parts; waiting to join them costs more than it saves.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = format!("{}: {error}", address.ip()),
        }
    }
    Err(NoWay::Broken(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_asked_only_where_it_may_be() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("has a port");
        let port = listener.local_addr().expect("has an address").port();
        assert!(dial("127.0.0.1", port, |_| true).await.is_ok());
        let barred = dial("127.0.0.1", port, |address| !address.is_loopback()).await;
        let reason = "it is at 127.0.0.1, where nothing may be asked".to_owned();
        assert_eq!(barred.err(), Some(NoWay::Barred(reason)));
        drop(listener);
        assert!(matches!(dial("127.0.0.1", port, |_| true).await, Err(NoWay::Broken(_))));
    }
}
