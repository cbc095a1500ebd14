//! Chooses the answer of a site to one request. It opens files through `folder` and writes nothing.
//! Tests: `tests/it/site.rs`.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tracing::error;

use super::condition::{self, Part};
use super::folder::{Entry, Folder, is_full};
use super::path::SitePath;
use super::reply::{Body, LinesWriter, Reply};
use super::{Site, SiteAnswer, SiteRequest, kind};
use crate::page::Trouble;

/// All published sites of this machine and the memory of their small files.
#[derive(Debug)]
pub struct Sites {
    dir: PathBuf,
    folders: RwLock<HashMap<String, Arc<Folder>>>,
    memory: Arc<AtomicUsize>,
}

/// A file that was found, and the name that says what it is.
struct Chosen {
    relative: String,
    entry: Entry,
}

impl Sites {
    /// Sites below `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, folders: RwLock::default(), memory: Arc::default() }
    }

    /// The answer of `site`. Blocks for at most three opened files and one read of 32 KB.
    pub fn answer(&self, site: &Site, request: &SiteRequest<'_>) -> SiteAnswer {
        if request.method != "GET" && request.method != "HEAD" {
            return trouble(Trouble::SiteMethod);
        }
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.target, None),
        };
        let Some(below) = path.strip_prefix(site.prefix.as_str()) else { return trouble(Trouble::NoFile) };
        if below.is_empty() {
            return redirect(path, query);
        }
        let answer = self.folder(site).and_then(|folder| match SitePath::parse(below) {
            Some(wanted) => self.look(site, &folder, &wanted).map(|found| (folder, found)),
            None => Ok((folder, Look::Nothing)),
        });
        match answer {
            Ok((_, Look::File(chosen))) => whole(site, request, chosen, 200),
            Ok((_, Look::MissingSlash)) => redirect(path, query),
            Ok((folder, Look::Nothing)) => self.not_found(site, request, &folder),
            Err(problem) => {
                site.complain(&problem);
                trouble(Trouble::SiteUnreadable)
            }
        }
    }

    /// Drops folders and memory of sites that `is_wanted` does not name. Called after a swap.
    pub fn retain(&self, is_wanted: impl Fn(&str) -> bool) {
        let mut folders = self.folders.write().unwrap_or_else(PoisonError::into_inner);
        folders.retain(|digest, _| is_wanted(digest));
    }

    fn folder(&self, site: &Site) -> io::Result<Arc<Folder>> {
        if let Some(folder) = self.folders.read().unwrap_or_else(PoisonError::into_inner).get(&site.digest) {
            return Ok(Arc::clone(folder));
        }
        let folder = Arc::new(Folder::open(&self.dir.join(&site.digest), Arc::clone(&self.memory))?);
        let mut folders = self.folders.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(folders.entry(site.digest.clone()).or_insert(folder)))
    }

    fn look(&self, site: &Site, folder: &Folder, wanted: &SitePath) -> io::Result<Look> {
        let index = if wanted.relative.is_empty() {
            "index.html".to_owned()
        } else {
            format!("{}/index.html", wanted.relative)
        };
        if wanted.is_folder {
            if let Some(chosen) = self.find(folder, index)? {
                return Ok(Look::File(chosen));
            }
        } else {
            match folder.find(&wanted.relative)? {
                Entry::Missing => {}
                Entry::Folder => {
                    if self.find(folder, index)?.is_some() {
                        return Ok(Look::MissingSlash);
                    }
                }
                entry => return Ok(Look::File(self.chosen(wanted.relative.clone(), entry))),
            }
        }
        if site.spa
            && !wanted.name().contains('.')
            && !wanted.is_well_known()
            && let Some(chosen) = self.find(folder, "index.html".to_owned())?
        {
            return Ok(Look::File(chosen));
        }
        Ok(Look::Nothing)
    }

    fn find(&self, folder: &Folder, relative: String) -> io::Result<Option<Chosen>> {
        match folder.find(&relative)? {
            Entry::Missing | Entry::Folder => Ok(None),
            entry => Ok(Some(self.chosen(relative, entry))),
        }
    }

    /// Starts the memory afresh when it is full: rare, and simpler than knowing which file is used least.
    fn chosen(&self, relative: String, entry: Entry) -> Chosen {
        if is_full(&self.memory) {
            for folder in self.folders.read().unwrap_or_else(PoisonError::into_inner).values() {
                folder.forget();
            }
        }
        Chosen { relative, entry }
    }

    /// The site's own `404.html` where it has one.
    fn not_found(&self, site: &Site, request: &SiteRequest<'_>, folder: &Folder) -> SiteAnswer {
        match self.find(folder, "404.html".to_owned()) {
            Ok(Some(chosen)) => {
                // A condition or a range is about the page that was asked for, not about this one.
                let bare =
                    SiteRequest { method: request.method, target: request.target, ..Default::default() };
                whole(site, &bare, chosen, 404)
            }
            Ok(None) => trouble(Trouble::NoFile),
            Err(problem) => {
                site.complain(&problem);
                trouble(Trouble::NoFile)
            }
        }
    }
}

