//! `havred recover`: Havre itself comes back on an empty server, out of a repository of backups. Wiring only: what becomes of each row is
//! decided in `havre_rescue::rebuild`. Until its last step there is no store, so that whatever ends it, it can be begun again.
//! Tests: `tests/it/rebuild.rs`, and at the end of the file.

mod options;
mod secret;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use havre_backup::{Repository, Snapshot};
use havre_core::backup::What;
use havre_core::backup::target::OpenTarget;
use havre_core::event::Actor;
use havre_data::backup::owner::claim;
use havre_data::backup::unpack::{CONFIG, STORE as SAVED_STORE, fetch, unpack};
use havre_reconcile::clock::{Clock as _, SystemClock};
use havre_reconcile::repositories::Repositories as _;
use havre_rescue::owner::{Claim, Owner};
use havre_rescue::rebuild::{Saved, Seen, alive, left, plan};
use havre_rescue::restore::choose_of;
use havre_store::rebuild::{check_file, settle_file};
use havre_store::{MasterKey, NewRecovery, Store};

pub(crate) use options::Options;

use crate::config::ControlConfig;
use crate::control::{STORE, store_options};
use crate::entropy;
use crate::repositories::Places;

/// Folder in which it is made ready, inside of the one of the data.
const WORK: &str = "recover";
/// Where the configuration of the old server is put, to be compared.
const OLD_CONFIG: &str = "recovered-etc";

/// Brings Havre back. `path` is where the configuration lies.
pub(crate) fn run(config: &ControlConfig, path: &Path, options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(recover(config, path, options))
}

async fn recover(config: &ControlConfig, path: &Path, options: &Options) -> anyhow::Result<()> {
    let repository = open(options).await?;
    let listed = repository.list().await?;
    let saved = platforms(&listed);
    if options.list {
        print_list(&saved);
        return Ok(());
    }
    let wanted = options.wanted();
    let chosen = choose_of(&saved, &wanted, |one| (one.at, &one.snapshot));
    let chosen = chosen.context("choose a state of Havre in this repository (`--list` shows them)")?;
    println!("the state of {} (snapshot {})", chosen.at, chosen.snapshot.short());
    check_alive(&listed, options)?;
    check_empty(&config.data_dir)?;
    let key = secret::master_key(&config.master_key, options.master_key_file.as_deref(), options.dry_run)?;
    let _lock = lock(&config.data_dir)?;
    let work = Work::begin(config)?;
    work.bring(repository.as_ref(), chosen).await?;
    if options.dry_run {
        return work.rehearse(key).await;
    }
    let seen = work.settle(key, repository.as_ref(), chosen).await?;
    work.finish()?;
    print_left(config, path, &seen);
    Ok(())
}

async fn open(options: &Options) -> anyhow::Result<Arc<dyn Repository>> {
    let location = options.location()?;
    let credential = secret::credential(&location, options.credential_file.as_deref())?;
    let password = secret::password(options.password_file.as_deref())?;
    let repository = Places.at(&OpenTarget { location, repository: None, password, credential })?;
    let id = repository.open().await?;
    if let Some(wanted) = options.repository.as_ref().filter(|wanted| **wanted != id) {
        bail!("the repository there is {id}, and not {wanted}: is this the right recovery kit?");
    }
    println!("repository {id}");
    Ok(repository)
}

/// States of Havre, newest first.
fn platforms(listed: &[Snapshot]) -> Vec<Saved> {
    let key = What::Platform.key();
    let ours = listed.iter().filter(|one| one.tags.iter().any(|tag| tag.as_str() == key));
    let mut saved: Vec<Saved> = ours
        .map(|one| Saved { snapshot: one.id.clone(), at: one.at, content: one.content.clone() })
        .collect();
    saved.sort_by_key(|one| std::cmp::Reverse(one.at));
    saved
}

