//! One session of SSH: an address that was checked, a machine that shows the key that was set, a user who proves to have his, and the
//! server's SFTP behind a channel. Everything that waits has an end. Opens nothing but that channel. Tests: `tests/it/sftp_failures.rs`.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use havre_core::ssh_key::Fingerprint;
use russh::client::{self, AuthResult};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{AlgorithmKind, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Preferred, SshId};
use tokio::time::timeout;

use crate::dial::{NoWay, dial};
use crate::fault::Fault;
use crate::sftp::packet::printable;
use crate::sftp::{KINDS, Sftp};

/// Messages of a channel that wait to be read. More than the answers to everything that is asked at once.
const MESSAGES_MAX: usize = 256;
/// Bytes of what a server says besides that are kept for an error.
const WORDS_MAX: usize = 1024;

/// Why there is no session, or why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoLink {
    /// It stays so until a person changes something.
    Barred(Fault),
    /// It broke, or took too long.
    Broken(String),
}

/// Why one try with some kinds of keys came to nothing.
enum NoDoor {
    Link(NoLink),
    /// The machine shows another key.
    Stranger(Seen),
    /// The machine has no key of these kinds.
    NoSuchKey,
}

impl From<NoLink> for NoDoor {
    fn from(no_link: NoLink) -> Self {
        Self::Link(no_link)
    }
}

/// The key a machine showed.
struct Seen {
    kind: Algorithm,
    fingerprint: String,
}

/// A session that is open.
pub(super) struct Link {
    reads: ChannelReadHalf,
    writes: ChannelWriteHalf<client::Msg>,
    /// Ends the session when it is dropped with the two halves.
    handle: client::Handle<Doorman>,
    idle: Duration,
    /// What the server says besides: a reason, usually.
    words: Vec<u8>,
}

/// Looks at the key of the machine.
struct Doorman {
    expected: Fingerprint,
    stranger: Arc<Mutex<Option<Seen>>>,
}

impl client::Handler for Doorman {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        // Certificates are not asked for: what was set is a key.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if fingerprint == self.expected.as_str() {
            return Ok(true);
        }
        let seen = Seen { kind: key.algorithm(), fingerprint };
        *self.stranger.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(false)
    }
}

/// Opens a session with the machine. `known` is the kind of the key that was set, where an earlier session has found it out; else all kinds
/// are tried that the machine may have, since it chooses which key it shows. Returns the kind as well, where it is not the usual one.
pub(super) async fn connect(
    sftp: &Sftp,
    known: Option<Algorithm>,
) -> Result<(Link, Option<Algorithm>), NoLink> {
    let kinds = known.as_ref().map_or_else(|| KINDS.to_vec(), |kind| vec![kind.clone()]);
    let first = match connect_showing(sftp, kinds).await {
        Ok(link) => return Ok((link, known)),
        Err(NoDoor::Link(no_link)) => return Err(no_link),
        Err(NoDoor::NoSuchKey) => {
            let kinds = KINDS.map(|kind| kind.to_string()).join(", ");
            let reason =
                format!("it has no key of its own of the kinds {kinds}, or not the one that was set");
            return Err(NoLink::Barred(Fault::Stranger(reason)));
        }
        Err(NoDoor::Stranger(seen)) => seen,
    };
    let mut strangers = vec![first];
    let others = if known.is_some() { Vec::new() } else { KINDS.to_vec() };
    for kind in others {
        if strangers.iter().any(|seen| seen.kind == kind) {
            continue;
        }
        match connect_showing(sftp, vec![kind.clone()]).await {
            Ok(link) => return Ok((link, Some(kind))),
            Err(NoDoor::Stranger(seen)) => strangers.push(seen),
            Err(NoDoor::NoSuchKey) => {}
            Err(NoDoor::Link(no_link)) => return Err(no_link),
        }
    }
    Err(NoLink::Barred(stranger(sftp, &strangers)))
}

fn stranger(sftp: &Sftp, seen: &[Seen]) -> Fault {
    let shown: Vec<String> = seen.iter().map(|one| format!("{} ({})", one.fingerprint, one.kind)).collect();
    Fault::Stranger(format!(
        "it shows {}, and {} was set. Nothing was sent to it. `ssh-keygen -lf` on that machine, on its \
         /etc/ssh/ssh_host_*_key.pub, says which keys are its own",
        shown.join(", "),
        sftp.location.host_key
    ))
}

/// Opens a session with a machine that shows a key of one of these kinds, within the limit.
async fn connect_showing(sftp: &Sftp, kinds: Vec<Algorithm>) -> Result<Link, NoDoor> {
    let limit = sftp.limits.connect;
    match timeout(limit, connect_now(sftp, kinds)).await {
        Ok(result) => result,
        Err(_) => Err(NoLink::Broken(format!("no connection within {limit:?}")).into()),
    }
}

