//! `havre-bench upstream`: an application that costs next to nothing. One thread, epoll, fixed bodies, connections kept.
//! Bodies of requests are read and forgotten; the answer begins when the whole request is there. Tests: the self-test.

use std::collections::VecDeque;
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
    /// What is left of the body of the request that is being read.
    body_left: u64,
    /// Its answer, until the body is there.
    waiting: Option<usize>,
    /// Answers by number, and how much of each is sent.
    unsent: VecDeque<(usize, usize)>,
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
        let client = Some(Client {
            stream,
            head: Vec::new(),
            body_left: 0,
            waiting: None,
            unsent: VecDeque::new(),
            closes: false,
        });
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
            if !self.send(answers) {
                return false;
            }
            if !self.unsent.is_empty() {
                return true;
            }
            if self.closes && self.waiting.is_none() {
                return false;
            }
            let length = match self.stream.read(scratch) {
                Ok(0) => return false,
                Ok(length) => length,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            if self.head.is_empty() {
                if !self.take(&scratch[..length], answers) {
                    return false;
                }
            } else {
                self.head.extend_from_slice(&scratch[..length]);
                let head = std::mem::take(&mut self.head);
                if head.len() > MAX_HEAD + scratch.len() || !self.take(&head, answers) {
                    return false;
                }
            }
        }
    }

    /// Notes an answer for each whole request in `bytes`, forgets bodies, and keeps the start of a further head.
    fn take(&mut self, mut bytes: &[u8], answers: &[Prepared]) -> bool {
        loop {
            let here = bytes.len().min(usize::try_from(self.body_left).unwrap_or(usize::MAX));
            bytes = &bytes[here..];
            self.body_left -= here as u64;
            if self.body_left == 0 {
                self.unsent.extend(self.waiting.take().map(|chosen| (chosen, 0)));
            }
            if bytes.is_empty() || self.closes {
                return true;
            }
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
            let chosen = answers.iter().position(|one| one.path == path).unwrap_or(0);
            for line in request.headers.iter() {
                if line.name.eq_ignore_ascii_case("connection") {
                    self.closes |= line.value.eq_ignore_ascii_case(b"close");
                } else if line.name.eq_ignore_ascii_case("content-length") {
                    let Some(length) =
                        std::str::from_utf8(line.value).ok().and_then(|text| text.parse().ok())
                    else {
                        return false;
                    };
                    self.body_left = length;
                }
            }
            self.waiting = Some(chosen);
            bytes = &bytes[length..];
        }
    }

    /// Writes what the kernel takes; `false` when the connection is broken.
    fn send(&mut self, answers: &[Prepared]) -> bool {
        while let Some((chosen, from)) = self.unsent.front_mut() {
            let rest = &answers[*chosen].answer[*from..];
            match self.stream.write(rest) {
                Ok(length) if length == rest.len() => drop(self.unsent.pop_front()),
                Ok(length) => *from += length,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }
}
