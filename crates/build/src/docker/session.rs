//! BuildKit's session: the connection over which Docker asks us for what a build needs. We give it the secrets of that one
//! build, from memory; say that we are still there; and refuse the rest. It speaks gRPC, of which four calls are needed here.
//! Tests at the end of the file, and in `tests/it/docker.rs`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use havre_core::name::BuildSecretName;
use havre_core::secret::Secret;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::CA_SECRET;
use crate::builder::BuildError;
use crate::line::LineSink;

/// Longest head of Docker's answer.
const HEAD_MAX: usize = 8 * 1024;
/// Longest wait for it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest message that is read; they hold a name.
const MESSAGE_MAX: usize = 64 * 1024;
/// Bytes in front of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Where Docker asks for a secret.
const GET_SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const SSH: &str = "/moby.sshforward.v1.SSH/CheckAgent";
/// What is answered; each of them is one message and one answer.
const CALLS: [&str; 4] = [GET_SECRET, HEALTH, CREDENTIALS, SSH];

/// An open session. It ends when this goes away.
#[derive(Debug)]
pub(super) struct Session {
    serving: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// User and password, by the host of a registry as BuildKit names it.
pub(super) type Logins = BTreeMap<String, (String, Secret)>;

/// What one build is given, and no other.
#[derive(Debug)]
pub(super) struct Given {
    /// What its steps may mount.
    pub(super) secrets: BTreeMap<BuildSecretName, Secret>,
    /// What its base images are pulled with.
    pub(super) credentials: Logins,
}

/// Opens the session `id`, which no other one may have. Docker knows of it when this returns.
pub(super) async fn open(
    socket: &Path,
    id: &str,
    given: Given,
    log: LineSink,
) -> Result<Session, BuildError> {
    let unreachable = |source: io::Error| BuildError::Unreachable {
        what: "open a session for the build".to_owned(),
        source: Arc::new(source),
    };
    let upgraded = tokio::time::timeout(HEAD_TIMEOUT, upgrade(socket, id)).await;
    let stream = upgraded.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
    let desk = Arc::new(Desk { given, log });
    Ok(Session { serving: tokio::spawn(serve(stream, desk)) })
}

/// Turns a request into a connection on which Docker is the client.
async fn upgrade(socket: &Path, id: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).await?;
    let head = format!(
        "POST /session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\
         X-Docker-Expose-Session-Uuid: {id}\r\nX-Docker-Expose-Session-Grpc-Method: {GET_SECRET}\r\n\
         X-Docker-Expose-Session-Grpc-Method: {CREDENTIALS}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let answer = read_head(&mut stream).await?;
    if answer.starts_with("HTTP/1.1 101 ") {
        return Ok(stream);
    }
    let status = answer.lines().next().unwrap_or_default();
    Err(io::Error::other(format!("it answered `{status}`")))
}

/// Byte by byte, because what follows the head is HTTP/2 already.
async fn read_head(stream: &mut UnixStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_MAX {
            return Err(io::Error::other("its answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Who answers.
struct Desk {
    given: Given,
    log: LineSink,
}

async fn serve(stream: UnixStream, desk: Arc<Desk>) {
    let mut connection = match h2::server::handshake(stream).await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::warn!(%error, "Docker did not take the session of a build");
            return;
        }
    };
    // Docker ends the connection when the build is over.
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, Arc::clone(&desk)));
    }
}

async fn answer(request: Request<RecvStream>, respond: SendResponse<Bytes>, desk: Arc<Desk>) {
    let path = request.uri().path().to_owned();
    let reply = if CALLS.contains(&path.as_str()) {
        match read_message(request.into_body()).await {
            Some(message) => desk.reply(&path, &message).await,
            None => Err(UNREADABLE),
        }
    } else {
        Err(UNKNOWN)
    };
    if let Err(error) = send(respond, reply) {
        tracing::debug!(%error, path, "could not answer in the session of a build");
    }
}

impl Desk {
    async fn reply(&self, path: &str, message: &[u8]) -> Reply {
        match path {
            GET_SECRET => self.secret(message).await,
            HEALTH => Ok(frame(&[0x08, 0x01])),
            CREDENTIALS => self.credentials(message),
            SSH => Err(NO_SSH),
            _ => Err(UNKNOWN),
        }
    }

    /// Of the host that is asked for, and of no other; an empty answer where there are none, and BuildKit asks as nobody.
    fn credentials(&self, message: &[u8]) -> Reply {
        let asked = first_text(message).ok_or(UNREADABLE)?;
        let Some((user, password)) = self.given.credentials.get(asked) else { return Ok(frame(&[])) };
        let mut answer = field(1, user.as_bytes());
        answer.extend(field(2, password.expose()));
        Ok(frame(&answer))
    }

    async fn secret(&self, message: &[u8]) -> Reply {
        let asked = first_text(message).ok_or(UNREADABLE)?;
        let name: Option<BuildSecretName> = asked.parse().ok();
        if let Some(secret) = name.and_then(|name| self.given.secrets.get(&name)) {
            return Ok(frame(&field(1, secret.expose())));
        }
        // BuildKit runs the step without it, unless the Dockerfile says `required`: somebody should hear of that.
        let shown: String = asked.chars().take(60).flat_map(char::escape_debug).collect();
        let words = if asked == CA_SECRET {
            format!(
                "the Dockerfile asks for `{CA_SECRET}`, and this server has no `ca` in [build] of havred.toml"
            )
        } else {
            format!(
                "the Dockerfile asks for the secret `{shown}`, which `build_secrets` in havre.toml does not name"
            )
        };
        self.log.say(words).await;
        Err(NO_SECRET)
    }
}