async fn connect_now(sftp: &Sftp, kinds: Vec<Algorithm>) -> Result<Link, NoDoor> {
    let location = &sftp.location;
    let stream = dial(location.host.as_str(), location.port, sftp.may_reach).await;
    let stream = stream.map_err(|no_way| match no_way {
        NoWay::Barred(reason) => NoLink::Barred(Fault::Broken(reason)),
        NoWay::Broken(reason) => NoLink::Broken(reason),
    })?;
    let config = client::Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-havre_", env!("CARGO_PKG_VERSION")))),
        channel_buffer_size: MESSAGES_MAX,
        preferred: Preferred { key: Cow::Owned(kinds), ..Preferred::default() },
        // What nobody uses ends by itself, and so does what a machine that is gone has left.
        inactivity_timeout: Some(sftp.limits.idle),
        ..client::Config::default()
    };
    let stranger = Arc::new(Mutex::new(None));
    let doorman = Doorman { expected: location.host_key.clone(), stranger: stranger.clone() };
    let handle = match client::connect_stream(Arc::new(config), stream, doorman).await {
        Ok(handle) => handle,
        Err(error) => {
            let seen = stranger.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Err(seen.map_or_else(|| no_handshake(error), NoDoor::Stranger));
        }
    };
    Ok(open_sftp(sftp, prove(sftp, handle).await?).await?)
}

fn no_handshake(error: russh::Error) -> NoDoor {
    match error {
        russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. } => NoDoor::NoSuchKey,
        russh::Error::NoCommonAlgo { kind, ours, .. } => {
            let reason = format!("it knows none of the algorithms {} ({kind:?}) of SSH", ours.join(", "));
            NoLink::Barred(Fault::Broken(reason)).into()
        }
        russh::Error::WrongServerSig => {
            NoLink::Barred(Fault::Stranger("it cannot prove to have the key it shows".to_owned())).into()
        }
        other => broken(other).into(),
    }
}

fn broken(error: russh::Error) -> NoLink {
    NoLink::Broken(format!("SSH: {error}"))
}

/// Proves who we are.
async fn prove(sftp: &Sftp, mut handle: client::Handle<Doorman>) -> Result<client::Handle<Doorman>, NoLink> {
    let user = sftp.location.user.as_str();
    let key = PrivateKeyWithHashAlg::new(sftp.key.clone(), None);
    let refused = |reason: String| Err(NoLink::Barred(Fault::Refused(reason)));
    match handle.authenticate_publickey(user, key).await.map_err(broken)? {
        AuthResult::Success => Ok(handle),
        // Nothing is said so by a server: the connection is gone.
        AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
            Err(NoLink::Broken("the connection ended while the key was shown".to_owned()))
        }
        AuthResult::Failure { partial_success: true, .. } => {
            refused(format!("it wants more than a key of the user {user}, such as a password"))
        }
        AuthResult::Failure { .. } => refused(format!(
            "it does not take the key {} for the user {user}; the public half belongs into the authorized keys of \
             that user",
            sftp.public_half()
        )),
    }
}

async fn open_sftp(sftp: &Sftp, handle: client::Handle<Doorman>) -> Result<Link, NoLink> {
    let channel = handle.channel_open_session().await.map_err(broken)?;
    channel.request_subsystem(true, "sftp").await.map_err(broken)?;
    let (reads, writes) = channel.split();
    let mut link = Link { reads, writes, handle, idle: sftp.limits.idle, words: Vec::new() };
    loop {
        match link.reads.wait().await {
            Some(ChannelMsg::Success) => return Ok(link),
            Some(ChannelMsg::Failure) => {
                let user = &sftp.location.user;
                return Err(NoLink::Barred(Fault::Refused(format!("it gives the user {user} no SFTP"))));
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => link.note(&data),
            Some(ChannelMsg::Eof | ChannelMsg::Close) | None => return Err(link.ended()),
            Some(_) => {}
        }
    }
}

impl Link {
    /// Whether it is of no use any more.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Sends bytes. They are on their way when this ends, and not more.
    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), NoLink> {
        match timeout(self.idle, self.writes.data_bytes(bytes)).await {
            Ok(sent) => sent.map_err(broken),
            Err(_) => Err(NoLink::Broken(format!("nothing moved for {:?}", self.idle))),
        }
    }

    /// The next bytes of the server.
    pub(super) async fn receive(&mut self) -> Result<Bytes, NoLink> {
        loop {
            match timeout(self.idle, self.reads.wait()).await {
                Ok(Some(ChannelMsg::Data { data })) => return Ok(data),
                Ok(Some(ChannelMsg::ExtendedData { data, .. })) => self.note(&data),
                Ok(Some(ChannelMsg::Eof | ChannelMsg::Close) | None) => return Err(self.ended()),
                Ok(Some(_)) => {}
                Err(_) => return Err(NoLink::Broken(format!("nothing came for {:?}", self.idle))),
            }
        }
    }

    fn note(&mut self, words: &[u8]) {
        let room = WORDS_MAX - self.words.len();
        self.words.extend_from_slice(&words[..words.len().min(room)]);
    }

    fn ended(&self) -> NoLink {
        let words = printable(&self.words);
        let reason = "the connection ended";
        NoLink::Broken(if words.is_empty() { reason.to_owned() } else { format!("{reason}: {words}") })
    }
}