/// What a path leads to.
enum Look {
    File(Chosen),
    /// A folder with an index, asked for without its slash.
    MissingSlash,
    Nothing,
}

fn trouble(trouble: Trouble) -> SiteAnswer {
    SiteAnswer::Trouble(trouble, Default::default())
}

fn redirect(path: &str, query: Option<&str>) -> SiteAnswer {
    // The location is a header: only what a request line may carry. A second slash at its start would be
    // another host.
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !is_plain(path) || !query.is_none_or(is_plain) || path.starts_with("//") {
        return trouble(Trouble::NoFile);
    }
    let location = match query {
        Some(query) => format!("{path}/?{query}"),
        None => format!("{path}/"),
    };
    let lines = LinesWriter::new().push("Location", &location).finish();
    SiteAnswer::Ready(Reply { status: 301, lines, body: Body::Bytes(Bytes::new()) })
}

fn whole(site: &Site, request: &SiteRequest<'_>, chosen: Chosen, status: u16) -> SiteAnswer {
    let name = chosen.relative.rsplit('/').next().unwrap_or("");
    let etag = etag(site, &chosen.relative);
    let cache_control = if status == 200 { kind::cache_control(name) } else { kind::REVALIDATE };
    if request.if_none_match.is_some_and(|tags| condition::matches(tags, &etag)) {
        let lines = LinesWriter::new().push("ETag", &etag).push("Cache-Control", cache_control).finish();
        return SiteAnswer::Ready(Reply { status: 304, lines, body: Body::None });
    }
    let size = match &chosen.entry {
        Entry::Small(body) => body.len() as u64,
        Entry::Large(_, size) => *size,
        Entry::Folder | Entry::Missing => return trouble(Trouble::NoFile),
    };
    let is_same = request.if_range.is_none_or(|tag| tag.trim() == etag);
    let range = request.range.filter(|_| request.method == "GET" && is_same);
    let (offset, length, is_part) = match range.map_or(Part::Whole, |range| condition::part(range, size)) {
        Part::Whole => (0, size, false),
        Part::Bytes { offset, length } => (offset, length, true),
        Part::OutOfRange => {
            let lines = LinesWriter::new().push("Content-Range", &format!("bytes */{size}")).finish();
            return SiteAnswer::Trouble(Trouble::Range, lines);
        }
    };
    let mut lines = LinesWriter::new();
    lines
        .push("Content-Type", kind::content_type(name))
        .push("ETag", &etag)
        .push("Cache-Control", cache_control);
    if is_part {
        lines.push("Content-Range", &format!("bytes {offset}-{}/{size}", offset + length - 1));
    }
    lines.push("Accept-Ranges", "bytes").push("X-Content-Type-Options", "nosniff");
    let body = match chosen.entry {
        Entry::Small(body) => {
            let start = usize::try_from(offset).unwrap_or(0);
            let end = start + usize::try_from(length).unwrap_or(0);
            Body::Bytes(body.slice(start..end))
        }
        Entry::Large(file, _) => Body::File { file: Arc::new(file), offset, length },
        Entry::Folder | Entry::Missing => return trouble(Trouble::NoFile),
    };
    SiteAnswer::Ready(Reply { status: if is_part { 206 } else { status }, lines: lines.finish(), body })
}

/// Strong: a digest names one content for ever, and the name one file of it.
fn etag(site: &Site, relative: &str) -> String {
    // FNV-1a: an entity tag distinguishes files of one address, it does not resist anyone.
    let hash = relative
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("\"{}-{hash:016x}\"", site.digest.get(..16).unwrap_or(&site.digest))
}

impl Site {
    /// Says once for each site and table why it cannot be read; requests can come by the thousand.
    fn complain(&self, problem: &io::Error) {
        if !self.complained.swap(true, std::sync::atomic::Ordering::Relaxed) {
            error!(site = %self.name, digest = %self.digest, %problem, "cannot read files of site");
        }
    }
}
