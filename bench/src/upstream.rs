//! `havre-bench upstream`: an application that costs next to nothing. One thread, epoll, fixed bodies, connections kept.
//! It reads requests without a body only. Tests: the self-test.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use clap::Args;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Largest request head.
const MAX_HEAD: usize = 32 * 1024;
const LISTENER: u64 = u64::MAX;

/// Arguments of `havre-bench upstream`.
#[derive(Debug, Args)]
pub(crate) struct UpstreamArguments {
    /// Where to listen: `ip:port`; port 0 lets the kernel choose.
    #[arg(long)]
    listen: SocketAddr,
    /// Sizes of bodies in bytes; `/SIZE` answers that size, any other path the first.
    #[arg(long, value_delimiter = ',', default_values_t = [200, 10_240])]
    body: Vec<usize>,
}

/// Serves for ever; prints the address first.
pub(crate) fn run_command(arguments: &UpstreamArguments) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(arguments.listen).with_context(|| format!("listen on {}", arguments.listen))?;
    println!("{}", listener.local_addr()?);
    serve(&listener, &arguments.body)
}

/// One prepared answer.
struct Prepared {
    path: String,
    answer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    /// Start of a head that did not arrive in one piece.
    head: Vec<u8>,
    /// Rest of an answer that the client was too slow for.
    unsent: Vec<u8>,
    /// To be closed once everything is sent.
    closes: bool,
}

/// Answers every request on `listener`, for ever.
///
/// # Errors
/// The kernel refuses what every kernel grants.
pub(crate) fn serve(listener: &TcpListener, sizes: &[usize]) -> anyhow::Result<()> {
    let answers = prepare(sizes);
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut free = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(256);
    let mut scratch = vec![0; MAX_HEAD];
    loop {
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for events"),
        }
        let mut closed = Vec::new();
        for event in events.drain(..) {
            if event.data.u64() == LISTENER {
                accept(listener, &epoll, (&mut clients, &mut free));
                continue;
            }
            let index = event.data.u64() as usize;
            let is_open = clients[index].as_mut().is_some_and(|client| client.turn(&answers, &mut scratch));
            if !is_open {
                clients[index] = None;
                closed.push(index);
            }
        }
        // Not before the batch is done: it may still hold an event for one of them.
        free.extend(closed);
    }
}

fn prepare(sizes: &[usize]) -> Vec<Prepared> {
    let answer = |size: &usize| Prepared {
        path: format!("/{size}"),
        answer: {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n");
            let body = b"the quick brown fox jumps over it ".iter().cycle().take(*size).copied();
            head.into_bytes().into_iter().chain(body).collect()
        },
    };
    sizes.iter().map(answer).collect()
}

fn accept(
    listener: &TcpListener,
    epoll: &OwnedFd,
    (clients, free): (&mut Vec<Option<Client>>, &mut Vec<usize>),
) {
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
            continue;
        }
        let index = free.pop().unwrap_or(clients.len());
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if epoll::add(epoll, &stream, EventData::new_u64(index as u64), flags).is_err() {
            free.push(index);
            continue;
        }
        let client = Some(Client { stream, head: Vec::new(), unsent: Vec::new(), closes: false });
        match clients.get_mut(index) {
            Some(place) => *place = client,
            None => clients.push(client),
        }
    }
}

impl Client {
    /// Does what can be done now; `false` when the connection is over.
    fn turn(&mut self, answers: &[Prepared], scratch: &mut [u8]) -> bool {
        loop {
            if !self.unsent.is_empty() {
                let unsent = std::mem::take(&mut self.unsent);
                if !self.send(&unsent) {
                    return false;
                }
                if !self.unsent.is_empty() {
                    return true;
                }
            }
            if self.closes {
                return false;
            }
            let length = match self.stream.read(scratch) {
                Ok(0) => return false,
                Ok(length) => length,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            if self.head.is_empty() && scratch[..length].ends_with(b"\r\n\r\n") {
                if !self.answer_all(&scratch[..length], answers) {
                    return false;
                }
            } else {
                self.head.extend_from_slice(&scratch[..length]);
                let head = std::mem::take(&mut self.head);
                if head.len() > MAX_HEAD || !self.answer_all(&head, answers) {
                    return false;
                }
            }
        }
    }

    /// Answers each whole head in `bytes` and keeps the rest.
    fn answer_all(&mut self, mut bytes: &[u8], answers: &[Prepared]) -> bool {
        while !bytes.is_empty() {
            let mut lines = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut lines);
            let length = match request.parse(bytes) {
                Ok(httparse::Status::Complete(length)) => length,
                Ok(httparse::Status::Partial) => {
                    self.head = bytes.to_vec();
                    return true;
                }
                Err(_) => return false,
            };
            let path = request.path.unwrap_or_default();
            let Some(chosen) = answers.iter().find(|one| one.path == path).or(answers.first()) else {
                return false;
            };
            let is_last = request.headers.iter().any(|line| {
                line.name.eq_ignore_ascii_case("connection") && line.value.eq_ignore_ascii_case(b"close")
            });
            if !self.send(&chosen.answer) {
                return false;
            }
            if is_last {
                self.closes = true;
                return true;
            }
            bytes = &bytes[length..];
        }
        true
    }

    /// Writes what the kernel takes and keeps the rest; `false` when the connection is broken.
    fn send(&mut self, answer: &[u8]) -> bool {
        let mut rest = if self.unsent.is_empty() { answer } else { &[] };
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        if self.unsent.is_empty() {
            self.unsent.extend_from_slice(rest);
        } else {
            self.unsent.extend_from_slice(answer);
        }
        true
    }
}
