//! Brings one branch or tag of a remote repository here. Git is told where to connect to, and follows nothing anywhere else: no redirect,
//! no other protocol, no submodule. The token goes through the environment, which only this user can read, never through arguments.
//! Whether the address may be reached at all is asked by the caller. Tests: parts at the end of the file, the rest in
//! `tests/it/git.rs` and end to end.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use havre_core::name::ProjectName;
use havre_core::quantity::Span;
use havre_core::source::{CommitId, Pull, RefName, RemoteUrl};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::GitSource;
use super::command::{Pipes, Running, in_time};
use super::{refs, ssh};
use crate::error::SourceError;
use crate::source::Remote;

/// Longest time of one fetch.
pub(super) const FETCH_TIMEOUT: Span = Span::seconds(10 * 60);
/// How often it is looked at how much has come: what a fast line brings in between is little beside the limits.
const LOOK: Duration = Duration::from_millis(500);
/// Most bytes of standard output, on which a quiet fetch says nothing.
const WORDS_MAX: u64 = 64 * 1024;
/// Most addresses of one host.
pub(super) const ADDRESSES_MAX: usize = 8;

/// Settings of a fetch.
const SETTINGS: [&str; 10] = [
    "http.followRedirects=false",
    "http.proxy=",
    // Below a kilobyte in a second for half a minute, nobody is there.
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "credential.helper=",
    "fetch.fsckObjects=true",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    // What comes is one file, whose growth can be seen.
    "fetch.unpackLimit=1",
];

/// What git says where the remote repository has no such branch or tag.
const NOT_THERE: &str = "couldn't find remote ref";

/// What is fetched, by the names of closed types: there and here.
pub(super) struct Refs {
    theirs: String,
    ours: String,
}

impl Refs {
    /// A branch or tag, which has one name.
    pub(super) fn same(reference: &RefName) -> Self {
        Self { theirs: reference.to_string(), ours: reference.to_string() }
    }

    /// The head of a pull request.
    pub(super) fn of(pull: &Pull) -> Self {
        Self { theirs: pull.theirs(), ours: pull.ours() }
    }
}

/// Brings `refs` here, whatever was here before; the commit it leads to, or `None` when it is gone there, and then here too.
pub(super) async fn fetch(
    source: &GitSource,
    repository: &ProjectName,
    remote: &Remote,
    refs: &Refs,
    cancel: &CancellationToken,
) -> Result<Option<CommitId>, SourceError> {
    let what = format!("fetch {} of {repository} from {}", refs.theirs, remote.url);
    source.repositories.ensure(&source.git, repository).await?;
    let directory = source.repositories.get(repository).await?;
    // Also removes what one that was killed has left: locks, and halves of packs.
    let _writing = source.repositories.begin_push(repository, &directory).await?;
    clear(&what, &directory).await?;
    let limit = room(source, &what, repository, &directory).await?;
    let cancelled = SourceError::Cancelled;
    let _place = cancel.run_until_cancelled(source.git.exchange()).await.ok_or(cancelled)?;
    let place = Place { what: &what, directory: &directory, limit };
    let prepare = || {
        let mut command = source.git.command(&settings(remote));
        command.arg("--git-dir").arg(place.directory);
        add_arguments(&mut command, remote, refs);
        command
    };
    let work = in_time(&what, FETCH_TIMEOUT, run_from(source, repository, remote, prepare, place));
    let ended = cancel.run_until_cancelled(work).await.unwrap_or(Err(SourceError::Cancelled));
    match ended {
        Ok(()) => find(source, &what, &directory, &refs.ours).await,
        Err(error) if is_not_there(&error) => {
            remove(source, &what, &directory, &refs.ours).await?;
            Ok(None)
        }
        Err(error) => {
            clear(&what, &directory).await?;
            Err(error)
        }
    }
}

/// Where what is fetched goes.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// What is done, for errors.
    pub(super) what: &'a str,
    pub(super) directory: &'a Path,
    /// Most bytes that may come.
    pub(super) limit: u64,
}

