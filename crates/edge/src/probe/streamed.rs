//! One question to an application that speaks HTTP/2, on a connection of its own. The caller sets the deadline.
//! Tests: `tests/it/h2_upstream.rs`, `tests/it/tls_upstream.rs`.

use std::io;

use bytes::Bytes;
use h2::RecvStream;
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::client::ClientError;

/// An answer, and the connection behind it.
pub(super) struct Answer {
    pub(super) status: u16,
    incoming: RecvStream,
    _connection: Connection,
}

/// Ends with the answer.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks for `uri`.
pub(super) async fn get<S>(stream: S, uri: String) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let no_h2 = |error: h2::Error| format!("does not speak HTTP/2: {error}");
    let (mut send, connection) = h2::client::handshake(stream).await.map_err(no_h2)?;
    let connection = Connection(tokio::spawn(async move {
        // How it ended is what the request is told.
        let _ = connection.await;
    }));
    let request = Request::get(uri).header("user-agent", "havre-edge").body(());
    let request = request.map_err(|error| format!("cannot ask: {error}"))?;
    let (answer, _) = send.send_request(request, true).map_err(no_h2)?;
    let (head, incoming) = answer.await.map_err(no_h2)?.into_parts();
    Ok(Answer { status: head.status.as_u16(), incoming, _connection: connection })
}

impl Answer {
    /// At most `most` bytes of the body.
    pub(super) async fn body(mut self, most: usize) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(data) = self.incoming.data().await {
            let data: Bytes = data.map_err(|problem| ClientError::Io(io::Error::other(problem)))?;
            let room = most.saturating_sub(body.len());
            body.extend_from_slice(&data[..data.len().min(room)]);
            if room <= data.len() {
                break;
            }
            // A stream that is reset meanwhile has no window to give back to.
            let _ = self.incoming.flow_control().release_capacity(data.len());
        }
        Ok(body)
    }
}
