//! The listening sockets of an edge: handed over by systemd, or bound by ourselves. They are opened once at the
//! start and stay open until the process ends, because closing one of several loses the connections in its
//! queue (measured, `edge.md` section 9). It accepts nothing. Tests at the end of the file.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tracing::warn;

use crate::syscall::{self, FIRST_HANDED};

/// Connections the kernel keeps for us while we are busy; it cuts the number to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// In place of `LISTEN_PID`: the process id of the `havred supervise` that started us.
pub const PARENT_VARIABLE: &str = "HAVRE_LISTEN_PARENT";
/// More than any unit has; a larger number in the environment is a mistake.
const MAX_HANDED: usize = 256;

/// Why there is nothing to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address of the configuration.
    #[error("listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A socket that systemd handed over.
    #[error("use socket {fd} handed over by the service manager")]
    Handed {
        /// Its number.
        fd: RawFd,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// Neither.
    #[error("no address to listen on")]
    None,
}

/// What clients speak on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP.
    Plain,
    /// HTTPS.
    Tls,
    /// HTTP/2 from the first byte, without TLS. For tests and profiling: no configuration opens such a door, because
    /// browsers do not speak it and other clients should not.
    PlainH2,
}

/// A listening socket of one worker.
#[derive(Debug)]
pub struct Door {
    /// Non-blocking.
    pub listener: TcpListener,
    /// What clients speak there.
    pub transport: Transport,
}

impl Door {
    /// The same socket once more.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { listener: self.listener.try_clone()?, transport: self.transport })
    }
}

/// The sockets, ready for the workers.
#[derive(Debug)]
pub struct Listeners {
    /// One list for each worker, each with one socket for each address.
    pub per_worker: Vec<Vec<Door>>,
    /// Addresses they listen on, and what for.
    pub addresses: Vec<(SocketAddr, Transport)>,
}

impl Listeners {
    /// Takes the sockets that systemd handed over, else binds `plain` and `tls`, for `workers` workers (at least 1).
    /// At most once in a process.
    ///
    /// # Errors
    /// An address is taken or not ours, or a handed-over socket is no listening TCP socket.
    pub fn open(plain: &[SocketAddr], tls: &[SocketAddr], workers: usize) -> Result<Self, ListenError> {
        let handed = public_ones(handed_to_us());
        if handed.is_empty() {
            let plain = plain.iter().map(|address| (*address, Transport::Plain));
            let wanted: Vec<_> = plain.chain(tls.iter().map(|address| (*address, Transport::Tls))).collect();
            return Self::bind(&wanted, workers);
        }
        let mut doors = Vec::with_capacity(handed.len());
        for (fd, transport) in handed {
            let listener = adopt(fd).map_err(|source| ListenError::Handed { fd, source })?;
            doors.push(Door { listener, transport });
        }
        Self::share(&doors, workers).map_err(|source| ListenError::Handed { fd: FIRST_HANDED, source })
    }

    /// The addresses for one kind of clients.
    pub fn addresses_of(&self, transport: Transport) -> Vec<SocketAddr> {
        self.addresses.iter().filter(|(_, found)| *found == transport).map(|(address, _)| *address).collect()
    }

    /// One socket for each worker and address, so that the kernel spreads connections without a lock. Port 0 is
    /// chosen once for all workers.
    fn bind(wanted: &[(SocketAddr, Transport)], workers: usize) -> Result<Self, ListenError> {
        let mut per_worker: Vec<Vec<Door>> = (0..workers).map(|_| Vec::new()).collect();
        let mut bound = Vec::new();
        for &(address, transport) in wanted {
            let failed = |source: io::Error| ListenError::Bind { address, source };
            let mut exact = address;
            for worker in &mut per_worker {
                match bind_one(exact) {
                    Ok(listener) => {
                        exact = listener.local_addr().map_err(failed)?;
                        worker.push(Door { listener, transport });
                    }
                    Err(Errno::AFNOSUPPORT) if address.is_ipv6() && wanted.len() > 1 => {
                        warn!(%address, "this machine has no IPv6; not listening there");
                        break;
                    }
                    Err(error) => return Err(failed(error.into())),
                }
            }
            if per_worker.iter().all(|worker| worker.len() > bound.len()) {
                bound.push((exact, transport));
            }
        }
        if bound.is_empty() {
            return Err(ListenError::None);
        }
        Ok(Self { per_worker, addresses: bound })
    }

