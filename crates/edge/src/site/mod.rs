//! Static sites: from a request to the bytes or the open file that answer it.
//!
//! A published site is an immutable folder `<sites_dir>/<digest>/`, so nothing is checked twice and small files
//! stay in memory. It writes no answers to connections and knows nothing of hosts.
//!
//! For the data path: `shared.sites.answer(site, &request)` is synchronous; it opens at most three files and
//! reads at most 32 KB. Write the head from [`FileHead`] (or the variant), count with `site.series`,
//! add `Havre-Release: site.release` when `site.expose_release` (or the probe key says so), and for `HEAD` leave
//! the body out but keep `Content-Length`. Tests: `tests/it/site.rs`.

mod answer;
mod condition;
mod folder;
mod kind;
mod path;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use crate::account::series::{Counters, Series};

pub use answer::Sites;

/// One published site on one route.
#[derive(Debug)]
pub struct Site {
    /// `host/prefix/`, for people, logs and metrics; stable over releases.
    pub name: String,
    /// Prefix of its route without a slash at its end; not part of the names of its files.
    pub prefix: String,
    /// Lower-case hex SHA-256, the name of its folder.
    pub digest: String,
    /// Name of the release, for `Havre-Release`.
    pub release: String,
    /// Answer unknown paths without a file extension with `/index.html`.
    pub spa: bool,
    /// Add `Havre-Release` to answers for everybody.
    pub expose_release: bool,
    /// What its requests ended with; survives a swap.
    pub counters: Arc<Counters>,
    /// Those of them for this release.
    pub series: Arc<Series>,
    pub(crate) complained: AtomicBool,
}

/// What of a request matters to a site.
#[derive(Debug, Clone, Copy, Default)]
pub struct SiteRequest<'r> {
    /// Method as sent.
    pub method: &'r str,
    /// Path as sent, percent-encoded, with or without a query.
    pub target: &'r str,
    /// `If-None-Match` as sent.
    pub if_none_match: Option<&'r str>,
    /// `Range` as sent.
    pub range: Option<&'r str>,
    /// `If-Range` as sent.
    pub if_range: Option<&'r str>,
}

/// Head of an answer that carries a file or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHead {
    /// 200, 206 for a part, 404 with the site's own page.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `ETag`, with its quotes.
    pub etag: String,
    /// `Cache-Control`.
    pub cache_control: &'static str,
    /// `Content-Length`: bytes of this answer.
    pub length: u64,
    /// `Content-Range` of a 206.
    pub content_range: Option<String>,
}

/// The answer of a site. Files also get `Accept-Ranges: bytes` and `X-Content-Type-Options: nosniff`.
#[derive(Debug)]
pub enum SiteAnswer {
    /// A small file, or a part of it, from memory.
    Bytes {
        /// The head.
        head: FileHead,
        /// The body, `head.length` bytes.
        body: Bytes,
    },
    /// A file to send from `offset`, `head.length` bytes.
    File {
        /// The head.
        head: FileHead,
        /// The file, open for reading, position unspecified: use offsets.
        file: File,
        /// First byte to send.
        offset: u64,
    },
    /// 301 to `location`, a path with its query.
    Redirect {
        /// `Location`.
        location: String,
    },
    /// 304.
    NotModified {
        /// `ETag`, with its quotes.
        etag: String,
        /// `Cache-Control`.
        cache_control: &'static str,
    },
    /// 416 with `Content-Range: bytes */size`.
    RangeNotSatisfiable {
        /// Size of the whole file.
        size: u64,
    },
    /// 404.
    NotFound,
    /// 405 with `Allow: GET, HEAD`.
    MethodNotAllowed,
    /// 500: the folder or a file cannot be read; the reason is in the log.
    Unreadable,
}
