//! Fetches over SSH. Git starts `ssh` without a shell where `GIT_SSH` names a program, but gives it no file of ours to read; so that program is
//! our own ([`stand_in`]), which starts `ssh` in a private folder with everything that is settled in it: the address that was checked, the keys
//! the host may show, the deploy keys. Nothing of the machine's own configuration counts, no agent is asked, nothing is forwarded. The folder is
//! there while one fetch runs; what a crash leaves of it is removed at the start. Tests: at the end of the file, and
//! `crates/daemon/tests/it/deploy_key.rs` with the real sshd.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use havre_core::name::ProjectName;
use havre_core::source::RemoteUrl;
use havre_core::ssh_key::{Fingerprint, PublicKey};
use tokio::process::Command;

use super::GitSource;
use super::fetch::ADDRESSES_MAX;
use super::repository::{blocking, remove_all};
use crate::error::SourceError;
use crate::source::SshAccess;

/// Tells our own program that git has started it in place of `ssh`, and where the folder of this fetch is.
const STAND_IN: &str = "HAVRE_SSH_FETCH";
/// Said where `ssh` cannot be started.
const NO_SSH: &str = "ssh cannot be started";
/// Settings of `ssh` that are the same for every fetch.
const SETTINGS: &str = "BatchMode yes\nStrictHostKeyChecking yes\nUserKnownHostsFile known_hosts\nGlobalKnownHostsFile /dev/null\n\
    UpdateHostKeys no\nCheckHostIP no\nVerifyHostKeyDNS no\nIdentitiesOnly yes\nIdentityAgent none\nPreferredAuthentications publickey\n\
    ForwardAgent no\nForwardX11 no\nClearAllForwardings yes\nTunnel no\nPermitLocalCommand no\nProxyCommand none\nCanonicalizeHostname no\n\
    ControlMaster no\nControlPath none\nRequestTTY no\nEscapeChar none\nSendEnv GIT_PROTOCOL\nConnectTimeout 15\nConnectionAttempts 1\n\
    ServerAliveInterval 15\nServerAliveCountMax 2\nLogLevel ERROR\n";
/// Seconds of silence after which a host is taken to show no key.
const SCAN_TIMEOUT: &str = "5";
/// Kinds of host keys that are asked for.
const SCAN_KINDS: &str = "ed25519,ecdsa,rsa";
/// Most bytes of what a host shows.
const SCAN_MAX: u64 = 64 * 1024;
/// Most characters of what a host is asked for: a word of git's and a path.
const ASKED_MAX: usize = 1024;

/// Where everything about one connection lies. Removed when dropped.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes it: a configuration, the host's keys, ours.
    pub(super) async fn make(
        source: &GitSource,
        repository: &ProjectName,
        url: &RemoteUrl,
        (access, address): (&SshAccess, IpAddr),
    ) -> Result<Self, SourceError> {
        let folder = Self { path: source.repositories.for_ssh(repository) };
        let files = [
            ("config", config(url, address, access.keys.len())),
            ("known_hosts", known_hosts(url, &access.host_keys)),
        ];
        let (path, keys) = (folder.path.clone(), access.keys.clone());
        let what = format!("prepare to fetch over SSH into the repository of {repository}");
        blocking(&what, move || {
            DirBuilder::new().mode(0o700).create(&path)?;
            for (name, text) in files {
                write(&path.join(name), text.as_bytes())?;
            }
            for (place, key) in keys.iter().enumerate() {
                write(&path.join(key_file(place)), key.expose())?;
            }
            Ok(())
        })
        .await?;
        Ok(folder)
    }

    /// Lets git reach the host with what lies here.
    pub(super) fn add_to(&self, command: &mut Command, program: &Path) {
        command.env("GIT_SSH", program).env("GIT_SSH_VARIANT", "ssh").env(STAND_IN, &self.path);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A few small files. What cannot be removed now is removed at the next start.
        if let Err(error) = remove_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove the folder of a fetch, which holds a deploy key");
        }
    }
}

/// A new file that only this user reads.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

fn key_file(place: usize) -> String {
    format!("key-{place}")
}

/// What `ssh` reads in place of every configuration of the machine. Everything in it is of a closed type or ours.
fn config(url: &RemoteUrl, address: IpAddr, keys: usize) -> String {
    let mut text = format!("Host *\nHostName {address}\nHostKeyAlias {}\nPort {}\n", url.host(), url.port());
    if let Some(user) = url.user() {
        text.push_str("User ");
        text.push_str(user);
        text.push('\n');
    }
    for place in 0..keys {
        writeln!(text, "IdentityFile {}", key_file(place)).expect("a string takes everything");
    }
    text.push_str(SETTINGS);
    text
}

/// Which keys the host may show, under the name it has in the address.
fn known_hosts(url: &RemoteUrl, keys: &[PublicKey]) -> String {
    keys.iter().map(|key| format!("{} {}\n", url.host(), key.plain())).collect()
}

