//! Chooses the answer of a site to one request, from memory alone; what needs the disk is handed back as [`Cold`] for a
//! thread that may wait. It writes nothing. Tests: `tests/it/site.rs`.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use havre_http::page::Trouble;
use havre_http::site::condition::{self, Part};
use havre_http::site::encoding;
use havre_http::site::path::SitePath;
use havre_site::pattern::encode;
use havre_site::redirects::Outcome;
use tracing::error;

use super::folder::{Budget, Folder, Kept};
use super::headers::{Sent, lines};
use super::index::File;
use super::look::{Look, look};
use super::reply::{Body, Cold, Lines, LinesWriter, Reply};
use super::{Site, SiteAnswer, SiteRequest};
use havre_http::site::kind;

/// All published sites of this machine and the memory of their small files. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sites {
    dir: Arc<PathBuf>,
    folders: Arc<RwLock<HashMap<String, Arc<Folder>>>>,
    budget: Arc<Budget>,
}

/// Whether this thread may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    Never,
    Allowed,
}

/// Why there is no answer yet.
enum Miss {
    /// It is not in memory.
    Cold,
    /// It cannot be read.
    Broken(io::Error),
}

impl From<io::Error> for Miss {
    fn from(problem: io::Error) -> Self {
        Self::Broken(problem)
    }
}

/// One request on its way through a site.
struct Asked<'a> {
    site: &'a Site,
    request: &'a SiteRequest<'a>,
    /// Path below the site, decoded, without a slash at its end.
    path: &'a str,
    query: Option<&'a str>,
    disk: Disk,
}