fn print_list(saved: &[Saved]) {
    for one in saved {
        println!("{}  {}  {} bytes", one.snapshot.short(), one.at, one.content.bytes);
    }
    if saved.is_empty() {
        println!("there is no state of Havre in this repository");
    }
}

/// Two servers that write to one repository, and answer to the same names, are worse than none.
fn check_alive(listed: &[Snapshot], options: &Options) -> anyhow::Result<()> {
    let is_claim = |one: &&Snapshot| one.tags.iter().any(|tag| Owner::of_tag(tag.as_str()).is_some());
    let newest = listed.iter().filter(|one| !is_claim(one)).map(|one| one.at).max();
    let Some(ago) = alive(newest, SystemClock.now()) else { return Ok(()) };
    let text = format!(
        "something was saved in this repository {} minutes ago: the old server may still be alive. Switch it off, or stop Havre there",
        ago.as_millis() / 60_000
    );
    if options.old_server_is_gone {
        return Ok(());
    }
    if options.dry_run {
        println!("{text}; then say --old-server-is-gone");
        return Ok(());
    }
    bail!("{text}; then say --old-server-is-gone")
}

/// Nothing is ever put over a store, and nothing is made that its control could not read.
fn check_empty(data_dir: &Path) -> anyhow::Result<()> {
    make_folder(data_dir).with_context(|| format!("make the folder {}", data_dir.display()))?;
    let about = fs::metadata(data_dir).with_context(|| format!("look at {}", data_dir.display()))?;
    let user = rustix::process::geteuid().as_raw();
    if about.uid() != user {
        bail!(
            "{} belongs to user {}, and this runs as {user}: run it as that user, such as by `runuser -u havre -- havred recover ...`",
            data_dir.display(),
            about.uid()
        );
    }
    for name in [STORE.to_owned(), format!("{STORE}-wal"), format!("{STORE}-journal")] {
        let path = data_dir.join(name);
        if path.try_exists().with_context(|| format!("look for {}", path.display()))? {
            bail!(
                "{} is there, and nothing is put over a store. If this server is new and its store is of no use: stop Havre \
                 (systemctl stop havred-control havred-edge), move every {STORE}* of {} away, and begin again",
                path.display(),
                data_dir.display()
            );
        }
    }
    Ok(())
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(path)
}

/// One of it at a time.
fn lock(data_dir: &Path) -> anyhow::Result<fs::File> {
    let path = data_dir.join("recover.lock");
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("another `havred recover` is at work in {}", data_dir.display());
    }
    Ok(file)
}

/// A folder in which the state is made ready. It goes whatever happens; one that `kill -9` has left goes at the next begin.
struct Work<'a> {
    config: &'a ControlConfig,
    folder: PathBuf,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, path = %self.folder.display(), "could not remove what is left of it; remove it by hand");
        }
    }
}

