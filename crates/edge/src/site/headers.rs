//! Header lines of an answer with a file: those the file itself asks for, those of the user's `_headers`, and those for
//! a CDN in front. Tests: `tests/it/site.rs`.

use havre_core::site::purge::pages_tag;
use havre_site::document::Encoding;
use havre_site::headers::Change;

use super::index::{File, Index};
use super::reply::{Lines, LinesWriter};
use super::{Site, TagHeader};
use havre_http::site::kind;

/// What one file is sent as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'s> {
    pub(super) site: &'s Site,
    pub(super) index: &'s Index,
    pub(super) path: &'s str,
    pub(super) file: &'s File,
    pub(super) encoding: Option<Encoding>,
    pub(super) rules: &'s [u16],
}

/// The lines of whole answers, and of 304.
pub(super) fn lines(sent: &Sent<'_>, digest: &str) -> (Lines, Lines) {
    let name = sent.path.rsplit('/').next().unwrap_or("");
    let etag = etag(sent, digest);
    let mut set: Vec<(&str, String)> = vec![
        ("Content-Type", kind::content_type(name).to_owned()),
        ("Cache-Control", kind::cache_control(name).to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    if sent.file.made != [0; 3] {
        set.push(("Vary", "Accept-Encoding".to_owned()));
    }
    cdn_lines(sent.site, !kind::is_immutable(name), &mut set);
    for rule in sent.rules.iter().filter_map(|place| sent.index.header_rule(*place)) {
        for change in &rule.changes {
            apply(change, &mut set);
        }
    }
    let mut whole = LinesWriter::new();
    let mut short = LinesWriter::new();
    if let Some(encoding) = sent.encoding {
        whole.push("Content-Encoding", encoding.name());
    }
    for writer in [&mut whole, &mut short] {
        writer.push("ETag", &etag).push("Last-Modified", &sent.index.modified);
    }
    whole.push("Accept-Ranges", "bytes");
    for (name, value) in &set {
        whole.push(name, value);
        // RFC 9110, 15.4.5: what guides caches, and what the user may have meant to.
        if !name.eq_ignore_ascii_case("content-type") {
            short.push(name, value);
        }
    }
    (whole.finish(), short.finish())
}

/// What a CDN in front may hold, and the names under which it is purged.
fn cdn_lines(site: &Site, is_page: bool, set: &mut Vec<(&str, String)>) {
    let Some(cdn) = &site.cdn else { return };
    let pages = pages_tag(&cdn.tag);
    let tags = |separator: &str| {
        if is_page { format!("{}{separator}{pages}", cdn.tag) } else { cdn.tag.clone() }
    };
    match cdn.header {
        TagHeader::SurrogateKey => set.push(("Surrogate-Key", tags(" "))),
        TagHeader::CacheTag => set.push(("Cache-Tag", tags(","))),
        TagHeader::CdnTag => set.push(("CDN-Tag", tags(","))),
    }
    if is_page && let Some(seconds) = cdn.hold_seconds {
        // The first is RFC 9213; the second is what some read who came before it, and take away.
        set.push(("CDN-Cache-Control", format!("max-age={seconds}")));
        set.push(("Surrogate-Control", format!("max-age={seconds}")));
    }
}

fn apply<'c>(change: &'c Change, set: &mut Vec<(&'c str, String)>) {
    match change {
        Change::Remove(name) => set.retain(|(other, _)| !name.is(other)),
        Change::Set(name, value) if name.is("set-cookie") => {
            set.push((name.as_str(), value.as_str().to_owned()));
        }
        Change::Set(name, value) => {
            let value = value.as_str();
            match set.iter_mut().find(|(other, _)| name.is(other)) {
                Some((_, before)) if name.is_joined() => {
                    before.push_str(", ");
                    before.push_str(value);
                }
                Some((_, before)) => value.clone_into(before),
                None => set.push((name.as_str(), value.to_owned())),
            }
        }
    }
}

/// Strong, and one for each encoding: the contents name it, so it outlives a deployment that did not change the file.
/// Without a digest of the file, that of the site and the path name it.
fn etag(sent: &Sent<'_>, digest: &str) -> String {
    let mark = sent.encoding.map_or("", Encoding::name);
    let dash = if mark.is_empty() { "" } else { "-" };
    if let Some(hash) = sent.file.sha256.get(..32) {
        return format!("\"{hash}{dash}{mark}\"");
    }
    // FNV-1a: an entity tag distinguishes files of one site, it does not resist anyone.
    let hash = sent
        .path
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("\"{}-{hash:016x}\"", digest.get(..16).unwrap_or(digest))
}
