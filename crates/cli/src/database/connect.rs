//! `havre db connect`: a database of the server on a port of this machine. Each connection to that port becomes one of its own to the API, and
//! from there to the server of the database, on which no port is open. The role is for this command alone, and gone when it ends.
//! Tests at the end of the file.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use havre_api::task::SessionClient;
use havre_api::tunnel::{TunnelConnection, TunnelGrant, TunnelRequest};
use havre_core::database::spec::Kind;
use havre_core::id::TunnelId;
use havre_core::name::DatabaseName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::path;
use crate::exit::{CliError, Exit};
use crate::http::{Arrival, Client, CommandReceiver as Receiver, CommandSender as Sender};
use crate::invocation::Invocation;
use crate::output;

/// Bytes that are sent at once.
const PIECE: usize = 16 * 1024;
/// Longest first line of a tunnel.
const GRANT_MAX: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
    /// Port of 127.0.0.1 to listen on [default: 5433, 3307 for MariaDB, 6380 for Redis and Valkey]; 0 takes a free one
    #[arg(long)]
    port: Option<u16>,
    /// Hours after which it ends at the latest
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=24))]
    hours: u8,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let request = TunnelRequest { hours: Some(options.hours) };
    let mut session = client.session(&path(&scope, &options.database, "/tunnel"), &request).await?;
    let grant = granted(&mut session.receiver).await?;
    let listener = listen(options.port.unwrap_or(usual_port(grant.engine))).await?;
    let address = listener.local_addr().map_err(|error| CliError::io("listen", &error))?;
    // Once, and to whoever sits here: it is a password.
    output::say(&grant.url(address.port()));
    output::say(&format!("{} until {}, or until Ctrl-C; nobody else has this role", grant.id, grant.until));
    tokio::select! {
        ended = last(&mut session.receiver) => ended,
        never = serve(&client, &listener, &grant) => match never {},
        // The usual end; the server takes the role away when this connection is gone.
        _ = tokio::signal::ctrl_c() => Ok(Exit::Ok),
    }
}

const fn usual_port(engine: Kind) -> u16 {
    match engine {
        Kind::Postgres => 5433,
        Kind::Mariadb => 3307,
        Kind::Redis | Kind::Valkey => 6380,
    }
}

/// Never on another address: who reaches this port is one password away from the database.
async fn listen(port: u16) -> Result<TcpListener, CliError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        CliError::io(format!("listen on {address}"), &error)
            .hint("choose another port with --port, or 0 for a free one")
    })
}

/// The first line of a tunnel.
async fn granted(receiver: &mut Receiver) -> Result<TunnelGrant, CliError> {
    let mut line = Vec::new();
    loop {
        match receiver.next().await? {
            Arrival::Started => {}
            Arrival::Stdout(bytes) => line.extend_from_slice(&bytes),
            Arrival::Stderr(bytes) => say_bytes(&bytes),
            Arrival::Exit(_) => return Err(CliError::new(Exit::Failed, "the tunnel ended before it began")),
        }
        if line.ends_with(b"\n") || line.len() > GRANT_MAX {
            return serde_json::from_slice(&line).map_err(|error| {
                CliError::new(Exit::Failed, format!("could not understand what opened the tunnel: {error}"))
                    .hint("client and server may be of different versions; see `havre version`")
            });
        }
    }
}

/// Waits for the end of the tunnel, and says why it came.
async fn last(receiver: &mut Receiver) -> Result<Exit, CliError> {
    loop {
        match receiver.next().await? {
            Arrival::Started | Arrival::Stdout(_) => {}
            Arrival::Stderr(bytes) => say_bytes(&bytes),
            Arrival::Exit(_) => return Ok(Exit::Ok),
        }
    }
}

fn say_bytes(bytes: &[u8]) {
    output::say(&output::printable(String::from_utf8_lossy(bytes).trim_end()));
}

/// Takes connections for ever. Dropping it drops them.
async fn serve(client: &Client, listener: &TcpListener, grant: &TunnelGrant) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < grant.connections_max as usize => {
                    connections.spawn(carry(client.clone(), grant.id, stream));
                }
                Ok(_) => {
                    let most = grant.connections_max;
                    output::say(&format!("refused a connection: {most} are open, and that is the most there may be"));
                }
                Err(error) => {
                    output::say(&format!("could not take a connection: {error}"));
                    // Most likely out of files: nothing gets better at once.
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(client: Client, id: TunnelId, stream: TcpStream) {
    if let Err(error) = connection(&client, id, stream).await {
        output::say(&format!("a connection broke off: {}", output::printable(&error.message)));
    }
}

/// One connection, from its beginning to its end.
async fn connection(client: &Client, id: TunnelId, stream: TcpStream) -> Result<(), CliError> {
    let session = client.session(&format!("/v1/tunnels/{id}/connection"), &TunnelConnection {}).await?;
    // One that is a little slower is one all the same.
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut receiver = session.receiver;
    let down = async {
        loop {
            match receiver.next().await? {
                Arrival::Started | Arrival::Stderr(_) => {}
                Arrival::Stdout(bytes) => {
                    if write.write_all(&bytes).await.is_err() {
                        // A program that has gone reads nothing more.
                        return Ok(());
                    }
                }
                Arrival::Exit(_) => return Ok(()),
            }
        }
    };
    tokio::select! {
        ended = down => ended,
        never = up(read, session.sender) => match never {},
    }
}

/// Never ends: how the connection ends is the other half's to say.
async fn up(mut read: OwnedReadHalf, mut sender: Sender) -> Infallible {
    let mut piece = vec![0; PIECE];
    loop {
        let sent = match read.read(&mut piece).await {
            Ok(0) | Err(_) => {
                let _ = sender.tell(&SessionClient::EndOfInput).await;
                break;
            }
            Ok(count) => sender.input(&piece[..count]).await,
        };
        if sent.is_err() {
            break;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_listens_on_this_machine_only() {
        let listener = listen(0).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        assert!(address.ip().is_loopback(), "{address}");
        let taken = listen(address.port()).await.expect_err("it is taken");
        assert!(taken.message.starts_with("could not listen on 127.0.0.1:"), "{}", taken.message);
        assert!(taken.hint.contains("--port"));
    }

    #[test]
    fn usual_ports_are_beside_those_of_servers() {
        let ports = [Kind::Postgres, Kind::Mariadb, Kind::Redis, Kind::Valkey].map(usual_port);
        assert_eq!(ports, [5433, 3307, 6380, 6380]);
    }
}
