//! What comes before the first request of a connection that is more than plain HTTP: the word of a trusted load
//! balancer, then a TLS handshake. It serves nothing. Tests: `tests/it/proxy_protocol.rs`, `tests/it/tls.rs`.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use crate::h2;
use crate::listen::Transport;
use crate::proxy::{self, ClientName, Pace};
use crate::stream::Stream;
use crate::tls::handshake::{Deadline, shake_hands};
use crate::worker::{Seat, Worker};
use havre_http::proxy_protocol::{LONGEST, Parsed, Said, parse};

/// Serves a connection from its first byte. `address` is who connected.
pub(crate) async fn enter(
    worker: Rc<Worker>,
    mut socket: TcpStream,
    mut address: IpAddr,
    transport: Transport,
    mut seat: Seat,
) {
    if worker.shared.proxies.proxy_protocol.has(address) {
        match Box::pin(introduce(&worker, &mut socket)).await {
            Ok(Said::Client(client)) => address = client.ip().to_canonical(),
            Ok(Said::Itself) => {}
            Err(_) => return worker.shared.metrics.refused.up(),
        }
        if !seat.is_for(address) {
            return worker.shared.metrics.shed.up();
        }
    }
    let stream = match transport {
        Transport::Plain | Transport::PlainH2 => Stream::Plain(socket),
        Transport::Tls if !worker.may_shake_hands(address) => {
            return worker.shared.metrics.handshakes_shed.up();
        }
        // Boxed and gone before the first request, so that a resting connection is small.
        Transport::Tls => match Box::pin(shake_hands(&worker, socket)).await {
            Some(tls) => Stream::Tls(Box::new(tls)),
            None => return,
        },
    };
    let client = ClientName::of(address, transport == Transport::Tls);
    if transport == Transport::PlainH2 || stream.speaks_h2() {
        // Boxed: its future is larger than that of a connection that rests.
        Box::pin(h2::serve(worker, stream, client, seat)).await;
    } else {
        proxy::serve(worker, stream, client, seat).await;
    }
}

/// Reads the header of the PROXY protocol and not a byte more.
async fn introduce(worker: &Worker, socket: &mut TcpStream) -> io::Result<Said> {
    let deadline = Deadline::new(worker).await;
    let mut pace = Pace::within(worker.shared.limits.handshake_timeout.duration());
    let mut bytes = Vec::with_capacity(64);
    loop {
        match parse(&bytes) {
            Ok(Parsed::Header(_, said)) => return Ok(said),
            Ok(Parsed::More(more)) if bytes.len() + more <= LONGEST => {
                let mut room = vec![0; more];
                let count = deadline
                    .wire()
                    .paced(&mut pace, |context, _| {
                        let mut space = ReadBuf::new(&mut room);
                        let read = std::pin::Pin::new(&mut *socket);
                        tokio::io::AsyncRead::poll_read(read, context, &mut space)
                            .map_ok(|()| space.filled().len())
                    })
                    .await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                bytes.extend_from_slice(&room[..count]);
            }
            Ok(Parsed::More(_)) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