/// Lets git fetch with what `prepare` makes, once for each try. Over SSH it goes to one address at a time, where curl would choose: to the next
/// one where nobody answers.
pub(super) async fn run_from(
    source: &GitSource,
    repository: &ProjectName,
    remote: &Remote,
    prepare: impl Fn() -> Command,
    place: Place<'_>,
) -> Result<(), SourceError> {
    let Some(access) = &remote.ssh else {
        let mut command = prepare();
        add_token(&mut command, remote);
        return run(place.what, command, place.directory, place.limit).await;
    };
    let Some(program) = &source.ssh else {
        let reason = "this program does not know where it lies, which fetches over SSH need".to_owned();
        return Err(SourceError::Refused { reason });
    };
    let mut away = SourceError::failed(place.what, io::Error::other("its host has no address"));
    for address in remote.addresses.iter().take(ADDRESSES_MAX) {
        let folder = ssh::Folder::make(source, repository, &remote.url, (access, *address)).await?;
        let mut command = prepare();
        folder.add_to(&mut command, program);
        match run(place.what, command, place.directory, place.limit).await {
            Err(error) if ssh::is_unreachable(&error) => away = error,
            ended => return ended.map_err(|error| ssh::explain(error, &remote.url)),
        }
    }
    Err(away)
}

/// Removes a name that is ours; an absent one is fine.
pub(super) async fn forget(
    source: &GitSource,
    repository: &ProjectName,
    ours: &str,
) -> Result<(), SourceError> {
    let Some(directory) = source.repositories.find(repository).await? else { return Ok(()) };
    let _writing = source.repositories.begin_push(repository, &directory).await?;
    remove(source, &format!("forget {ours} of {repository}"), &directory, ours).await
}

/// Settings beside those of every call, stronger than them.
pub(super) fn settings(remote: &Remote) -> Vec<String> {
    let mut settings: Vec<String> = SETTINGS.iter().map(ToString::to_string).collect();
    settings.push("protocol.allow=never".to_owned());
    // An address for SSH without its keys has no protocol: git would start the machine's own `ssh`.
    let scheme = match (&remote.ssh, remote.url.is_plain()) {
        (Some(_), _) => "ssh",
        (None, true) => "http",
        (None, false) => "https",
    };
    settings.push(format!("protocol.{scheme}.allow=always"));
    settings.extend(pin(&remote.url, &remote.addresses));
    settings
}

/// Where the name of the host leads, so that what was checked is what is connected to. A host that is an address needs no pin; for SSH it is
/// set where `ssh` reads it.
fn pin(url: &RemoteUrl, addresses: &[IpAddr]) -> Option<String> {
    if url.is_ssh() || url.host().parse::<IpAddr>().is_ok() {
        return None;
    }
    let addresses: Vec<String> = addresses
        .iter()
        .take(ADDRESSES_MAX)
        .map(|address| match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        })
        .collect();
    Some(format!("http.curloptResolve={}:{}:{}", url.host(), url.port(), addresses.join(",")))
}

