//! Servers of names that fail or lie: each failure keeps its own word, and ends in time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use havre_acme::dns::{Dns, DnsClient, DnsSettings};
use havre_core::dns::LookupFailure;
use havre_core::name::HostName;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::program::free_port;

/// What a server says to a question; `None`: nothing.
type Answer = fn(&Message) -> Option<Message>;

/// A server of names on one address, by datagram and by stream. By datagram at most 512 bytes, else it says "truncated".
async fn serve(address: SocketAddr, answer: Answer) {
    let socket = UdpSocket::bind(address).await.unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let Some(message) = answer(&question) else { continue };
            let bytes = message.to_vec().unwrap();
            let bytes = if bytes.len() > 512 { message.truncate().to_vec().unwrap() } else { bytes };
            let _ = socket.send_to(&bytes, from).await;
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Ok(length) = stream.read_u16().await else { continue };
            let mut buffer = vec![0; usize::from(length)];
            if stream.read_exact(&mut buffer).await.is_err() {
                continue;
            }
            let Some(message) = Message::from_vec(&buffer).ok().and_then(|question| answer(&question)) else {
                continue;
            };
            let bytes = message.to_vec().unwrap();
            let _ = stream
                .write_all(&[&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat())
                .await;
        }
    });
}

fn reply(question: &Message) -> Message {
    let mut reply = Message::response(question.metadata.id, OpCode::Query);
    reply.metadata.authoritative = true;
    reply.add_queries(question.queries.clone());
    reply
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// A resolver that knows one zone, `example.test`, whose server is at 127.0.0.2.
fn zone(question: &Message) -> Option<Message> {
    let mut reply = reply(question);
    let asked = question.queries[0].clone();
    let data = match (asked.name.to_ascii().as_str(), asked.query_type) {
        ("example.test.", RecordType::SOA) => {
            RData::SOA(SOA::new(name("ns.example.test."), name("ops.example.test."), 1, 1, 1, 1, 1))
        }
        ("example.test.", RecordType::NS) => RData::NS(NS(name("ns.example.test."))),
        ("ns.example.test.", RecordType::A) => RData::A(A(Ipv4Addr::new(127, 0, 0, 2))),
        ("www.example.test.", RecordType::A) => RData::A(A(Ipv4Addr::new(203, 0, 113, 7))),
        _ => return Some(reply),
    };
    reply.add_answer(Record::from_rdata(asked.name, 1, data));
    Some(reply)
}

/// What is seen of `www.example.test` when its zone's server answers like this: the server's view, then the resolver's.
async fn seen(answer: Answer) -> (Result<Vec<IpAddr>, LookupFailure>, Result<Vec<IpAddr>, LookupFailure>) {
    let resolver = SocketAddr::new([127, 0, 0, 1].into(), free_port([127, 0, 0, 1].into()));
    let own = SocketAddr::new([127, 0, 0, 2].into(), free_port([127, 0, 0, 2].into()));
    serve(resolver, zone).await;
    serve(own, answer).await;
    let dns = DnsClient::new(DnsSettings {
        patience: Duration::from_millis(300),
        allow_private: true,
        authoritative_port: own.port(),
        ..DnsSettings::new(vec![resolver])
    });
    let host: HostName = "www.example.test".parse().unwrap();
    let views = dns.addresses(&host).await;
    let find = |is_own: bool| {
        let view = views.iter().find(|view| view.server.is_authoritative() == is_own);
        view.unwrap_or_else(|| panic!("nobody was asked: {views:?}")).answer.clone()
    };
    (find(true), find(false))
}

fn address(question: &Message) -> Message {
    let mut reply = reply(question);
    let asked = question.queries[0].clone();
    if asked.query_type == RecordType::A {
        reply.add_answer(Record::from_rdata(asked.name, 1, RData::A(A(Ipv4Addr::new(203, 0, 113, 7)))));
    }
    reply
}

fn found() -> Result<Vec<IpAddr>, LookupFailure> {
    Ok(vec!["203.0.113.7".parse().unwrap()])
}

#[tokio::test]
async fn a_good_server_is_heard() {
    assert_eq!(seen(|question| Some(address(question))).await, (found(), found()));
}

#[tokio::test]
async fn each_failure_keeps_its_word_and_hides_no_other_answer() {
    let servfail = seen(|question| {
        let mut reply = reply(question);
        reply.metadata.response_code = ResponseCode::ServFail;
        Some(reply)
    })
    .await;
    assert_eq!(servfail, (Err(LookupFailure::Failed { code: "SERVFAIL".into() }), found()));
    assert_eq!(seen(|_| None).await, (Err(LookupFailure::Timeout), found()));
    let lame = seen(|question| {
        let mut reply = address(question);
        reply.metadata.authoritative = false;
        Some(reply)
    })
    .await;
    assert_eq!(lame, (Err(LookupFailure::Lame), found()));
    let refused = seen(|question| {
        let mut reply = reply(question);
        reply.metadata.response_code = ResponseCode::Refused;
        Some(reply)
    })
    .await;
    assert_eq!(refused, (Err(LookupFailure::Lame), found()));
    let gone = seen(|question| {
        let mut reply = reply(question);
        reply.metadata.response_code = ResponseCode::NXDomain;
        Some(reply)
    })
    .await;
    assert_eq!(gone, (Err(LookupFailure::NoSuchName), found()));
}

#[tokio::test]
async fn one_kind_that_fails_does_not_hide_the_other() {
    let half = seen(|question| {
        let mut reply = address(question);
        if question.queries[0].query_type == RecordType::AAAA {
            reply.metadata.response_code = ResponseCode::ServFail;
        }
        Some(reply)
    })
    .await;
    assert_eq!(half.0, found());
}

#[tokio::test]
async fn an_answer_to_another_question_is_not_believed() {
    let forged = seen(|question| {
        let mut reply = address(question);
        reply.metadata.id = question.metadata.id.wrapping_add(1);
        Some(reply)
    })
    .await;
    assert_eq!(forged.0, Err(LookupFailure::Timeout));
    let other = seen(|question| {
        let mut reply = address(question);
        reply.queries[0].name = name("other.example.test.");
        Some(reply)
    })
    .await;
    assert_eq!(other.0, Err(LookupFailure::Timeout));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_fetched_by_stream() {
    let long = seen(|question| {
        let mut reply = reply(question);
        let asked = question.queries[0].clone();
        if asked.query_type == RecordType::A {
            for last in 0..100 {
                let data = RData::A(A(Ipv4Addr::new(203, 0, 113, last)));
                reply.add_answer(Record::from_rdata(asked.name.clone(), 1, data));
            }
        }
        Some(reply)
    })
    .await;
    assert_eq!(long.0.map(|list| list.len()), Ok(100));
}

#[tokio::test]
async fn private_servers_are_asked_only_where_that_is_allowed() {
    let resolver = SocketAddr::new([127, 0, 0, 1].into(), free_port([127, 0, 0, 1].into()));
    serve(resolver, zone).await;
    let dns = DnsClient::new(DnsSettings {
        patience: Duration::from_millis(300),
        ..DnsSettings::new(vec![resolver])
    });
    let views = dns.addresses(&"www.example.test".parse().unwrap()).await;
    let own = views.iter().find(|view| view.server.is_authoritative()).expect("says why it could not ask");
    assert!(
        matches!(&own.answer, Err(LookupFailure::Unreachable { message }) if message.contains("may be asked")),
        "{own:?}"
    );
}
