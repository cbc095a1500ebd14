//! A client of HTTP/2 that obeys the rules, for tests about what requests and answers mean.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::rig::PATIENCE;

/// A connection.
pub(crate) struct Peer {
    pub(crate) send: SendRequest<Bytes>,
    /// Resolves when the connection has ended, with its error if there was one.
    pub(crate) ended: JoinHandle<Result<(), h2::Error>>,
}

/// An answer with everything that belongs to it.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Whole {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.head.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Runs a test on a runtime of one thread; gives up after a while.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE * 3, test).await.expect("the test ends in time") })
}

pub(crate) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://app.example{path}"))
}

pub(crate) fn get(path: &str) -> Request<()> {
    request("GET", path).body(()).unwrap()
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with(address, &client::Builder::new()).await
    }

    pub(crate) async fn with(address: SocketAddr, builder: &client::Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, builder).await
    }

    /// Speaks first on a connection that is there already.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        builder: &client::Builder,
    ) -> Self {
        let (send, connection) = builder.handshake(stream).await.unwrap();
        Self { send, ended: tokio::spawn(connection) }
    }

    /// Sends a request with this body and waits for everything of its answer.
    pub(crate) async fn ask(
        &mut self,
        request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Whole, h2::Error> {
        let send = self.send.clone().ready().await?;
        self.send = send;
        let (answer, mut stream) = self.send.send_request(request, body.is_none())?;
        if let Some(body) = body {
            // The library keeps what the windows do not take yet.
            stream.send_data(Bytes::copy_from_slice(body), true)?;
        }
        whole(answer.await?).await
    }
}

/// Reads an answer to its end.
pub(crate) async fn whole(answer: Response<h2::RecvStream>) -> Result<Whole, h2::Error> {
    let (head, mut incoming) = answer.into_parts();
    let mut body = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = incoming.trailers().await?;
    Ok(Whole { head: Response::from_parts(head, ()), body, trailers })
}