fn add_arguments(command: &mut Command, remote: &Remote, refs: &Refs) {
    command.args(["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]);
    command.args(["--force", "--", remote.url.as_str()]).arg(format!("+{}:{}", refs.theirs, refs.ours));
}

/// The forges take a token as the password of a name that does not matter to them; `x-access-token` is GitHub's.
fn add_token(command: &mut Command, remote: &Remote) {
    let Some(token) = &remote.token else { return };
    let pair = [b"x-access-token:".as_slice(), token.expose()].concat();
    command
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "http.extraHeader")
        .env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {}", STANDARD.encode(pair)));
}

/// Runs the fetch to its end, or until more has come than there is room for. Dropped, it kills git.
async fn run(what: &str, command: Command, directory: &Path, limit: u64) -> Result<(), SourceError> {
    let (running, Pipes { input, output }) = Running::spawn(what, command)?;
    drop(input);
    let mut output = output.take(WORDS_MAX);
    let mut said = Vec::new();
    tokio::select! {
        ended = output.read_to_end(&mut said) => {
            ended.map_err(|error| SourceError::failed(what, error))?;
        }
        error = overflow(what, directory, limit) => return Err(error),
    }
    running.finish(what).await
}

/// Ends when the packs of the repository have grown by more than `limit` bytes.
async fn overflow(what: &str, directory: &Path, limit: u64) -> SourceError {
    let packs = directory.join("objects/pack");
    let before = match size(what, packs.clone()).await {
        Ok(bytes) => bytes,
        Err(error) => return error,
    };
    loop {
        tokio::time::sleep(LOOK).await;
        match size(what, packs.clone()).await {
            Ok(bytes) if bytes.saturating_sub(before) > limit => {
                return SourceError::too_large(
                    "what the remote repository sends",
                    format!("{limit} bytes for this fetch"),
                );
            }
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

/// How many bytes may come: as many as for a push.
async fn room(
    source: &GitSource,
    what: &str,
    repository: &ProjectName,
    directory: &Path,
) -> Result<u64, SourceError> {
    let used = size(what, directory.join("objects")).await?;
    let room = source.quota.as_bytes().saturating_sub(used).min(source.max_push.as_bytes());
    if room == 0 {
        let full = format!("the repository of {repository} with {used} bytes");
        return Err(SourceError::too_large(full, source.quota));
    }
    Ok(room)
}

/// The commit a name leads to here.
async fn find(
    source: &GitSource,
    what: &str,
    directory: &Path,
    ours: &str,
) -> Result<Option<CommitId>, SourceError> {
    let asked = [refs::as_commit(ours)];
    let found = refs::look_up(&source.git, what, directory, &asked).await?;
    // A tag of something else than a commit leads nowhere.
    Ok(found.into_iter().next().flatten().and_then(|(id, _)| id.parse().ok()))
}

/// Removes a branch or tag; an absent one is fine.
async fn remove(source: &GitSource, what: &str, directory: &Path, ours: &str) -> Result<(), SourceError> {
    let mut command = source.git.command_in(directory);
    command.args(["update-ref", "--no-deref", "-d", ours]);
    source.git.run(what, command, b"", WORDS_MAX).await.map(drop)
}

/// Whether git says that there is no such branch or tag. Its words are the same everywhere: it runs with `LC_ALL=C`.
fn is_not_there(error: &SourceError) -> bool {
    match error {
        SourceError::Failed { source, .. } => source.to_string().contains(NOT_THERE),
        _ => false,
    }
}

/// Removes halves of packs. Pushes write theirs elsewhere until they are whole, and one fetch of a repository is at work at most.
pub(super) async fn clear(what: &str, directory: &Path) -> Result<(), SourceError> {
    let packs = directory.join("objects/pack");
    blocking(what, move || clear_now(&packs)).await
}

fn clear_now(packs: &Path) -> io::Result<()> {
    for entry in entries(packs)? {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if !name.starts_with(b"tmp_") && !name.ends_with(b".temp") {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Bytes of all files in a folder.
pub(super) async fn size(what: &str, folder: PathBuf) -> Result<u64, SourceError> {
    blocking(what, move || size_now(folder)).await
}

fn size_now(folder: PathBuf) -> io::Result<u64> {
    let mut bytes = 0_u64;
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            match entry.metadata() {
                Ok(about) if about.is_dir() => folders.push(entry.path()),
                Ok(about) => bytes = bytes.saturating_add(about.len()),
                // Renamed or removed while it was looked at.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

/// What is in a folder; nothing in one that is not there.
fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect(),
    }
}

/// Does something that waits for the disk.
async fn blocking<T: Send + 'static>(
    what: &str,
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(act).await;
    let done = done.map_err(|error| SourceError::failed(what, error))?;
    done.map_err(|error| SourceError::failed(what, error))
}

#[cfg(test)]
mod tests {
    use havre_core::secret::Secret;

    use super::*;

    fn remote(url: &str, addresses: &[&str]) -> Remote {
        Remote {
            url: url.parse().expect("is an address"),
            token: Some(Secret::from("planted-token")),
            addresses: addresses.iter().map(|address| address.parse().expect("is an address")).collect(),
            ssh: None,
        }
    }

    #[test]
    fn what_was_checked_is_what_is_connected_to() {
        let named = remote("https://git.example.org/x.git", &["203.0.113.7", "2001:db8::7"]);
        let settings = settings(&named);
        let resolve = "http.curloptResolve=git.example.org:443:203.0.113.7,[2001:db8::7]";
        assert!(settings.iter().any(|setting| setting == resolve), "{settings:?}");
        assert!(settings.iter().any(|setting| setting == "protocol.https.allow=always"));
        assert!(settings.iter().any(|setting| setting == "http.followRedirects=false"));
        assert!(!settings.iter().any(|setting| setting == "protocol.http.allow=always"));
        let never = settings.iter().position(|setting| setting == "protocol.allow=never");
        let always = settings.iter().position(|setting| setting == "protocol.https.allow=always");
        assert!(never < always && never.is_some());
        for address in ["https://203.0.113.7:8443/x.git", "https://[2001:db8::7]/x.git"] {
            assert_eq!(pin(&remote(address, &[]).url, &[]), None, "{address}");
        }
    }

    #[test]
    fn without_its_keys_nothing_is_fetched_over_ssh() {
        let mut remote = remote("git@git.example.org:x.git", &["203.0.113.7"]);
        let allowed = |remote: &Remote| {
            let all = settings(remote);
            assert!(!all.iter().any(|setting| setting.starts_with("http.curloptResolve")), "{all:?}");
            all.into_iter().filter(|setting| setting.starts_with("protocol.")).collect::<Vec<_>>()
        };
        assert_eq!(allowed(&remote), ["protocol.allow=never", "protocol.https.allow=always"]);
        remote.ssh =
            Some(crate::source::SshAccess { keys: vec![Secret::from("planted")], host_keys: Vec::new() });
        assert_eq!(allowed(&remote), ["protocol.allow=never", "protocol.ssh.allow=always"]);
        assert!(!format!("{remote:?}").contains("planted"));
    }

    #[test]
    fn the_token_is_no_argument() {
        let remote = remote("http://localhost:7070/x.git", &["127.0.0.1"]);
        let mut command = Command::new("git");
        add_arguments(&mut command, &remote, &Refs::same(&"refs/heads/main".parse().expect("is a ref")));
        add_token(&mut command, &remote);
        let command = command.as_std();
        let arguments: Vec<String> =
            command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        assert_eq!(
            arguments[arguments.len() - 3..],
            ["--", "http://localhost:7070/x.git", "+refs/heads/main:refs/heads/main"]
        );
        let encoded = STANDARD.encode("x-access-token:planted-token");
        assert!(
            !arguments.iter().any(|argument| argument.contains(&encoded) || argument.contains("planted"))
        );
        let value =
            command.get_envs().find(|(name, _)| *name == "GIT_CONFIG_VALUE_0").and_then(|(_, value)| value);
        assert_eq!(
            value.and_then(|value| value.to_str()),
            Some(format!("Authorization: Basic {encoded}").as_str())
        );
        assert!(!format!("{remote:?}").contains("planted"));
    }

    #[test]
    fn the_head_of_a_pull_request_gets_a_name_of_ours() {
        let remote = remote("https://git.example.org/x.git", &["203.0.113.7"]);
        let number = "7".parse().expect("is a number");
        let mut command = Command::new("git");
        let pull = Pull { number, at: havre_core::source::HeadAt::MergeRequest };
        add_arguments(&mut command, &remote, &Refs::of(&pull));
        let last = command.as_std().get_args().last().map(|argument| argument.to_string_lossy().into_owned());
        assert_eq!(last.as_deref(), Some("+refs/merge-requests/7/head:refs/havre/pull/7"));
    }

    #[test]
    fn a_branch_that_is_gone_is_told_from_a_failure() {
        let failed = |words: &str| SourceError::failed("fetch x", io::Error::other(words.to_owned()));
        let gone = "git ended with exit status: 128: fatal: couldn't find remote ref refs/heads/x";
        assert!(is_not_there(&failed(gone)));
        assert!(!is_not_there(&failed("fatal: Authentication failed for 'https://a.org/x.git/'")));
        assert!(!is_not_there(&SourceError::Cancelled));
    }

    #[test]
    fn halves_of_packs_are_counted_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let packs = folder.path().join("pack");
        assert_eq!(size_now(packs.clone()).expect("is absent"), 0);
        clear_now(&packs).expect("is absent");
        fs::create_dir(&packs).expect("a folder");
        for name in ["pack-1.pack", "tmp_pack_x", "pack-2.pack.temp"] {
            fs::write(packs.join(name), "12345").expect("a file");
        }
        assert_eq!(size_now(folder.path().to_owned()).expect("is there"), 15);
        clear_now(&packs).expect("can be removed");
        assert_eq!(size_now(packs).expect("is there"), 5);
    }
}
