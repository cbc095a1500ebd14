//! Name and password: what a request sends, and which of it has been checked. A check takes tens of milliseconds and
//! is made by a thread of its own (`Hasher`), never by a worker; its result is kept under a keyed code of what was
//! sent, so that a password is hashed once and then recognised. Both memory and waiting checks are bounded.
//! Tests at the end of the file and in `tests/it/policy.rs` of the edge.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use havre_core::route::settings::auth::BasicAuth;
use tokio::sync::oneshot;

use super::sign;

/// Most results kept for one route.
const KEPT_MOST: usize = 1024;

/// Most checks that wait for the thread.
const WAITING_MOST: usize = 32;

/// Longest name and password together, with the colon between them.
const SENT_MOST: usize = 512;

/// Longest text of them in a header, spaces around it included. A multiple of four, so that what is made of it has room.
const TEXT_MOST: usize = 2 * SENT_MOST;

/// Code of a name and a password.
type Code = [u8; 32];

/// Who may sign in to a route, and whose word has been checked.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) settings: BasicAuth,
    key: [u8; 32],
    kept: Mutex<HashMap<Code, bool>>,
}

/// What is known of a request's credentials.
#[derive(Debug)]
pub(super) enum Known {
    /// They are right.
    Right,
    /// They are wrong, or there are none.
    Wrong,
    /// They must be checked first.
    Unchecked(Sent),
}

/// Credentials to check.
pub(super) struct Sent {
    code: Code,
    hash: String,
    password: Vec<u8>,
    /// The name is one of those that may sign in.
    is_named: bool,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sent(hidden)")
    }
}

impl Gate {
    pub(super) fn new(settings: BasicAuth) -> Self {
        let (one, other) = (RandomState::new(), RandomState::new());
        let mut key = [0; 32];
        for (index, part) in key.chunks_mut(8).enumerate() {
            let random = if index % 2 == 0 { &one } else { &other };
            part.copy_from_slice(&random.hash_one(index).to_be_bytes());
        }
        Self { settings, key, kept: Mutex::default() }
    }

    /// Judges the `Authorization` header of a request.
    pub(super) fn judge(&self, header: Option<&[u8]>) -> Known {
        let Some((user, password)) = header.and_then(credentials) else { return Known::Wrong };
        let code = sign::code(&self.key, &[&user, &password]);
        match self.kept().get(&code) {
            Some(true) => return Known::Right,
            Some(false) => return Known::Wrong,
            None => {}
        }
        let users = &self.settings.users;
        let is_named = |name: &str| sign::is_same(name.as_bytes(), &user);
        let hash = users.iter().find(|(name, _)| is_named(name.as_str())).map(|(_, hash)| hash);
        // An unknown name costs the same as a wrong password, so that answers do not tell which it was.
        let is_named = hash.is_some();
        let Some(hash) = hash.or_else(|| users.values().next()) else { return Known::Wrong };
        Known::Unchecked(Sent { code, hash: hash.as_str().to_owned(), password, is_named })
    }

