//! One question to one server of names, and its answer as it is: no cache, no other server, no second guess. A datagram, tried
//! twice; TCP when the answer does not fit. Tests: `tests/it/dns.rs`, `tests/it/abuse.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use havre_core::dns::LookupFailure;
use havre_core::name::DnsName;
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Datagrams that pass everywhere without being cut in pieces (the value of DNS Flag Day 2020).
const DATAGRAM_MAX: u16 = 1232;
/// Times a datagram is sent.
const TRIES: usize = 2;

/// Asks `server` for the records of `kind` at `name`. A resolver is asked to go and find out, a server of the zone is not.
///
/// `NXDOMAIN` is a failure here, an empty answer is not. Each try may take `patience`.
pub(super) async fn ask(
    server: SocketAddr,
    name: &DnsName,
    kind: RecordType,
    recurse: bool,
    patience: Duration,
) -> Result<Message, LookupFailure> {
    let question = Question::new(name, kind, recurse)?;
    let mut answer = Err(LookupFailure::Timeout);
    for _ in 0..TRIES {
        answer = timeout(patience, question.by_datagram(server)).await.unwrap_or(Err(LookupFailure::Timeout));
        if !matches!(answer, Err(LookupFailure::Timeout)) {
            break;
        }
    }
    if answer.as_ref().is_ok_and(|message| message.metadata.truncation) {
        answer = timeout(patience, question.by_stream(server)).await.unwrap_or(Err(LookupFailure::Timeout));
    }
    let answer = answer?;
    match answer.metadata.response_code {
        ResponseCode::NoError => Ok(answer),
        ResponseCode::NXDomain => Err(LookupFailure::NoSuchName),
        other => Err(LookupFailure::Failed { code: code(other) }),
    }
}

/// The word operators know, rather than a sentence.
fn code(code: ResponseCode) -> String {
    match code {
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::NotAuth => "NOTAUTH".to_owned(),
        other => other.to_string(),
    }
}

struct Question {
    id: u16,
    query: Query,
    bytes: Vec<u8>,
}

impl Question {
    fn new(name: &DnsName, kind: RecordType, recurse: bool) -> Result<Self, LookupFailure> {
        let mut owner = Name::from_ascii(name.as_str()).map_err(unreadable)?;
        owner.set_fqdn(true);
        let query = Query::query(owner, kind);
        let mut message = Message::query();
        message.metadata.recursion_desired = recurse;
        message.add_query(query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(DATAGRAM_MAX);
        message.set_edns(edns);
        let bytes = message.to_vec().map_err(unreadable)?;
        Ok(Self { id: message.metadata.id, query, bytes })
    }

    async fn by_datagram(&self, server: SocketAddr) -> Result<Message, LookupFailure> {
        let any: SocketAddr =
            if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await.map_err(unreachable)?;
        // Connected: the kernel drops what comes from anybody else, and reports a closed port.
        socket.connect(server).await.map_err(unreachable)?;
        socket.send(&self.bytes).await.map_err(unreachable)?;
        let mut buffer = vec![0; usize::from(DATAGRAM_MAX) + 1];
        loop {
            let length = socket.recv(&mut buffer).await.map_err(unreachable)?;
            // What is not the answer to this question may be an attack: wait on for the one that is.
            if let Some(answer) = self.read(&buffer[..length]) {
                return Ok(answer);
            }
        }
    }

    async fn by_stream(&self, server: SocketAddr) -> Result<Message, LookupFailure> {
        let mut stream = TcpStream::connect(server).await.map_err(unreachable)?;
        let length = u16::try_from(self.bytes.len()).map_err(unreadable)?;
        let framed = [&length.to_be_bytes()[..], &self.bytes].concat();
        stream.write_all(&framed).await.map_err(unreachable)?;
        let length = stream.read_u16().await.map_err(unreachable)?;
        let mut buffer = vec![0; usize::from(length)];
        stream.read_exact(&mut buffer).await.map_err(unreachable)?;
        self.read(&buffer).ok_or_else(|| unreadable("the answer is to another question"))
    }

    fn read(&self, bytes: &[u8]) -> Option<Message> {
        let message = Message::from_vec(bytes).ok()?;
        let head = &message.metadata;
        let is_ours = head.id == self.id && head.message_type == MessageType::Response;
        // Some servers answer an error without repeating the question.
        let is_same = match message.queries.first() {
            Some(query) => query.name == self.query.name && query.query_type == self.query.query_type,
            None => head.response_code != ResponseCode::NoError,
        };
        (is_ours && is_same).then_some(message)
    }
}

fn unreachable(error: std::io::Error) -> LookupFailure {
    LookupFailure::Unreachable { message: format!("it cannot be asked: {error}") }
}

fn unreadable(error: impl std::fmt::Display) -> LookupFailure {
    LookupFailure::Unreachable { message: format!("it cannot be understood: {error}") }
}