/// Starts `ssh` in place of this process, where git has started it for that. Comes back only where it did not, or with the reason why `ssh`
/// could not be started. For the first line of `main`: nothing else may read git's arguments.
pub fn stand_in() -> Option<io::Error> {
    let folder = std::env::var_os(STAND_IN)?;
    // Host, port and user stand before it. They are not needed: the configuration in the folder says them, with the address that was checked.
    let asked = std::env::args_os().next_back().unwrap_or_default();
    if !is_fetch(&asked) {
        return Some(io::Error::other("git asks for something else than a fetch"));
    }
    let mut ssh = std::process::Command::new("ssh");
    ssh.args(["-F", "config", "--", "havre"]).arg(asked).current_dir(folder).env_remove(STAND_IN);
    let error = ssh.exec();
    Some(io::Error::new(error.kind(), format!("{NO_SSH}: {error}")))
}

/// Whether it is what git asks a host for when it fetches: one word, and a path in quotes. The host's shell reads it.
fn is_fetch(asked: &OsStr) -> bool {
    let path = asked.to_str().and_then(|asked| asked.strip_prefix("git-upload-pack '")?.strip_suffix('\''));
    path.is_some_and(|path| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~+@/".contains(&byte);
        (1..=ASKED_MAX).contains(&path.len()) && !path.starts_with('-') && path.bytes().all(is_plain)
    })
}

/// Whether nobody answered at this address, so that another one is worth a try.
pub(super) fn is_unreachable(error: &SourceError) -> bool {
    said(error).is_some_and(|said| said.contains("ssh: connect to host"))
}

/// What git and `ssh` said of a failure.
fn said(error: &SourceError) -> Option<String> {
    match error {
        SourceError::Failed { source, .. } => Some(source.to_string()),
        _ => None,
    }
}

/// The same failure in words for whoever can do something about it. `ssh` runs with `LC_ALL=C`, so its words are the same everywhere.
pub(super) fn explain(error: SourceError, url: &RemoteUrl) -> SourceError {
    let Some(said) = said(&error) else { return error };
    let host = url.host();
    let reason = if said.contains("Host key verification failed") {
        let shown = shown(&said).map(|key| format!(" ({key})")).unwrap_or_default();
        format!(
            "{host} shows another host key{shown} than those that are trusted: somebody may be in between, or the host was set up anew. \
             Nothing was fetched. Ask whoever runs it for the fingerprint, and only if that is the one: \
             `havre remote set {url} --host-key FINGERPRINT`"
        )
    } else if said.contains("Permission denied (") {
        format!(
            "{host} does not take the deploy key of this project: add the public key to the repository there, for reading \
             (`havre remote key show` shows it)"
        )
    } else if said.contains(NO_SSH) {
        "fetches over SSH need the program ssh: install it (`apt-get install openssh-client`)".to_owned()
    } else {
        return error;
    };
    SourceError::Refused { reason }
}

/// The fingerprint of the key a host has shown, in the words of `ssh`.
fn shown(said: &str) -> Option<Fingerprint> {
    let digest: String = said.split_once("SHA256:")?.1.chars().take(43).collect();
    format!("SHA256:{digest}").parse().ok()
}

/// Asks whoever answers at the address for its keys.
pub(super) async fn list_host_keys(
    source: &GitSource,
    url: &RemoteUrl,
    addresses: &[IpAddr],
) -> Result<Vec<PublicKey>, SourceError> {
    let what = format!("ask {} for its host keys", url.host());
    let port = url.port().to_string();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        let mut command = source.git.other("ssh-keyscan");
        command.args(["-T", SCAN_TIMEOUT, "-p", &port, "-t", SCAN_KINDS, "--"]).arg(address.to_string());
        let found = parse_scan(&source.git.ask(&what, command, SCAN_MAX).await?);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let nobody = format!("nobody at port {port} shows a key of SSH that is known here");
    Err(SourceError::failed(what, io::Error::other(nobody)))
}

/// Lines of `address algorithm base64`. Keys that are too weak are left out.
fn parse_scan(said: &[u8]) -> Vec<PublicKey> {
    let said = String::from_utf8_lossy(said);
    let lines = said.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')?.1.parse().ok()).collect()
}

