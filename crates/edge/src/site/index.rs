//! The list of a site's files in memory, so that no request asks the disk whether a file exists. It comes from the
//! document beside the site, or, for a site without one, from the folder itself. It opens no file of the site
//! (`folder`) and chooses none (`look`, `answer`). Tests: `tests/it/site.rs`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use arc_swap::ArcSwapOption;
use havre_site::document::{Document, Encoding, FileEntry, RULE_FILES, VERSION, is_sha256};
use havre_site::headers::HeaderRule;
use havre_site::redirects::{Outcome, RedirectRule};

use super::folder::Kept;
use havre_http::date;

/// Most files of a site that has no document; what `build` publishes at most.
const FILES_MAX: usize = 20_000;
/// Deepest folder of such a site.
const DEPTH_MAX: usize = 64;

/// Everything a site has.
#[derive(Debug)]
pub(super) struct Index {
    files: HashMap<Box<str>, File>,
    headers: Vec<HeaderRule>,
    redirects: Vec<RedirectRule>,
    /// Rules that mean one path each, and those that have to be tried.
    literal: HashMap<String, usize>,
    patterns: Vec<usize>,
    /// `Last-Modified` of every file: when the site was published.
    pub(super) modified: String,
}

/// One file.
#[derive(Debug)]
pub(super) struct File {
    /// Bytes.
    pub(super) size: u64,
    /// SHA-256 of its contents, empty where nobody computed it.
    pub(super) sha256: Box<str>,
    /// Bytes of each of [`Encoding::ALL`], 0 where there is none.
    pub(super) made: [u64; 3],
    /// What is in memory: the file itself, then its encodings.
    pub(super) kept: [ArcSwapOption<Kept>; 4],
}

impl File {
    fn new(size: u64, sha256: &str) -> Self {
        Self { size, sha256: sha256.into(), made: [0; 3], kept: Default::default() }
    }

    /// Place of an encoding in `kept`.
    pub(super) fn place(encoding: Option<Encoding>) -> usize {
        encoding.map_or(0, |encoding| 1 + encoding as usize)
    }
}

impl Index {
    /// From the document; the second is when it was written.
    ///
    /// # Errors
    /// `InvalidData` when it is not one this edge can obey.
    pub(super) fn of_document(text: &[u8], written: u64) -> io::Result<Self> {
        let wrong = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
        let document: Document =
            serde_json::from_slice(text).map_err(|problem| wrong(problem.to_string()))?;
        if document.version != VERSION {
            return Err(wrong(format!("version {} of the document is not known here", document.version)));
        }
        let mut files = HashMap::with_capacity(document.files.len());
        for FileEntry { path, size, sha256, made } in document.files {
            if !is_sha256(&sha256) {
                return Err(wrong(format!("the digest of {path:?} is none")));
            }
            let mut file = File::new(size, &sha256);
            for made in made {
                file.made[made.encoding as usize] = made.size;
            }
            files.insert(path.into_boxed_str(), file);
        }
        Ok(Self::new(files, document.headers, document.redirects, written))
    }

    /// From the folder: no encodings and no rules. Hidden files, links and everything that is no plain file are left
    /// out.
    pub(super) fn of_folder(root: &Path, written: u64) -> io::Result<Self> {
        let mut files = HashMap::new();
        let mut folders = vec![(root.to_owned(), String::new(), 0)];
        while let Some((folder, prefix, depth)) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(name) = name.to_str().filter(|name| is_shown(name, &prefix)) else { continue };
                let kind = entry.file_type()?;
                if kind.is_dir() && depth < DEPTH_MAX {
                    folders.push((entry.path(), format!("{prefix}{name}/"), depth + 1));
                } else if kind.is_file() {
                    if files.len() == FILES_MAX {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "the site has too many files",
                        ));
                    }
                    files.insert(format!("{prefix}{name}").into(), File::new(entry.metadata()?.len(), ""));
                }
            }
        }
        Ok(Self::new(files, Vec::new(), Vec::new(), written))
    }

    fn new(
        files: HashMap<Box<str>, File>,
        headers: Vec<HeaderRule>,
        redirects: Vec<RedirectRule>,
        written: u64,
    ) -> Self {
        let (mut literal, mut patterns) = (HashMap::new(), Vec::new());
        for (place, rule) in redirects.iter().enumerate() {
            match rule.from.literal() {
                Some(path) => drop(literal.entry(path.to_owned()).or_insert(place)),
                None => patterns.push(place),
            }
        }
        Self {
            files,
            headers,
            redirects,
            literal,
            patterns,
            modified: String::from_utf8_lossy(&date::http(written)).into_owned(),
        }
    }

    /// A file by its path below the site.
    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_ref(), file))
    }

    /// The first rule of `_redirects` for a decoded path, whether it is stronger than files, and where it leads.
    pub(super) fn redirect(&self, path: &str, query: Option<&str>) -> Option<(bool, Outcome)> {
        if self.redirects.is_empty() {
            return None;
        }
        let exact = self.literal.get(path).copied().unwrap_or(usize::MAX);
        let earlier = self.patterns.iter().copied().take_while(|place| *place < exact);
        let tried = earlier.chain((exact != usize::MAX).then_some(exact));
        tried
            .map(|place| &self.redirects[place])
            .find_map(|rule| Some((rule.force, rule.apply(path, query)?)))
    }

    /// Places of the rules of `_headers` for a decoded path. Empty for most sites, and then without memory.
    pub(super) fn header_rules(&self, path: &str) -> Vec<u16> {
        let rules = self.headers.iter().enumerate();
        let matching = rules.filter(|(_, rule)| rule.path.matches(path).is_some());
        matching.filter_map(|(place, _)| u16::try_from(place).ok()).collect()
    }

    pub(super) fn header_rule(&self, place: u16) -> Option<&HeaderRule> {
        self.headers.get(usize::from(place))
    }
}

/// Hidden files are not shown, except those protocols look for; rules are read by publishing, not by visitors.
fn is_shown(name: &str, prefix: &str) -> bool {
    let is_rule = prefix.is_empty() && RULE_FILES.contains(&name);
    let is_hidden = name.starts_with('.') && !(prefix.is_empty() && name == ".well-known");
    !is_rule && !is_hidden
}