    fn keep(&self, code: Code, is_right: bool) {
        let mut kept = self.kept();
        if kept.len() >= KEPT_MOST {
            // Wrong ones first: whoever is guessing shall not push out those who know.
            kept.retain(|_, is_right| *is_right);
            if kept.len() >= KEPT_MOST {
                kept.clear();
            }
        }
        kept.insert(code, is_right);
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<Code, bool>> {
        // A map is valid after every step.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and password of `Basic` (RFC 7617) in an `Authorization` header. Strict: one text for one value, with the padding it must have.
pub fn credentials(header: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, text) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") || text.len() > TEXT_MOST {
        return None;
    }
    // On the stack: whoever sends something else than credentials costs no memory.
    let mut room = [0; TEXT_MOST / 4 * 3];
    let length = STANDARD.decode_slice(text.trim_ascii(), &mut room).ok()?;
    let sent = room.get(..length).filter(|sent| sent.len() <= SENT_MOST)?;
    let colon = sent.iter().position(|byte| *byte == b':')?;
    Some((sent[..colon].to_vec(), sent[colon + 1..].to_vec()))
}

/// The thread that checks passwords; started by the first check.
#[derive(Debug, Default)]
pub struct Hasher {
    inbox: OnceLock<Option<SyncSender<Order>>>,
}

struct Order {
    gate: Arc<Gate>,
    sent: Sent,
    done: oneshot::Sender<()>,
}

impl Hasher {
    /// Checks what a request sent; the result is then known to the route. `None` when too many wait already.
    pub(super) fn check(&self, gate: &Arc<Gate>, sent: Sent) -> Option<oneshot::Receiver<()>> {
        let inbox = self.inbox.get_or_init(start).as_ref()?;
        let (done, end) = oneshot::channel();
        match inbox.try_send(Order { gate: Arc::clone(gate), sent, done }) {
            Ok(()) => Some(end),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }
}

fn start() -> Option<SyncSender<Order>> {
    let (inbox, orders) = sync_channel::<Order>(WAITING_MOST);
    let thread = std::thread::Builder::new().name("edge-passwords".to_owned()).spawn(move || {
        while let Ok(Order { gate, sent, done }) = orders.recv() {
            if done.is_closed() {
                // The client has gone.
                continue;
            }
            gate.keep(sent.code, is_right(&sent));
            let _ = done.send(());
        }
    });
    match thread {
        Ok(_) => Some(inbox),
        Err(problem) => {
            tracing::error!(%problem, "cannot start the thread that checks passwords");
            None
        }
    }
}

fn is_right(sent: &Sent) -> bool {
    use argon2::PasswordVerifier as _;
    let is_right = argon2::Argon2::default().verify_password(&sent.password, sent.hash.as_str()).is_ok();
    is_right && sent.is_named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_sends() {
        let pair = |header: &str| {
            credentials(header.as_bytes()).map(|(user, password)| {
                (String::from_utf8(user).unwrap(), String::from_utf8(password).unwrap())
            })
        };
        let both = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(pair("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), both("Aladdin", "open sesame"));
        assert_eq!(pair("basic YTpiOmM="), both("a", "b:c"));
        assert_eq!(pair("Basic Og=="), both("", ""));
        for wrong in
            ["Basic", "Basic ", "Bearer YTpi", "Basic YTpi!", "Basic YQ==", "Basic YTp", "Basic ===="]
        {
            assert_eq!(pair(wrong), None, "{wrong}");
        }
        // Other texts of the same value, the alphabet of URLs, and a space within.
        for wrong in ["Basic Oh==", "Basic Og", "Basic Og=", "Basic Og===", "Basic Oj8_", "Basic YT pi"] {
            assert_eq!(pair(wrong), None, "{wrong}");
        }
        assert_eq!(pair("Basic  Og== "), both("", ""), "spaces around it are none of it");
        assert_eq!(pair(&format!("Basic {}", "QUFB".repeat(400))), None);
        let longest = "A".repeat(SENT_MOST - 1);
        assert_eq!(pair(&format!("Basic {}", STANDARD.encode(format!(":{longest}")))), both("", &longest));
        assert_eq!(pair(&format!("Basic {}", STANDARD.encode(format!(":A{longest}")))), None);
        // As long as the room is, and one group more.
        for groups in [TEXT_MOST / 4, TEXT_MOST / 4 + 1] {
            assert_eq!(pair(&format!("Basic {}", "Ojo6".repeat(groups))), None);
        }
    }

    #[test]
    fn those_who_guess_do_not_push_out_those_who_know() {
        let gate = Gate::new(BasicAuth { realm: "r".parse().unwrap(), users: [].into() });
        gate.keep([0xff; 32], true);
        for number in 0..5000_u32 {
            let mut code = [0; 32];
            code[..4].copy_from_slice(&number.to_be_bytes());
            gate.keep(code, false);
        }
        assert!(gate.kept().len() <= KEPT_MOST);
        assert_eq!(gate.kept().get(&[0xff; 32]), Some(&true));
    }
}