impl<'a> Work<'a> {
    fn begin(config: &'a ControlConfig) -> anyhow::Result<Self> {
        let folder = config.data_dir.join(WORK);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", folder.display()));
            }
            _ => {}
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("new"));
        made.with_context(|| format!("make the folder {}", folder.display()))?;
        Ok(Self { config, folder })
    }

    fn store(&self) -> PathBuf {
        self.folder.join("new").join(SAVED_STORE)
    }

    /// Fetches the state, compares it, unpacks it, and reads the whole store.
    async fn bring(&self, repository: &dyn Repository, saved: &Saved) -> anyhow::Result<()> {
        let tar = self.folder.join("platform.tar");
        fetch(repository, saved, &tar).await?;
        let config = unpack(&tar, &self.folder.join("new"))?;
        fs::remove_file(&tar).with_context(|| format!("remove {}", tar.display()))?;
        check_file(&self.store())?;
        println!(
            "{} bytes are what was saved; the store is sound; {} configuration files",
            saved.content.bytes,
            config.len()
        );
        Ok(())
    }

    fn open(&self, key: MasterKey) -> anyhow::Result<Store> {
        let options = store_options(self.config, self.store(), Some(key))?;
        Store::open(options).context("open the store that came back")
    }

    /// Says what would come of it.
    async fn rehearse(&self, key: MasterKey) -> anyhow::Result<()> {
        let seen = self.open(key)?.read(|view| view.see_recovered()).await?;
        println!("nothing was changed. This would be done:");
        for step in plan(&seen) {
            println!("- {step}");
        }
        print_numbered(&left(&seen));
        Ok(())
    }

    /// Makes its rows true of this server, and its repository that of this Havre.
    async fn settle(
        &self,
        key: MasterKey,
        repository: &dyn Repository,
        saved: &Saved,
    ) -> anyhow::Result<Seen> {
        let store = self.open(key)?;
        let (now, owner) = (SystemClock.now(), entropy::name().parse::<Owner>()?);
        let new = NewRecovery { owner: owner.clone(), snapshot: saved.snapshot.clone(), saved_at: saved.at };
        let seen = store.write(now, Actor::Havre, move |tx| tx.settle_recovered(&new)).await?;
        drop(store);
        settle_file(&self.store())?;
        say_claim(repository, &Claim { owner, at: now }).await;
        Ok(seen)
    }

    /// The store gets its name, which is the last step: from now on Havre is back.
    fn finish(&self) -> anyhow::Result<()> {
        let data_dir = &self.config.data_dir;
        let (old, new) = (data_dir.join(OLD_CONFIG), self.folder.join("new").join(CONFIG));
        let context = || format!("put the configuration of the old server to {}", old.display());
        if new.try_exists().with_context(context)? {
            match fs::remove_dir_all(&old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(context);
                }
                _ => {}
            }
            fs::rename(&new, &old).with_context(context)?;
        }
        let path = data_dir.join(STORE);
        // Unlike a rename, never over one that came meanwhile.
        let linked = fs::hard_link(self.store(), &path);
        linked.with_context(|| format!("give the store its name {}", path.display()))?;
        let synced = fs::File::open(data_dir).and_then(|folder| folder.sync_all());
        synced.with_context(|| format!("keep {}", path.display()))
    }
}

/// One that cannot be said now is said by control, before it removes anything there.
async fn say_claim(repository: &dyn Repository, ours: &Claim) {
    if let Err(error) = claim(repository, ours).await {
        eprintln!(
            "havred: could not say in the repository that this Havre uses it now: {error}; control does it later"
        );
    }
}

fn print_numbered(lines: &[String]) {
    for (number, line) in (1..).zip(lines) {
        println!("{number}. {line}");
    }
}

fn print_left(config: &ControlConfig, path: &Path, seen: &Seen) {
    let old = config.data_dir.join(OLD_CONFIG);
    println!("\nHavre is back. What is left to do:\n");
    let mut lines = vec![
        format!(
            "Compare the configuration of the old server, which is in {}, with {}, and take over what still holds: addresses, pools, \
             secrets of CDNs.",
            old.display(),
            path.display()
        ),
        "Start Havre: systemctl enable --now havred-edge.socket havred-edge-tls.socket havred-guard havred-control havred-edge"
            .to_owned(),
    ];
    lines.extend(left(seen));
    lines.push("Look whether backups go on: `havre backup status`. Never start the old server again beside this one.".to_owned());
    print_numbered(&lines);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_put_over_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        check_empty(&data).unwrap();
        for name in [STORE.to_owned(), format!("{STORE}-wal")] {
            fs::write(data.join(&name), "x").unwrap();
            let error = check_empty(&data).unwrap_err();
            assert!(error.to_string().contains("nothing is put over a store"), "{error}");
            fs::remove_file(data.join(name)).unwrap();
        }
        check_empty(&data).unwrap();
    }

    #[test]
    fn one_of_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        assert!(lock(folder.path()).is_err());
        drop(held);
        lock(folder.path()).unwrap();
    }
}