impl Sites {
    /// Sites below `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir: Arc::new(dir), folders: Arc::default(), budget: Arc::default() }
    }

    /// The answer of `site`. Never waits.
    pub fn answer(&self, site: &Arc<Site>, request: &SiteRequest<'_>) -> SiteAnswer {
        match self.try_answer(site, request, Disk::Never) {
            Ok(answer) => answer,
            Err(Miss::Cold) => SiteAnswer::Cold(Box::new(Cold::new(self.clone(), Arc::clone(site), request))),
            Err(Miss::Broken(problem)) => complain(site, &problem),
        }
    }

    /// The same on a thread that may wait for the disk.
    pub(super) fn answer_from_disk(&self, site: &Site, request: &SiteRequest<'_>) -> SiteAnswer {
        match self.try_answer(site, request, Disk::Allowed) {
            Ok(answer) => answer,
            Err(Miss::Cold) => trouble(Trouble::SiteUnreadable),
            Err(Miss::Broken(problem)) => complain(site, &problem),
        }
    }

    /// Drops folders and memory of sites that `is_wanted` does not name. Called after a swap.
    pub fn retain(&self, is_wanted: impl Fn(&str) -> bool) {
        let mut folders = self.folders.write().unwrap_or_else(PoisonError::into_inner);
        folders.retain(|digest, _| is_wanted(digest));
    }

    /// Reads the list of files of a site whose release before it was asked for, so that nobody waits for it after the
    /// switch. Blocks.
    pub fn prepare(&self, site: &Site) {
        let is_known = |digest: &String| {
            self.folders.read().unwrap_or_else(PoisonError::into_inner).contains_key(digest)
        };
        if site.earlier.iter().any(|earlier| is_known(&earlier.digest))
            && let Err(Miss::Broken(problem)) = self.folder(&site.digest, Disk::Allowed)
        {
            complain(site, &problem);
        }
    }

    fn try_answer(&self, site: &Site, request: &SiteRequest<'_>, disk: Disk) -> Result<SiteAnswer, Miss> {
        if request.method != "GET" && request.method != "HEAD" {
            return Ok(trouble(Trouble::SiteMethod));
        }
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.target, None),
        };
        let Some(below) = path.strip_prefix(site.prefix.as_str()) else {
            return Ok(trouble(Trouble::NoFile));
        };
        if below.is_empty() {
            return Ok(redirect(301, &with_query(format!("{path}/"), query)));
        }
        let folder = self.folder(&site.digest, disk)?;
        let asked = Asked { site, request, path: "/", query, disk };
        let Some(wanted) = SitePath::parse(below) else { return self.not_found(&asked, &folder) };
        let decoded = format!("/{}", wanted.relative);
        self.choose(&Asked { path: &decoded, ..asked }, &folder, &wanted)
    }

    fn choose(&self, asked: &Asked<'_>, folder: &Folder, wanted: &SitePath) -> Result<SiteAnswer, Miss> {
        let site = asked.site;
        let rule = folder.index.redirect(asked.path, asked.query);
        if let Some((true, outcome)) = rule {
            return self.obey(asked, folder, outcome);
        }
        match look(|name| folder.index.has(name), site.addresses, wanted) {
            Look::File(name) => return self.send(asked, folder, &name, 200),
            Look::At(address) => {
                let location = format!("{}{}", site.prefix, encode(&address));
                return Ok(redirect(301, &with_query(location, asked.query)));
            }
            Look::Nothing => {}
        }
        if let Some((_, outcome)) = rule {
            return self.obey(asked, folder, outcome);
        }
        if let Some(answer) = self.earlier(asked, wanted)? {
            return Ok(answer);
        }
        let is_page = !wanted.name().contains('.') && !wanted.is_well_known();
        if site.spa && is_page && folder.index.has("index.html") {
            return self.send(asked, folder, "index.html", 200);
        }
        self.not_found(asked, folder)
    }

    /// Does what a rule of `_redirects` says.
    fn obey(&self, asked: &Asked<'_>, folder: &Folder, outcome: Outcome) -> Result<SiteAnswer, Miss> {
        let (status, path) = match outcome {
            Outcome::Redirect { status, location } if location.starts_with('/') => {
                return Ok(redirect(status, &format!("{}{location}", asked.site.prefix)));
            }
            Outcome::Redirect { status, location } => return Ok(redirect(status, &location)),
            Outcome::Rewrite { status, path } => (status, path),
        };
        // The path is decoded already; only what is plainly a name of a file goes on.
        let Some(wanted) = SitePath::parse(&encode(&path)) else { return self.not_found(asked, folder) };
        let addresses = super::Addresses::default();
        let found = match look(|name| folder.index.has(name), addresses, &wanted) {
            // A rewrite has no second try: what it means is served where it was asked for.
            Look::At(address) => SitePath::parse(&encode(&address))
                .map_or(Look::Nothing, |wanted| look(|name| folder.index.has(name), addresses, &wanted)),
            found => found,
        };
        match found {
            Look::File(name) => self.send(asked, folder, &name, status),
            Look::At(_) | Look::Nothing => self.not_found(asked, folder),
        }
    }

    /// A file of a release that was live a short while ago: a page that is still open asks for the parts it was made of.
    /// Pages themselves are not kept alive.
    fn earlier(&self, asked: &Asked<'_>, wanted: &SitePath) -> Result<Option<SiteAnswer>, Miss> {
        if asked.site.earlier.is_empty() || wanted.is_folder || kind::is_page(&wanted.relative) {
            return Ok(None);
        }
        let now = now_millis();
        for earlier in asked.site.earlier.iter().filter(|earlier| earlier.until > now) {
            let folder = match self.folder(&earlier.digest, asked.disk) {
                Ok(folder) => folder,
                Err(Miss::Cold) => return Err(Miss::Cold),
                // The live release goes on without the old one.
                Err(Miss::Broken(_)) => continue,
            };
            if folder.index.has(&wanted.relative) {
                return self.send(asked, &folder, &wanted.relative, 200).map(Some);
            }
        }
        Ok(None)
    }

    /// The site's own `404.html`, the nearest one above the path.
    fn not_found(&self, asked: &Asked<'_>, folder: &Folder) -> Result<SiteAnswer, Miss> {
        let mut above = asked.path.trim_start_matches('/');
        loop {
            above = above.rsplit_once('/').map_or("", |(above, _)| above);
            let page = if above.is_empty() { "404.html".to_owned() } else { format!("{above}/404.html") };
            if folder.index.has(&page) {
                return self.send(asked, folder, &page, 404);
            }
            if above.is_empty() {
                return Ok(trouble(Trouble::NoFile));
            }
        }
    }

    fn folder(&self, digest: &str, disk: Disk) -> Result<Arc<Folder>, Miss> {
        if let Some(folder) = self.folders.read().unwrap_or_else(PoisonError::into_inner).get(digest) {
            return Ok(Arc::clone(folder));
        }
        if disk == Disk::Never {
            return Err(Miss::Cold);
        }
        let folder = Arc::new(Folder::open(&self.dir, digest, Arc::clone(&self.budget))?);
        let mut folders = self.folders.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(folders.entry(digest.to_owned()).or_insert(folder)))
    }

    fn send(&self, asked: &Asked<'_>, folder: &Folder, path: &str, status: u16) -> Result<SiteAnswer, Miss> {
        let Some(file) = folder.index.get(path) else { return Ok(trouble(Trouble::NoFile)) };
        let encoding = encoding::choose(asked.request.accept_encoding, file.made);
        let rules = folder.index.header_rules(asked.path);
        let sent = Sent { site: asked.site, index: &folder.index, path, file, encoding, rules: &rules };
        let kept = self.ready(folder, &sent, asked.disk)?;
        Ok(match status {
            200 => conditional(asked, &kept, &folder.index.modified),
            // A condition or a range is about the page that was asked for, not about this one.
            status => SiteAnswer::Ready(Reply { status, lines: kept.lines.clone(), body: kept.body.clone() }),
        })
    }

    /// The representation in memory; from disk where that is allowed.
    fn ready(&self, folder: &Folder, sent: &Sent<'_>, disk: Disk) -> Result<Arc<Kept>, Miss> {
        let place = File::place(sent.encoding);
        let before = sent.file.kept[place].load_full();
        let body = match before {
            Some(kept) if *kept.rules == *sent.rules && kept.cdn == sent.site.cdn => return Ok(kept),
            Some(kept) => kept.body.clone(),
            None if disk == Disk::Never => return Err(Miss::Cold),
            None => {
                self.make_room();
                folder.load(sent.path, sent.file, sent.encoding)?
            }
        };
        let (lines, short) = lines(sent, &folder.digest);
        let kept =
            Arc::new(Kept { rules: sent.rules.into(), cdn: sent.site.cdn.clone(), lines, short, body });
        folder.keep(sent.file, sent.encoding, Arc::clone(&kept));
        Ok(kept)
    }

    /// Starts the memory afresh when it is full: rare, and simpler than knowing which file is used least.
    fn make_room(&self) {
        if self.budget.is_full() {
            for folder in self.folders.read().unwrap_or_else(PoisonError::into_inner).values() {
                folder.forget();
            }
        }
    }
}

