//! One push: git's dialogue over SSH on this side, two stateless requests to control on the other. Tests: `push_tests.rs`.

use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use havre_core::name::ProjectName;
use havre_source::pkt::{self, FLUSH, Pkt};
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::client::{self, Chunks, Link};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// Chunks on their way to control.
const CHUNKS: usize = 4;
/// Longest time for which a client that still sends is listened to once it has its answer.
const LAST: Duration = Duration::from_secs(60);

/// What the person reads when the answer ends too early.
const BROKEN: &str = "the connection to Havre broke off; see `havre ci status` for what became of the push";

/// Tells the client what the repository offers, then carries what it pushes to control and the answer back. The answer comes while the
/// client's side is still open: it closes that only once it has read the answer.
pub(super) async fn push<R, W>(
    link: &Link,
    project: &ProjectName,
    mut input: R,
    mut output: W,
) -> anyhow::Result<()>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin,
{
    let path = format!("/git/{project}.git");
    let advertisement = client::advertisement(link, &path).await?;
    let offered = without_service(&advertisement).context("control did not answer as git does")?;
    write(&mut output, offered).await?;
    let mut first = BytesMut::with_capacity(CHUNK);
    if input.read_buf(&mut first).await.context("read what the client sends")? == 0 {
        // It has seen what there is, and wants nothing.
        return Ok(());
    }
    let (sender, chunks) = mpsc::channel(CHUNKS);
    sender.try_send(first.freeze()).context("the channel is new and has room")?;
    let reading = tokio::spawn(read(input, sender));
    let answer = client::receive_pack(link, &path, Chunks(chunks)).await?;
    if !pass_on(answer, &mut output).await? {
        // The client would wait for the rest for as long as we are there.
        anyhow::bail!("{BROKEN}");
    }
    // One that still sends, because it was refused early, would otherwise break off before it has read why.
    let _ = tokio::time::timeout(LAST, reading).await;
    Ok(())
}

/// The advertisement without what only HTTP has before it (gitprotocol-http(5)).
fn without_service(advertisement: &[u8]) -> Option<&[u8]> {
    let (Pkt::Data(b"# service=git-receive-pack\n"), length) = pkt::decode(advertisement).ok()?? else {
        return None;
    };
    let rest = &advertisement[length..];
    match pkt::decode(rest).ok()?? {
        (Pkt::Flush, length) => Some(&rest[length..]),
        _ => None,
    }
}

/// Reads to the end. What nobody takes any more is thrown away.
async fn read(mut input: impl AsyncRead + Unpin, sender: mpsc::Sender<Bytes>) {
    let mut sender = Some(sender);
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        match input.read_buf(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let is_gone = match &sender {
            Some(open) => open.send(chunk.freeze()).await.is_err(),
            None => false,
        };
        if is_gone {
            sender = None;
        }
    }
}

/// Carries the answer; whether it was whole: nothing, or something with the pkt-line at its end that ends it.
async fn pass_on(answer: Response<Incoming>, output: &mut (impl AsyncWrite + Unpin)) -> anyhow::Result<bool> {
    let mut body = answer.into_body();
    let mut last = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.context(BROKEN)?;
        if let Some(bytes) = frame.data_ref() {
            write(output, bytes).await?;
            last.extend_from_slice(&bytes[bytes.len().saturating_sub(FLUSH.len())..]);
            let surplus = last.len().saturating_sub(FLUSH.len());
            last.drain(..surplus);
        }
    }
    Ok(last.is_empty() || last == FLUSH)
}

async fn write(output: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> anyhow::Result<()> {
    output.write_all(bytes).await.context("write to the client")?;
    output.flush().await.context("write to the client")
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