/// Removes what a crash has left of a fetch.
pub(super) fn tidy(path: &Path) -> io::Result<()> {
    tracing::info!(path = %path.display(), "removing the folder of a fetch that was killed");
    fs::remove_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua";

    fn url(text: &str) -> RemoteUrl {
        text.parse().expect("is an address")
    }

    fn failed(words: &str) -> SourceError {
        SourceError::failed("fetch x", io::Error::other(words.to_owned()))
    }

    #[test]
    fn everything_about_a_connection_is_settled() {
        let text = config(
            &url("ssh://forge@git.example.org:2222/x.git"),
            "203.0.113.7".parse().expect("an address"),
            2,
        );
        let expected = "Host *\nHostName 203.0.113.7\nHostKeyAlias git.example.org\nPort 2222\nUser forge\n\
            IdentityFile key-0\nIdentityFile key-1\nBatchMode yes\nStrictHostKeyChecking yes\n";
        assert!(text.starts_with(expected), "{text}");
        for setting in [
            "UserKnownHostsFile known_hosts",
            "GlobalKnownHostsFile /dev/null",
            "IdentitiesOnly yes",
            "IdentityAgent none",
            "ForwardAgent no",
            "ProxyCommand none",
            "PermitLocalCommand no",
        ] {
            assert_eq!(text.lines().filter(|line| *line == setting).count(), 1, "{setting}: {text}");
        }
        let lines = text.lines().all(|line| line.split_once(' ').is_some_and(|(_, value)| !value.is_empty()));
        assert!(lines, "{text}");
        let text = config(&url("ssh://git@[2001:db8::1]/x"), "2001:db8::1".parse().expect("an address"), 1);
        assert!(text.contains("HostName 2001:db8::1\nHostKeyAlias 2001:db8::1\nPort 22\n"), "{text}");
    }

    #[test]
    fn the_host_may_show_only_these_keys() {
        let key: PublicKey = format!("{KEY} of the forge").parse().expect("is a key");
        let text = known_hosts(&url("git@git.example.org:x.git"), &[key.clone(), key]);
        assert_eq!(text, format!("git.example.org {KEY}\n").repeat(2));
    }

    #[test]
    fn git_may_ask_for_a_fetch_and_nothing_else() {
        for right in ["git-upload-pack '/acme/shop.git'", "git-upload-pack 'a/b'", "git-upload-pack '~ada/x'"]
        {
            assert!(is_fetch(OsStr::new(right)), "{right}");
        }
        for wrong in [
            "",
            "id",
            "git-upload-pack",
            "git-upload-pack ''",
            "git-upload-pack '-x'",
            "git-upload-pack 'a'; id'",
            "git-upload-pack '$(id)'",
            "git-upload-pack 'a b'",
            "git-receive-pack '/acme/shop.git'",
            "git-upload-archive '/acme/shop.git'",
            "git-upload-pack '/acme/shop.git' x",
        ] {
            assert!(!is_fetch(OsStr::new(wrong)), "{wrong}");
        }
    }

    #[test]
    fn failures_say_what_to_do() {
        let address = url("git@git.example.org:acme/shop.git");
        let explained = |words: &str| explain(failed(words), &address);
        let changed = explained(
            "git ended with exit status: 128: The fingerprint for the ED25519 key sent by the remote host is; \
             SHA256:EbLNNDH26JCAC9EL/tkStO2j+jYadeSabOFlwKWYKcI.; Host key verification failed.",
        );
        let text = changed.to_string();
        assert!(changed.is_permanent(), "{text}");
        assert!(text.contains("(SHA256:EbLNNDH26JCAC9EL/tkStO2j+jYadeSabOFlwKWYKcI)"), "{text}");
        assert!(text.contains("`havre remote set git@git.example.org:acme/shop.git --host-key"), "{text}");
        let unknown =
            explained("No ED25519 host key is known for x; Host key verification failed.").to_string();
        assert!(unknown.contains("shows another host key than"), "{unknown}");
        let refused = explained("git@203.0.113.7: Permission denied (publickey).");
        assert!(
            refused.is_permanent() && refused.to_string().contains("`havre remote key show`"),
            "{refused}"
        );
        let missing = explained("havred: ssh cannot be started: No such file or directory").to_string();
        assert!(missing.contains("apt-get install openssh-client"), "{missing}");
        let other = explained("fatal: '/x.git' does not appear to be a git repository");
        assert!(!other.is_permanent() && !is_unreachable(&other));
        assert!(is_unreachable(&failed("ssh: connect to host 203.0.113.7 port 22: Connection refused")));
        assert!(!is_unreachable(&SourceError::Cancelled));
    }

    #[test]
    fn keys_of_a_host_are_read() {
        let said =
            format!("# a comment\n[127.0.0.1]:22 {KEY}\nx ssh-rsa AAAA\n127.0.0.1\n\n203.0.113.7 {KEY}\n");
        let found: Vec<String> = parse_scan(said.as_bytes()).iter().map(PublicKey::plain).collect();
        assert_eq!(found, [KEY, KEY]);
        assert!(parse_scan(b"").is_empty());
    }

    #[test]
    fn the_key_is_in_a_private_file_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("key-0");
        write(&path, b"planted").expect("is written");
        assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
        assert!(write(&path, b"again").is_err(), "never over what is there");
        let folder = Folder { path: place.path().join("one") };
        fs::create_dir(&folder.path).expect("a folder");
        write(&folder.path.join("key-0"), b"planted").expect("is written");
        let mut command = Command::new("git");
        folder.add_to(&mut command, Path::new("/usr/bin/havred"));
        let names: Vec<String> =
            command.as_std().get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["GIT_SSH", "GIT_SSH_VARIANT", STAND_IN]);
        assert!(!format!("{:?}", command.as_std()).contains("planted"));
        drop(folder);
        assert!(!place.path().join("one").exists());
    }
}
