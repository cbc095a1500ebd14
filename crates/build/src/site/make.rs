//! Writes what lies beside a site: the document with its files and rules, and its files in smaller encodings. The layout
//! is described in `havre_site::document`. Tests: `tests/it/site.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use havre_site::document::{Document, Encoding, FILE_NAME, FileEntry, Made, RULE_FILES, VERSION, made_file};
use havre_site::headers::HeaderRule;
use havre_site::redirects::RedirectRule;
use havre_site::{RULES_FILE_MAX, RuleError, headers, redirects};
use tokio_util::sync::CancellationToken;

use super::compress::{Allowance, encode, is_worth_it};
use super::unpack::Content;
use crate::builder::BuildError;

/// Most earlier sites that are looked into for files that were compressed before.
const EARLIER_MAX: usize = 64;

/// Makes it all in `made`, which exists and is empty, from the files in `site`. `earlier` are folders of the same kind,
/// whose results are taken over where the contents are the same.
pub(super) fn make(
    site: &Path,
    made: &Path,
    files: &BTreeMap<String, Content>,
    earlier: &[PathBuf],
    cancel: &CancellationToken,
) -> Result<(), BuildError> {
    let (headers, redirects) = read_rules(site, files)?;
    let mut entries: Vec<FileEntry> = files
        .iter()
        .filter(|(path, _)| !RULE_FILES.contains(&path.as_str()))
        .map(|(path, content)| FileEntry {
            path: path.clone(),
            size: content.length(),
            sha256: content.sha256(),
            made: Vec::new(),
        })
        .collect();
    // On a thread of its own: its lower priority could not be taken back, and users' tasks come first.
    std::thread::scope(|scope| {
        let work = || {
            let _ = rustix::process::setpriority_process(None, 10);
            compress(&Folders { site, made, earlier }, &mut entries, cancel)
        };
        scope.spawn(work).join().expect("compressing does not panic")
    })?;
    let document = Document { version: VERSION, files: entries, headers, redirects };
    let failed = |error| BuildError::failed("write the list of the site's files", error);
    let json = serde_json::to_vec(&document).map_err(|error| failed(io::Error::other(error)))?;
    fs::write(made.join(FILE_NAME), json).map_err(failed)
}

struct Folders<'f> {
    site: &'f Path,
    made: &'f Path,
    earlier: &'f [PathBuf],
}

fn compress(
    folders: &Folders<'_>,
    entries: &mut [FileEntry],
    cancel: &CancellationToken,
) -> Result<(), BuildError> {
    let mut order: Vec<&mut FileEntry> =
        entries.iter_mut().filter(|entry| is_worth_it(&entry.path, entry.size)).collect();
    // Small files first: they are what pages wait for.
    order.sort_by(|a, b| (a.size, &a.path).cmp(&(b.size, &b.path)));
    let mut allowance = Allowance::new();
    let mut done: BTreeMap<String, Vec<Made>> = BTreeMap::new();
    for entry in order {
        if cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        if let Some(made) = done.get(&entry.sha256) {
            entry.made.clone_from(made);
            continue;
        }
        entry.made = compress_file(folders, entry, &mut allowance)
            .map_err(|error| BuildError::failed(format!("compress {}", entry.path), error))?;
        done.insert(entry.sha256.clone(), entry.made.clone());
    }
    Ok(())
}

fn compress_file(
    folders: &Folders<'_>,
    entry: &FileEntry,
    allowance: &mut Allowance,
) -> io::Result<Vec<Made>> {
    let taken_over = take_over(folders, &entry.sha256)?;
    if !taken_over.is_empty() {
        return Ok(taken_over);
    }
    let Some(effort) = allowance.take(&entry.path, entry.size) else { return Ok(Vec::new()) };
    let bytes = fs::read(folders.site.join(&entry.path))?;
    let mut made = Vec::new();
    for encoding in Encoding::ALL {
        if let Some(out) = encode(&bytes, encoding, effort)? {
            fs::write(folders.made.join(made_file(&entry.sha256, encoding)), &out)?;
            made.push(Made { encoding, size: out.len() as u64 });
        }
    }
    Ok(made)
}

/// Links what an earlier site made of the same contents.
fn take_over(folders: &Folders<'_>, sha256: &str) -> io::Result<Vec<Made>> {
    for earlier in folders.earlier.iter().take(EARLIER_MAX) {
        let mut made = Vec::new();
        for encoding in Encoding::ALL {
            let name = made_file(sha256, encoding);
            // Where it is not there, or the file system has no links, it is made again.
            if fs::hard_link(earlier.join(&name), folders.made.join(&name)).is_ok() {
                let size = fs::metadata(folders.made.join(&name))?.len();
                made.push(Made { encoding, size });
            }
        }
        if !made.is_empty() {
            return Ok(made);
        }
    }
    Ok(Vec::new())
}

fn read_rules(
    site: &Path,
    files: &BTreeMap<String, Content>,
) -> Result<(Vec<HeaderRule>, Vec<RedirectRule>), BuildError> {
    let [headers_file, redirects_file] = RULE_FILES;
    let wrong = |error: RuleError| BuildError::OutputInvalid { reason: error.to_string() };
    let headers = match read_text(site, files, headers_file)? {
        Some(text) => headers::parse(&text).map_err(wrong)?,
        None => Vec::new(),
    };
    let is_file = |path: &str| {
        let name = path.trim_start_matches('/');
        let index = if name.is_empty() { "index.html".to_owned() } else { format!("{name}/index.html") };
        files.contains_key(name) || files.contains_key(&index) || files.contains_key(&format!("{name}.html"))
    };
    let redirects = match read_text(site, files, redirects_file)? {
        Some(text) => redirects::parse(&text, is_file).map_err(wrong)?,
        None => Vec::new(),
    };
    Ok((headers, redirects))
}

fn read_text(
    site: &Path,
    files: &BTreeMap<String, Content>,
    name: &str,
) -> Result<Option<String>, BuildError> {
    let Some(content) = files.get(name) else { return Ok(None) };
    if content.length() > RULES_FILE_MAX as u64 {
        let limit = format!("{} KB", RULES_FILE_MAX / 1024);
        return Err(BuildError::TooLarge { what: format!("the file {name} of the site"), limit });
    }
    let bytes =
        fs::read(site.join(name)).map_err(|error| BuildError::failed(format!("read {name}"), error))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| BuildError::OutputInvalid { reason: format!("{name} is not UTF-8 text") })?;
    // What some editors put in front of a text.
    Ok(Some(text.trim_start_matches('\u{feff}').to_owned()))
}