    /// A copy of each socket, with the name under which a successor gets it. Workers that share a socket count once:
    /// otherwise each successor would hand over more than it got.
    pub(crate) fn copies(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let mut seen = BTreeSet::new();
        let mut copies = Vec::new();
        for door in self.per_worker.iter().flatten() {
            let name = match door.transport {
                Transport::Plain => PLAIN_NAME,
                Transport::Tls => TLS_NAME,
                Transport::PlainH2 => continue,
            };
            if seen.insert(rustix::fs::fstat(&door.listener)?.st_ino) {
                copies.push((name.to_owned(), door.listener.try_clone()?.into()));
            }
        }
        Ok(copies)
    }

    /// The same sockets for every worker: each has its own descriptor of one queue.
    fn share(doors: &[Door], workers: usize) -> io::Result<Self> {
        let mut per_worker = Vec::with_capacity(workers);
        for _ in 0..workers {
            per_worker.push(doors.iter().map(Door::try_clone).collect::<io::Result<Vec<_>>>()?);
        }
        let address = |door: &Door| Ok((door.listener.local_addr()?, door.transport));
        Ok(Self { per_worker, addresses: doors.iter().map(address).collect::<io::Result<Vec<_>>>()? })
    }
}

fn bind_one(address: SocketAddr) -> rustix::io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    if address.is_ipv6() {
        // `0.0.0.0` and `[::]` stand beside each other in the configuration.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Process ids a hand-over may name.
#[derive(Debug, Clone, Copy)]
struct Process {
    own: u32,
    parent: u32,
}

/// A listening socket that others will use: what `havred supervise` holds for the edges it starts.
///
/// # Errors
/// The address is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    Ok(bind_one(address)?)
}

/// Name of sockets for HTTP in a hand-over.
pub const PLAIN_NAME: &str = "edge";
/// Name of sockets for HTTPS in a hand-over; others whose name starts with `edge` are for HTTP.
pub const TLS_NAME: &str = "edge-tls";

/// Descriptors that the service manager, `havred supervise` or a predecessor handed to this process
/// (`sd_listen_fds(3)`), with their names.
fn handed_fds(variable: impl Fn(&str) -> Option<String>, process: Process) -> Vec<(RawFd, String)> {
    let names_us = |name: &str, id: u32| variable(name).and_then(|text| text.parse().ok()) == Some(id);
    // systemd knows our process id before it starts us; `havred supervise` knows only its own.
    let is_for_us = names_us("LISTEN_PID", process.own) || names_us(PARENT_VARIABLE, process.parent);
    let count = variable("LISTEN_FDS").and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    if !is_for_us || count > MAX_HANDED {
        return Vec::new();
    }
    (FIRST_HANDED..).zip(names.split(':').map(str::to_owned)).take(count).collect()
}

/// Those for users are named `edge…`.
fn public_ones(handed: Vec<(RawFd, String)>) -> Vec<(RawFd, Transport)> {
    let transport = |name: &str| if name.starts_with(TLS_NAME) { Transport::Tls } else { Transport::Plain };
    let public = handed.into_iter().filter(|(_, name)| name.starts_with(PLAIN_NAME));
    public.map(|(fd, name)| (fd, transport(&name))).collect()
}

fn handed_to_us() -> Vec<(RawFd, String)> {
    let process = Process { own: std::process::id(), parent: std::os::unix::process::parent_id() };
    handed_fds(|name| std::env::var(name).ok(), process)
}

