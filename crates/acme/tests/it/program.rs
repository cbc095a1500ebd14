//! Starts the servers tests talk to, and ends them with the test. Decides nothing about what they serve.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program that ends when the test does.
#[derive(Debug)]
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| {
            panic!("could not start {shown}: {error}; run script/test once, which puts it on this machine")
        });
        Self(child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where `script/lib/servers.sh` unpacks what is not installed.
pub(crate) fn unpacked(path: &str) -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || from("XDG_CACHE_HOME").unwrap_or_else(|| from("HOME").unwrap_or_default().join(".cache"));
    let folder = from("HAVRE_SERVERS_DIR").unwrap_or_else(|| cache().join("havre/servers"));
    folder.join(path)
}

/// A port of `ip` that nobody has, for TCP and UDP.
pub(crate) fn free_port(ip: IpAddr) -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind((ip, 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind((ip, port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {ip} is free for both TCP and UDP");
}

/// Waits until something listens.
pub(crate) async fn listens(address: SocketAddr) {
    for _ in 0..1200 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing listens on {address} after a minute");
}