/// A message, or why there is none.
type Reply = Result<Bytes, Refused>;

/// A status of gRPC and its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    status: &'static str,
    message: &'static str,
}

/// `INVALID_ARGUMENT`.
const UNREADABLE: Refused = Refused { status: "3", message: "the request could not be read" };
/// `NOT_FOUND`.
const NO_SECRET: Refused =
    Refused { status: "5", message: "no such secret is named by build_secrets in havre.toml" };
/// `FAILED_PRECONDITION`: with `UNIMPLEMENTED` BuildKit would say words of its own.
const NO_SSH: Refused = Refused {
    status: "9",
    message: "Havre forwards no SSH agent to builds, since it would lend the server's keys to every step; \
              use a token as a build secret (RUN --mount=type=secret) and https",
};
/// `UNIMPLEMENTED`.
const UNKNOWN: Refused = Refused { status: "12", message: "Havre does not offer this to builds" };

fn send(mut respond: SendResponse<Bytes>, reply: Reply) -> Result<(), h2::Error> {
    let mut head = Response::new(());
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(head, false)?;
    let mut trailers = HeaderMap::new();
    match reply {
        Ok(message) => {
            stream.send_data(message, false)?;
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
        Err(refused) => {
            trailers.insert("grpc-status", HeaderValue::from_static(refused.status));
            trailers.insert("grpc-message", HeaderValue::from_static(refused.message));
        }
    }
    stream.send_trailers(trailers)
}

/// The one message of a call, without its prefix.
async fn read_message(mut body: RecvStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        if bytes.len() + chunk.len() > MESSAGE_MAX {
            return None;
        }
        bytes.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len()).ok()?;
    }
    unframe(&bytes).map(<[u8]>::to_vec)
}

fn unframe(bytes: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = bytes.split_first_chunk::<PREFIX>()?;
    let [is_compressed, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    (is_compressed == 0 && message.len() == length).then_some(message)
}

fn frame(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).expect("a secret is far shorter than 4 GB"));
    bytes.put_slice(message);
    bytes.freeze()
}

/// Number 1 of a message of protobuf, where it stands first and is text.
fn first_text(message: &[u8]) -> Option<&str> {
    let rest = message.strip_prefix(&[0x0a])?;
    let (length, rest) = varint(rest)?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    // Four bytes say more than the longest message has.
    for (index, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// A field of a message of protobuf: its number, below 16, and bytes.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    let mut length = value.len();
    while length >= 0x80 {
        message.push(u8::try_from(length & 0x7f).expect("seven bits fit") | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).expect("seven bits fit"));
    message.extend_from_slice(value);
    message
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use havre_decide::secret::redact::Redactor;

    #[test]
    fn messages_are_as_docker_writes_them() {
        // As Docker 20.10 sent it.
        let asked = b"\x00\x00\x00\x00\x0b\n\tNPM_TOKEN";
        assert_eq!(unframe(asked).and_then(first_text), Some("NPM_TOKEN"));
        assert_eq!(&frame(&field(1, b"value"))[..], b"\x00\x00\x00\x00\x07\n\x05value");
        let long = vec![b'x'; 70_000];
        let message = field(1, &long);
        assert_eq!(first_text(&message).map(str::len), Some(70_000));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for wrong in [&b""[..], b"\x00\x00", b"\x01\x00\x00\x00\x00", b"\x00\x00\x00\x00\x09\n\x01a"] {
            assert_eq!(unframe(wrong), None, "{wrong:?}");
        }
        for wrong in [&b""[..], b"\n", b"\n\x05abc", b"\n\xff\xff\xff\xff\x01", b"\x12\x01a", b"\n\x01\xff"] {
            assert_eq!(first_text(wrong), None, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn only_secrets_of_this_build_are_given() {
        let (log, mut lines) = mpsc::channel(8);
        let log = LineSink::new(log, CancellationToken::new(), Redactor::default());
        let name = "NPM_TOKEN".parse().expect("is a name");
        let secrets = BTreeMap::from([(name, Secret::from("planted-value"))]);
        let login = ("ada".to_owned(), Secret::from("planted-password"));
        let credentials = BTreeMap::from([("registry.example.org".to_owned(), login)]);
        let desk = Desk { given: Given { secrets, credentials }, log };
        let known = desk.credentials(&field(1, b"registry.example.org")).expect("is known");
        assert_eq!(&known[PREFIX..], b"\n\x03ada\x12\x10planted-password");
        let unknown = desk.credentials(&field(1, b"registry.example.com")).expect("is asked as nobody");
        assert_eq!(&unknown[PREFIX..], b"");
        let given = desk.secret(&field(1, b"NPM_TOKEN")).await.expect("is given");
        assert!(given.ends_with(b"planted-value"));
        assert_eq!(desk.secret(&field(1, b"OTHER")).await, Err(NO_SECRET));
        assert_eq!(desk.secret(&field(1, b"../etc/passwd\n")).await, Err(NO_SECRET));
        assert_eq!(desk.secret(b"").await, Err(UNREADABLE));
        drop(desk);
        let mut said = Vec::new();
        while let Some(line) = lines.recv().await {
            said.push(line.text);
        }
        let says = |name: &str| {
            format!(
                "the Dockerfile asks for the secret `{name}`, which `build_secrets` in havre.toml does not name"
            )
        };
        assert_eq!(said, [says("OTHER"), says("../etc/passwd\\n")]);
    }
}