/// The descriptor of exactly this name that was handed to this process; at most once for each name.
pub(crate) fn take_handed(name: &str) -> Option<OwnedFd> {
    let (number, _) = handed_to_us().into_iter().find(|(_, handed)| handed == name)?;
    let descriptor = syscall::take_descriptor(number);
    // What is not open says so here, and not where it is used.
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC).ok().map(|()| descriptor)
}

fn adopt(fd: RawFd) -> io::Result<TcpListener> {
    let socket = syscall::take_descriptor(fd);
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    if sockopt::socket_type(&socket)? != SocketType::STREAM || !sockopt::socket_acceptconn(&socket)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening stream socket"));
    }
    let listener = TcpListener::from(socket);
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    use Transport::{Plain, Tls};

    fn handed(pid: &str, count: &str, names: Option<&str>) -> Vec<(RawFd, Transport)> {
        let variable = |name: &str| match name {
            "LISTEN_PID" => Some(pid.to_owned()),
            "LISTEN_FDS" => Some(count.to_owned()),
            "LISTEN_FDNAMES" => names.map(str::to_owned),
            _ => None,
        };
        public_ones(handed_fds(variable, Process { own: 77, parent: 70 }))
    }

    #[test]
    fn only_named_sockets_of_this_process_are_taken() {
        assert_eq!(handed("77", "3", Some("edge:control:edge-tls")), [(3, Plain), (5, Tls)]);
        assert_eq!(handed("77", "1", Some("edge-http:edge-tls")), [(3, Plain)]);
        assert_eq!(handed("77", "2", Some("edge-tls-4:edge-tls-6")), [(3, Tls), (4, Tls)]);
        for (pid, count, names) in [
            ("78", "1", Some("edge")),
            ("77", "1", None),
            ("77", "100000", Some("edge")),
            ("", "x", Some("edge")),
        ] {
            assert!(handed(pid, count, names).is_empty(), "{pid} {count} {names:?}");
        }
    }

    #[test]
    fn a_supervisor_names_itself() {
        let variable = |parent: &'static str| {
            move |name: &str| match name {
                PARENT_VARIABLE => Some(parent.to_owned()),
                "LISTEN_FDS" => Some("1".to_owned()),
                "LISTEN_FDNAMES" => Some("edge".to_owned()),
                _ => None,
            }
        };
        let process = Process { own: 77, parent: 70 };
        assert_eq!(public_ones(handed_fds(variable("70"), process)), [(3, Plain)]);
        assert!(public_ones(handed_fds(variable("1"), process)).is_empty());
    }

    #[test]
    fn each_worker_gets_its_own_socket_of_one_port() {
        let addresses = [Plain, Tls].map(|transport| ("127.0.0.1:0".parse().unwrap(), transport));
        let listeners = Listeners::bind(&addresses, 3).unwrap();
        assert_eq!(listeners.per_worker.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
        for worker in &listeners.per_worker {
            let found: Vec<_> =
                worker.iter().map(|door| (door.listener.local_addr().unwrap(), door.transport)).collect();
            assert_eq!(found, listeners.addresses);
        }
        for (address, _) in &listeners.addresses {
            TcpStream::connect(address).unwrap();
        }
        assert_eq!(listeners.addresses_of(Tls), [listeners.addresses[1].0]);
    }

    #[test]
    fn shared_sockets_reach_every_worker() {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = one.local_addr().unwrap();
        let listeners = Listeners::share(&[Door { listener: one, transport: Tls }], 2).unwrap();
        assert_eq!(listeners.addresses, [(address, Tls)]);
        let names: Vec<String> = listeners.copies().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [TLS_NAME]);
        for worker in &listeners.per_worker {
            let client = TcpStream::connect(address).unwrap();
            let (_, peer) = worker[0].listener.accept().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }
    }

    #[test]
    fn a_taken_address_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let holder = TcpListener::bind(taken).unwrap();
        let error = Listeners::bind(&[(taken, Plain)], 1).unwrap_err();
        assert_eq!(error.to_string(), format!("listen on {taken}"));
        drop(holder);
        assert!(matches!(Listeners::bind(&[], 1), Err(ListenError::None)));
    }
}
