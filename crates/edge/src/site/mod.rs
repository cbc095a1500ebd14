//! Static sites: from a request to the bytes or the open file that answer it.
//!
//! A published site is an immutable folder `<sites_dir>/<digest>/`, with a list of its files beside it, so no request
//! asks the disk what exists, and what was asked for stays in memory. It writes no answers to connections and knows
//! nothing of hosts.
//!
//! For a protocol: ask `shared.sites.answer(site, &request)`, which never waits; [`SiteAnswer::settled`] waits for the
//! disk where that is needed. Write the status and the lines of the [`Reply`], add
//! `Content-Length` where its body has a length and `Havre-Release: site.release` when `site.expose_release` (or the
//! probe key) says so, leave the body out for `HEAD`, count with `site.series`. Tests: `tests/it/site.rs`.

mod answer;
mod folder;
mod headers;
mod index;
mod look;
mod reply;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use havre_http::account::series::{Counters, Series};
pub use havre_http::page::Trouble;

pub use answer::Sites;
pub use havre_core::site::settings::TagHeader;
pub use look::Addresses;
pub use reply::{Body, Cold, Lines, Reply, SiteAnswer};

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
    /// How addresses of its pages look.
    pub addresses: Addresses,
    /// What a CDN in front is told.
    pub cdn: Option<Cdn>,
    /// Releases whose files are still served, the newest first.
    pub earlier: Vec<Earlier>,
    /// What its requests ended with; survives a swap.
    pub counters: Arc<Counters>,
    /// Those of them for this release.
    pub series: Arc<Series>,
    pub(crate) complained: AtomicBool,
}

/// What a CDN in front is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cdn {
    /// Which header.
    pub header: TagHeader,
    /// Name of the site there.
    pub tag: String,
    /// How long pages may be held.
    pub hold_seconds: Option<u64>,
}

/// A release that was live a short while ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its folder.
    pub digest: String,
    /// Until then, in milliseconds since 1970.
    pub until: u64,
}

/// What of a request matters to a site.
#[derive(Debug, Clone, Copy, Default)]
pub struct SiteRequest<'r> {
    /// Method as sent.
    pub method: &'r str,
    /// Path as sent, percent-encoded, with or without a query.
    pub target: &'r str,
    /// `Accept-Encoding` as sent.
    pub accept_encoding: Option<&'r str>,
    /// `If-Modified-Since` as sent.
    pub if_modified_since: Option<&'r str>,
    /// `If-None-Match` as sent.
    pub if_none_match: Option<&'r str>,
    /// `Range` as sent.
    pub range: Option<&'r str>,
    /// `If-Range` as sent.
    pub if_range: Option<&'r str>,
}