/// Milliseconds since 1970. Asked only for files the live release does not have.
fn now_millis() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn trouble(trouble: Trouble) -> SiteAnswer {
    SiteAnswer::Trouble(trouble, Lines::default())
}

/// Says once for each site and table why it cannot be read; requests can come by the thousand.
fn complain(site: &Site, problem: &io::Error) -> SiteAnswer {
    if !site.complained.swap(true, std::sync::atomic::Ordering::Relaxed) {
        error!(site = %site.name, digest = %site.digest, %problem, "cannot read files of site");
    }
    trouble(Trouble::SiteUnreadable)
}

fn with_query(mut location: String, query: Option<&str>) -> String {
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    location
}

fn redirect(status: u16, location: &str) -> SiteAnswer {
    // The location is a header: only what a request line may carry. A second slash at its start would be
    // another host.
    let is_plain = location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !is_plain || location.starts_with("//") {
        return trouble(Trouble::NoFile);
    }
    // Without the second line browsers keep a 301 for ever, whatever the next release says.
    let lines =
        LinesWriter::new().push("Location", location).push("Cache-Control", kind::REVALIDATE).finish();
    SiteAnswer::Ready(Reply { status, lines, body: Body::Bytes(Bytes::new()) })
}

/// 200, 206, 304 or 416, by the conditions of the request.
fn conditional(asked: &Asked<'_>, kept: &Kept, modified: &str) -> SiteAnswer {
    let request = asked.request;
    let etag = kept.lines.find("ETag");
    let is_same = match (request.if_none_match, request.if_modified_since) {
        (Some(tags), _) => condition::matches(tags, etag),
        // Exactly the date we gave: after a rollback an older date means other bytes.
        (None, Some(date)) => date.trim() == modified,
        (None, None) => false,
    };
    if is_same {
        return SiteAnswer::Ready(Reply { status: 304, lines: kept.short.clone(), body: Body::None });
    }
    let size = kept.body.length().unwrap_or(0);
    // A date is no strong validator: with one, the whole is sent.
    let may_be_part = request.method == "GET" && request.if_range.is_none_or(|tag| tag.trim() == etag);
    let range = request.range.filter(|_| may_be_part);
    match range.map_or(Part::Whole, |range| condition::part(range, size)) {
        Part::Whole => {
            SiteAnswer::Ready(Reply { status: 200, lines: kept.lines.clone(), body: kept.body.clone() })
        }
        Part::Bytes { offset, length } => {
            let range = format!("bytes {offset}-{}/{size}", offset + length - 1);
            let lines = LinesWriter::after(&kept.lines).push("Content-Range", &range).finish();
            SiteAnswer::Ready(Reply { status: 206, lines, body: kept.body.part(offset, length) })
        }
        Part::OutOfRange => {
            let lines = LinesWriter::new().push("Content-Range", &format!("bytes */{size}")).finish();
            SiteAnswer::Trouble(Trouble::Range, lines)
        }
    }
}
