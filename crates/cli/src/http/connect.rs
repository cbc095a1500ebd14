//! Where a server is, and a connection to it. Tests at the end of the file.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::Body;
use crate::exit::{CliError, Exit};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Its local socket: whoever may open it may do everything.
    Socket(PathBuf),
    /// Its TCP address.
    Tcp {
        /// Name or address, an IPv6 address without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

impl Endpoint {
    /// Reads `http://host[:port]`.
    pub(crate) fn parse(url: &str) -> Result<Self, CliError> {
        let shown: String = url.chars().take(120).flat_map(char::escape_debug).collect();
        let wrong = |why: &str| {
            CliError::usage(format!("`{shown}` is not the address of a server: {why}"))
                .hint("write it as http://127.0.0.1:7080")
        };
        if url.starts_with("https://") {
            return Err(CliError::usage(format!(
                "cannot connect to {shown}: this version speaks no https yet"
            ))
            .hint("forward the server's socket over SSH and use HAVRE_SOCKET, see docs/cli.md"));
        }
        let rest = url.strip_prefix("http://").ok_or_else(|| wrong("it does not begin with http://"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong("only host and port may follow http://"));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').ok_or_else(|| wrong("a bracket is open"))?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong("not an IPv6 address"))?;
                (host, port.strip_prefix(':'))
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let is_host = host.parse::<IpAddr>().is_ok()
            || (!host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)));
        if !is_host {
            return Err(wrong("it names no host"));
        }
        let port = port.map_or(Ok(80), str::parse).map_err(|_| wrong("the port is not one"))?;
        Ok(Self::Tcp { host: host.to_owned(), port })
    }

    /// What is said to it never leaves this machine.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// Value of the `Host` header.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Socket(_) => "localhost".to_owned(),
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp { .. } => write!(f, "http://{}", self.host()),
        }
    }
}

/// A byte stream to a server.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Connects.
pub(super) async fn dial(endpoint: &Endpoint) -> Result<Box<dyn Wire>, CliError> {
    let connect = async {
        Ok::<Box<dyn Wire>, std::io::Error>(match endpoint {
            Endpoint::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Endpoint::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    };
    match tokio::time::timeout(CONNECT, connect).await {
        Ok(Ok(wire)) => Ok(wire),
        Ok(Err(error)) => Err(unreachable(endpoint, &error)),
        Err(_) => {
            let seconds = CONNECT.as_secs();
            Err(CliError::new(Exit::Unreachable, format!("no connection to {endpoint} within {seconds} s")))
        }
    }
}

fn unreachable(endpoint: &Endpoint, error: &std::io::Error) -> CliError {
    let hint = match (endpoint, error.kind()) {
        (Endpoint::Socket(_), std::io::ErrorKind::PermissionDenied) => {
            "your user may not use this socket: use sudo, or join the group that owns it"
        }
        (Endpoint::Socket(_), std::io::ErrorKind::NotFound) => {
            "is `havred control` running on this machine? For another one use `havre context add`, HAVRE_URL or \
             HAVRE_SOCKET"
        }
        (Endpoint::Socket(_), _) => "is `havred control` running on this machine?",
        (Endpoint::Tcp { .. }, _) => "is the address right, and does `havred control` listen there?",
    };
    CliError::new(Exit::Unreachable, format!("cannot reach {endpoint}: {error}")).hint(hint)
}

/// Connects and gets ready for one request.
pub(super) async fn open(endpoint: &Endpoint) -> Result<SendRequest<Body>, CliError> {
    let wire = dial(endpoint).await?;
    let (sender, connection) = handshake(TokioIo::new(wire)).await.map_err(|error| {
        CliError::new(Exit::Unreachable, format!("could not begin to talk to {endpoint}: {error}"))
    })?;
    // Its errors come out of the request as well.
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let shown = |url: &str| Endpoint::parse(url).map(|endpoint| endpoint.to_string());
        assert_eq!(shown("http://127.0.0.1:7080/").expect("is one"), "http://127.0.0.1:7080");
        assert_eq!(shown("http://node.example").expect("is one"), "http://node.example:80");
        assert_eq!(shown("http://[::1]:7080").expect("is one"), "http://[::1]:7080");
        for wrong in [
            "",
            "node",
            "https://node",
            "http://",
            "http://a/b",
            "http://a:x",
            "http://u@a",
            "http://[x]:1",
            "http://a b",
        ] {
            assert_eq!(shown(wrong).expect_err("is none").exit, Exit::Usage, "{wrong:?}");
        }
    }

    #[test]
    fn only_this_machine_is_local() {
        let is_local = |url: &str| Endpoint::parse(url).expect("is an address").is_local();
        for near in ["http://localhost:1", "http://127.9.9.9", "http://[::1]:1"] {
            assert!(is_local(near), "{near}");
        }
        for far in
            ["http://localhost.example", "http://10.0.0.1", "http://127.0.0.1.example", "http://0.0.0.0"]
        {
            assert!(!is_local(far), "{far}");
        }
    }
}
