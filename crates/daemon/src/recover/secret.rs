//! Secrets for `havred recover`, from files, from a terminal that shows nothing, or from standard input. Never from an argument, where every
//! process of the machine could see them. Tests at the end of the file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use havre_core::backup::credential;
use havre_core::backup::location::Location;
use havre_core::secret::Secret;
use havre_store::MasterKey;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// More than any secret has.
const SECRET_MAX: u64 = 32 * 1024;

/// Puts the terminal back as it was.
struct Silence(Termios);

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone cannot be put back.
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, &self.0);
    }
}

fn silence() -> io::Result<Silence> {
    let before = tcgetattr(io::stdin().as_fd())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, &silent)?;
    Ok(Silence(before))
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SECRET_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The password of the repository.
pub(super) fn password(file: Option<&Path>) -> anyhow::Result<Secret> {
    let text = match file {
        Some(path) => read_file(path).with_context(|| format!("read the password in {}", path.display()))?,
        None => ask().context("read the password of the repository")?,
    };
    let text = text.trim();
    if text.is_empty() {
        bail!("there is no password: it stands in the recovery kit, and its dashes are part of it");
    }
    Ok(Secret::from(text))
}

fn ask() -> io::Result<String> {
    let mut line = String::new();
    if !io::stdin().is_terminal() {
        io::stdin().lock().take(SECRET_MAX).read_line(&mut line)?;
        return Ok(line);
    }
    eprint!("password of the repository, with its dashes (it is not shown): ");
    let _silence = silence()?;
    io::stdin().lock().take(SECRET_MAX).read_line(&mut line)?;
    eprintln!();
    Ok(line)
}

/// What proves who reads there; a folder needs nothing.
pub(super) fn credential(location: &Location, file: Option<&Path>) -> anyhow::Result<Option<Secret>> {
    if !location.needs_credential() {
        return Ok(None);
    }
    let Some(path) = file else {
        bail!(
            "{location} needs --credential-file: the two keys of the bucket in two lines, or the private key for SSH"
        );
    };
    let text = read_file(path).with_context(|| format!("read the credential in {}", path.display()))?;
    let parsed = credential::parse(location, &Secret::from(text));
    Ok(Some(parsed.with_context(|| format!("read the credential in {}", path.display()))?))
}

/// The master key of the old server: that of a file, which is put to its place unless `is_dry`, or the one that is there.
pub(super) fn master_key(place: &Path, given: Option<&Path>, is_dry: bool) -> anyhow::Result<MasterKey> {
    let Some(given) = given else {
        return MasterKey::load(place).with_context(|| {
            format!("without the master key of the old server nothing sealed comes back; put it to {} for this user only, or \
                 say --master-key-file", place.display())
        });
    };
    let key = MasterKey::load(given)?;
    if place.try_exists().with_context(|| format!("look for {}", place.display()))? {
        let there = MasterKey::load(place)?;
        if there.name() != key.name() {
            bail!(
                "{} is another master key ({}) than the one in {} ({}), and none is ever replaced: if this server is new, move it away",
                place.display(),
                there.name(),
                given.display(),
                key.name()
            );
        }
    } else if !is_dry {
        put(given, place).with_context(|| {
            let (given, place) = (given.display(), place.display());
            format!(
                "put the master key to {place}; as root: install -o havre -g havre -m 0600 {given} {place}"
            )
        })?;
    }
    Ok(key)
}

fn put(given: &Path, place: &Path) -> io::Result<()> {
    let text = Secret::from(read_file(given)?);
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
    file.write_all(text.expose())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_line_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "0w3g-e1r7\n").unwrap();
        assert_eq!(password(Some(&path)).unwrap().expose_text(), Some("0w3g-e1r7"));
        std::fs::write(&path, "\n").unwrap();
        assert!(password(Some(&path)).is_err());
        assert!(password(Some(&folder.path().join("missing"))).is_err());
    }

    #[test]
    fn a_key_is_put_to_its_place_and_never_over_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let key = MasterKey::create(&at("copy")).unwrap();
        let place = at("etc/master.key");
        assert!(master_key(&place, None, false).is_err());
        master_key(&place, Some(&at("copy")), true).unwrap();
        assert!(!place.exists());
        for _ in 0..2 {
            assert_eq!(master_key(&place, Some(&at("copy")), false).unwrap().name(), key.name());
            assert_eq!(MasterKey::load(&place).unwrap().name(), key.name());
        }
        MasterKey::create(&at("other")).unwrap();
        let error = master_key(&place, Some(&at("other")), false).unwrap_err();
        assert!(error.to_string().contains("another master key"), "{error}");
        assert_eq!(MasterKey::load(&place).unwrap().name(), key.name());
    }
}
